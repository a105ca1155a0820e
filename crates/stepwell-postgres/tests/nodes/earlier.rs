//! A schema of an earlier release in the hands of this one, and nodes of both beside each other.

use stepwell_core::{
    Timestamp,
    queue::{Queue, QueueChange},
    session::Desired,
    store::Store,
};

use crate::support::{Place, Worker, enqueue, new_job};

/// The schema of the first release.
const FIRST: [(&str, &str); 3] = [
    ("0001_initial", include_str!("../../migrations/0001_initial.sql")),
    ("0002_committers", include_str!("../../migrations/0002_committers.sql")),
    ("0003_days", include_str!("../../migrations/0003_days.sql")),
];

/// What a release has recorded of a migration that it has run.
fn sha256(name: &str) -> &'static str {
    let frozen = include_str!("../../../../xtask/migrations.sha256");
    let line = frozen.lines().find(|line| line.contains(&format!("stepwell-postgres/migrations/{name}")));
    line.unwrap().split(' ').next().unwrap()
}

/// A database as the first release has left it, with a queue that somebody has paused.
async fn first() -> Place {
    let place = Place::new();
    let client = place.foreign().await;
    let recorded = "CREATE SCHEMA stepwell; CREATE TABLE stepwell.migration (version integer PRIMARY KEY, \
        name text NOT NULL, sha256 text NOT NULL, compatible boolean NOT NULL, applied_at bigint NOT NULL)";
    client.batch_execute(recorded).await.unwrap();
    for ((file, text), version) in FIRST.into_iter().zip(1..) {
        client.batch_execute(text).await.unwrap();
        let (name, sha256) = (&file[5..], sha256(file));
        let row = format!("INSERT INTO stepwell.migration VALUES ({version}, '{name}', '{sha256}', true, 1)");
        client.batch_execute(&row).await.unwrap();
    }
    let rows = "INSERT INTO stepwell.meta (generation) VALUES (gen_random_uuid()); \
        INSERT INTO stepwell.log_tail (floor_pos, walk_pos) VALUES (1, 0); \
        INSERT INTO stepwell.log_head (next_pos, clock) VALUES (1, 1); \
        INSERT INTO stepwell.name (name) VALUES ('default'); INSERT INTO stepwell.queue VALUES (1, 5, 'why')";
    client.batch_execute(rows).await.unwrap();
    place
}

#[tokio::test]
async fn what_was_set_of_a_queue_is_kept_and_a_limit_can_be_set() {
    let place = first().await;
    let store = place.open();
    let (paused_at, paused_reason) = (Some(Timestamp::from_micros(5)), Some("why".to_owned()));
    let queue = Queue { paused_at, paused_reason, ..Queue::new("default".into()) };
    assert_eq!(store.queues().await.unwrap(), [queue]);
    for change in [QueueChange::Resume, QueueChange::Limit(Some(1))] {
        store.change_queue("default".into(), change).await.unwrap();
    }
    let worker = Worker::start(&store).await;
    for _ in 0..2 {
        enqueue(&store, new_job()).await.unwrap();
    }
    assert_eq!(store.claim(worker.request(2)).await.unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn a_node_of_an_earlier_release_goes_on_beside_this_one() {
    let place = Place::new();
    let store = place.open();
    // Its statements, as they were.
    place.sql(&format!(
        "INSERT INTO stepwell.session (id, node, started_at, expires_at, kinds, queues) \
         VALUES (gen_random_uuid(), 'old', 1, {}, '[]', '[]')",
        i64::MAX
    ));
    place.sql("UPDATE stepwell.session SET expires_at = greatest(expires_at, 2) WHERE NOT dead");
    let node = store.nodes().await.unwrap().remove(0);
    assert_eq!(
        (&*node.session.node, node.session.about, node.desired),
        ("old", Default::default(), Desired::Run)
    );
    assert!(!node.lost && node.beat_at.is_none(), "it does not say when it beat");
    store.change_queue("default".into(), QueueChange::Limit(Some(3))).await.unwrap();
    place.sql(
        "INSERT INTO stepwell.queue (name, paused_at, paused_reason) SELECT name, 7, NULL FROM stepwell.queue \
         ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, paused_reason = excluded.paused_reason",
    );
    let queue = store.queues().await.unwrap().remove(0);
    assert_eq!(
        (queue.limit, queue.paused_at),
        (Some(3), Some(Timestamp::from_micros(7))),
        "it takes no limit away"
    );
}
