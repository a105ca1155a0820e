//! A file of an earlier release in the hands of this one.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use stepwell_core::{
    Timestamp,
    queue::{Queue, QueueChange},
    session::Desired,
    store::Store,
};
use support::{Place, Worker, enqueue, new_job, wait};

/// The schema of the first release.
const FIRST: [(&str, &str); 2] = [
    ("0001_initial", include_str!("../migrations/0001_initial.sql")),
    ("0002_settings", include_str!("../migrations/0002_settings.sql")),
];

/// What a release has recorded of a migration that it has run.
fn sha256(name: &str) -> &'static str {
    let frozen = include_str!("../../../xtask/migrations.sha256");
    let line = frozen.lines().find(|line| line.contains(&format!("stepwell-sqlite/migrations/{name}")));
    line.unwrap().split(' ').next().unwrap()
}

/// A file as the first release has left it, with a queue that somebody has paused.
fn first() -> Place {
    let place = Place::new();
    let conn = place.foreign();
    let recorded = "CREATE TABLE sw_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL, \
        sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL)";
    conn.execute(recorded, []).unwrap();
    for ((file, text), version) in FIRST.into_iter().zip(1..) {
        conn.execute_batch(text).unwrap();
        let row = rusqlite::params![version, &file[5..], sha256(file)];
        conn.execute("INSERT INTO sw_migration VALUES (?1, ?2, ?3, 1)", row).unwrap();
    }
    let meta = "INSERT INTO sw_meta (one, generation, next_pos, floor_pos, next_job_key, walk_pos, clock) \
        VALUES (1, randomblob(16), 1, 1, 1, 0, 1)";
    conn.execute(meta, []).unwrap();
    conn.execute_batch(
        "INSERT INTO sw_name VALUES (1, 'default'); INSERT INTO sw_queue VALUES (1, 5, 'why')",
    )
    .unwrap();
    place
}

#[test]
fn what_was_set_of_a_queue_is_kept_and_a_limit_can_be_set() {
    let place = first();
    let store = place.open();
    let (paused_at, paused_reason) = (Some(Timestamp::from_micros(5)), Some("why".to_owned()));
    let queue = Queue { paused_at, paused_reason, ..Queue::new("default".into()) };
    assert_eq!(wait(store.queues()).unwrap(), [queue]);
    for change in [QueueChange::Resume, QueueChange::Limit(Some(1))] {
        wait(store.change_queue("default".into(), change)).unwrap();
    }
    let worker = Worker::start(&store, "k", &["a"]);
    for _ in 0..2 {
        enqueue(&store, new_job("k")).unwrap();
    }
    assert_eq!(worker.claim(&store, 2).len(), 1);
    assert_eq!(wait(store.want(worker.session, Desired::Quiet)).unwrap(), Desired::Quiet);
}

#[test]
fn a_process_of_an_earlier_release_stands_on_the_list() {
    let place = Place::new();
    let store = place.open();
    let session = "INSERT INTO sw_session (n, id, slot, pid, node, started_at, kinds, queues) \
        VALUES (99, randomblob(16), 7, 4242, 'old', 1, '[]', '[]')";
    place.foreign().execute(session, []).unwrap();
    let node = wait(store.nodes()).unwrap().remove(0);
    assert_eq!(
        (&*node.session.node, node.session.about, node.desired),
        ("old", Default::default(), Desired::Run)
    );
    assert!(node.lost && node.beat_at.is_none(), "it has never beaten");
}
