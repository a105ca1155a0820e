//! Rows that somebody edited by hand, or that a disk spoilt: the others go on.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::time::{Duration, SystemTime};

use stepwell_core::{
    Clock, JobId, JobState,
    event::{EventFilter, EventType},
    lease::Fence,
    machine::{Command, NewJob},
    retention::{Keep, Retention},
    schedule::When,
    store::{JobFilter, Maintain, PageRequest, Request, Store},
};
use stepwell_sqlite::Sqlite;
use support::{Place, Worker, complete, enqueue, new_job, wait};

const TTL: Duration = Duration::from_secs(30);

fn open(place: &Place) -> (Sqlite, Clock) {
    let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let mut options = place.options();
    (options.clock, options.session_ttl) = (Some(clock.clone()), TTL);
    (Sqlite::open(options).unwrap(), clock)
}

/// Damages the row of a job, each time in another way.
fn damage(place: &Place, id: JobId, change: &str) {
    let conn = place.foreign();
    let statement = format!("UPDATE sw_job SET {change} WHERE uuid = ?1");
    assert_eq!(conn.execute(&statement, [&id.as_bytes()[..]]).unwrap(), 1);
}

/// One for each kind of value that does not decode: JSON, a number that stands for nothing, a name that is not there, a
/// value of another type, a text that is none.
const DAMAGE: [&str; 5] =
    ["phases = '[{'", "state = 77", "home_queue = 999999", "epoch = 'many'", "details = CAST(x'ff' AS TEXT)"];

fn maintain(store: &Sqlite) -> stepwell_core::store::Maintained {
    let done = wait(store.maintain(Maintain { jitter: 0.5, session: None })).unwrap();
    assert!(!done.more, "nobody is sent round and round");
    done
}

fn state(store: &Sqlite, id: JobId) -> JobState {
    wait(store.job(id)).unwrap().unwrap().state
}

#[test]
fn a_damaged_row_is_not_claimed_and_keeps_no_other_from_it() {
    let place = Place::new();
    let (store, _) = open(&place);
    let worker = Worker::start(&store, "k", &["a"]);
    for change in DAMAGE {
        let ids: Vec<JobId> = (0..3).map(|_| enqueue(&store, new_job("k")).unwrap()).collect();
        damage(&place, ids[0], change);
        let claimed: Vec<JobId> = worker.claim(&store, 10).iter().map(|claimed| claimed.job.id).collect();
        assert_eq!(claimed, ids[1..], "{change}");
        assert!(worker.claim(&store, 10).is_empty());
        let error = wait(store.job(ids[0])).unwrap_err();
        let text = error.to_string();
        assert!(error.is_refused() && !error.is_transient(), "{text}");
        assert!(text.contains(&ids[0].to_string()) && text.contains("correct the row"), "{text}");
        let request = Request { job: ids[0], fence: Fence::None, commands: vec![Command::Delete] };
        assert_eq!(wait(store.apply(request)).unwrap_err().to_string(), text);
    }
    let listed = wait(store.list(JobFilter::default(), PageRequest::default())).unwrap();
    assert_eq!(listed.items.len(), 2 * DAMAGE.len(), "lists show the others");
}

#[test]
fn a_row_that_was_repaired_is_claimed() {
    let place = Place::new();
    let (store, _) = open(&place);
    let worker = Worker::start(&store, "k", &["a"]);
    let (id, other) = (enqueue(&store, new_job("k")).unwrap(), enqueue(&store, new_job("k")).unwrap());
    damage(&place, id, "details = '{'");
    assert_eq!(worker.claim(&store, 10).remove(0).job.id, other);
    damage(&place, id, "details = NULL");
    assert_eq!(worker.claim(&store, 10).remove(0).job.id, id);
}

#[test]
fn a_payload_that_is_not_json_is_not_claimed_and_keeps_no_other_from_it() {
    let place = Place::new();
    let (store, _) = open(&place);
    let worker = Worker::start(&store, "k", &["a"]);
    let (id, other) = (enqueue(&store, new_job("k")).unwrap(), enqueue(&store, new_job("k")).unwrap());
    let conn = place.foreign();
    conn.execute_batch(
        "UPDATE sw_payload SET body = '{' WHERE job_key = (SELECT min(job_key) FROM sw_payload)",
    )
    .unwrap();
    assert_eq!(worker.claim(&store, 10).remove(0).job.id, other);
    assert!(worker.claim(&store, 10).is_empty());
    assert_eq!(state(&store, id), JobState::Pending);
}

#[test]
fn damaged_rows_of_a_dead_session_do_not_keep_its_other_jobs() {
    let place = Place::new();
    let (store, clock) = open(&place);
    let worker = Worker::start(&store, "k", &["a"]);
    let ids: Vec<JobId> = (0..=DAMAGE.len()).map(|_| enqueue(&store, new_job("k")).unwrap()).collect();
    assert_eq!(worker.claim(&store, 10).len(), ids.len());
    for (id, change) in ids.iter().zip(DAMAGE) {
        damage(&place, *id, change);
    }
    clock.advance(TTL + Duration::from_secs(1));
    assert_eq!(maintain(&store).reaped, 1);
    assert_eq!(state(&store, ids[DAMAGE.len()]), JobState::Pending);
    assert_eq!(wait(store.owned(worker.session)).unwrap().len(), 0);
    let commits = store.commits();
    assert_eq!(maintain(&store).reaped, 0);
    assert_eq!(store.commits(), commits, "a pass that does nothing wakes nobody");
}

#[test]
fn damaged_rows_do_not_keep_others_from_expiring_or_being_forced_to_stop() {
    let place = Place::new();
    let (store, clock) = open(&place);
    let worker = Worker::start(&store, "k", &["a"]);
    let late = |_| NewJob { expires: Some(When::After(Duration::from_secs(5))), ..new_job("late") };
    let expiring: Vec<JobId> = (0..2).map(late).map(|new| enqueue(&store, new).unwrap()).collect();
    let cancelling: Vec<JobId> = (0..2).map(|_| enqueue(&store, new_job("k")).unwrap()).collect();
    assert_eq!(worker.claim(&store, 2).len(), 2);
    for job in &cancelling {
        let commands = vec![Command::Cancel { grace: Duration::from_secs(5) }];
        wait(store.apply(Request { job: *job, fence: Fence::None, commands })).unwrap();
    }
    damage(&place, expiring[0], "phases = '['");
    damage(&place, cancelling[0], "phases = '['");
    clock.advance(Duration::from_secs(6));
    store.beat(worker.session).unwrap();
    assert_eq!(maintain(&store).closed, 2);
    assert_eq!(state(&store, expiring[1]), JobState::Failed);
    assert_eq!(state(&store, cancelling[1]), JobState::Cancelled);
    assert_eq!(maintain(&store).closed, 0);
}

#[test]
fn damaged_rows_do_not_keep_others_from_being_removed() {
    let place = Place::new();
    let (store, clock) = open(&place);
    let worker = Worker::start(&store, "k", &["a"]);
    let ids: Vec<JobId> = (0..6).map(|_| enqueue(&store, new_job("k")).unwrap()).collect();
    for (nth, claimed) in worker.claim(&store, 6).iter().enumerate() {
        let (job, fence) = (claimed.job.id, claimed.job.owner_fence().unwrap());
        if nth < 3 {
            wait(store.apply(complete(&claimed.job, "r"))).unwrap();
            continue;
        }
        for (fence, command) in [
            (Fence::None, Command::Cancel { grace: Duration::from_secs(5) }),
            (fence, Command::AcknowledgeCancel),
        ] {
            wait(store.apply(Request { job, fence, commands: vec![command] })).unwrap();
        }
    }
    damage(&place, ids[0], "phases = '['");
    damage(&place, ids[1], "finished_at = 'once'");
    damage(&place, ids[3], "phases = '['");
    clock.advance(Duration::from_secs(60));
    let none = Keep { age_max: Duration::from_secs(1), count_max: u64::MAX };
    let retention = Retention { completed: none, failed: none, cancelled: none, events: none };
    let mut removed = 0;
    // The walk learns of damaged rows in one pass, and passes them in the next.
    for _ in 0..3 {
        removed += wait(store.prune(retention.clone())).unwrap().jobs;
    }
    assert_eq!(removed, 3);
    for gone in [ids[2], ids[4], ids[5]] {
        assert!(wait(store.job(gone)).unwrap().is_none());
    }
    let events = wait(store.events(0, 100, EventFilter::default())).unwrap();
    let left: Vec<EventType> = events.events.iter().map(|event| event.ty).collect();
    assert_eq!(left, [EventType::Deleted; 3], "the log goes on to be shortened");
}

/// One for each kind of value of an event's row that does not decode, and one that would claim other places.
const EVENT_DAMAGE: [&str; 6] =
    ["data = '[{'", "data = x'ff'", "data = '[]'", "queue = 999999", "at = 'once'", "job_uuid = x'00'"];

#[test]
fn a_damaged_event_is_a_gap_and_keeps_nobody_from_reading_on() {
    for change in EVENT_DAMAGE {
        let place = Place::new();
        let (store, _) = open(&place);
        let ids: Vec<JobId> = (0..4).map(|_| enqueue(&store, new_job("k")).unwrap()).collect();
        let statement = format!("UPDATE sw_event SET {change} WHERE last_pos = 3");
        assert_eq!(place.foreign().execute(&statement, []).unwrap(), 1);
        let read = |after: u64, filter: EventFilter| {
            let page = wait(store.events(after, 100, filter)).unwrap();
            let found: Vec<u64> = page.events.iter().map(|event| event.pos).collect();
            (found, page.next, page.is_damaged)
        };
        assert_eq!(read(0, EventFilter::default()), (vec![1, 2], 2, false), "{change}");
        assert_eq!(read(2, EventFilter::default()), (vec![], 3, true), "{change}");
        assert_eq!(read(3, EventFilter::default()), (vec![4], 4, false), "{change}");
        // Who follows another job misses nothing.
        let of_last = EventFilter { job: Some(ids[3]), ..EventFilter::default() };
        assert_eq!(read(0, of_last), (vec![4], 4, false), "{change}");
        let others = wait(store.history(ids[3], 0, 100)).unwrap();
        assert_eq!(others.len(), 1);
        assert_eq!(wait(store.history(ids[2], 0, 100)).unwrap(), [], "{change}");
    }
}
