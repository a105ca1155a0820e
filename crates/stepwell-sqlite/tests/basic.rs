//! A job's way through the store.

mod support;

use stepwell_core::{
    EventType, JobState,
    event::EventFilter,
    retention::{Keep, Retention},
    store::{JobFilter, PageRequest, Store},
};
use support::{Place, Worker, complete, enqueue, new_job, wait};

#[test]
fn a_job_is_enqueued_claimed_and_completed() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store, "send", &["render", "deliver"]);
    let id = enqueue(&store, new_job("send")).unwrap();
    assert_eq!(wait(store.job(id)).unwrap().unwrap().state, JobState::Pending);

    let claimed = worker.claim(&store, 5);
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].payload.as_str(), "\"payload\"");
    let job = wait(store.apply(complete(&claimed[0].job, "one"))).unwrap().job;
    assert_eq!(wait(store.job(id)).unwrap().unwrap(), job, "the cache and the table agree");
    let job = wait(store.apply(complete(&job, &"x".repeat(2_000)))).unwrap().job;
    assert_eq!(job.state, JobState::Completed);
    assert_eq!(wait(store.job(id)).unwrap().unwrap(), job);

    assert_eq!(wait(store.result(id, "render".into())).unwrap().unwrap().as_str(), "\"one\"");
    assert_eq!(wait(store.result(id, "deliver".into())).unwrap().unwrap().bytes(), 2_002);
    let events = wait(store.events(0, 100, EventFilter::default())).unwrap();
    let types: Vec<EventType> = events.events.iter().map(|event| event.ty).collect();
    use EventType as E;
    assert_eq!(
        types,
        [
            E::Enqueued,
            E::Started,
            E::PhaseStarted,
            E::PhaseCompleted,
            E::PhaseStarted,
            E::PhaseCompleted,
            E::Completed
        ]
    );
    assert_eq!((events.next, events.head, events.floor), (7, 7, 1));
    assert_eq!(store.head(), 7);
    assert_eq!(wait(store.history(id, 0, 100)).unwrap(), events.events);
    assert_eq!(wait(store.history(id, 4, 100)).unwrap(), events.events[4..]);

    let counts = wait(store.counts()).unwrap();
    assert_eq!(counts.len(), 1);
    assert_eq!((counts[0].state, counts[0].n), (JobState::Completed, 1));
    let page = wait(store.list(JobFilter::default(), PageRequest::default())).unwrap();
    assert_eq!(page.items, [job]);
    wait(store.close_session(worker.session)).unwrap();
    wait(store.close()).unwrap();
    assert!(wait(store.job(id)).unwrap_err().is_closed());
    assert!(enqueue(&store, new_job("send")).unwrap_err().is_closed());
    wait(store.close()).unwrap();
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let place = Place::new();
    let store = place.open();
    let id = enqueue(&store, new_job("send")).unwrap();
    let job = wait(store.job(id)).unwrap().unwrap();
    let generation = store.describe().generation;
    drop(store);
    let store = place.open();
    assert_eq!(wait(store.job(id)).unwrap().unwrap(), job);
    assert_eq!(store.describe().generation, generation);
    assert_eq!(store.describe().notices, Vec::<String>::new());
    assert_eq!(store.head(), 1);
}

#[test]
fn retention_walks_the_log_and_leaves_what_is_kept() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store, "send", &["a"]);
    for _ in 0..5 {
        enqueue(&store, new_job("send")).unwrap();
    }
    let ids: Vec<_> = worker.claim(&store, 5).into_iter().map(|claimed| claimed.job).collect();
    for job in &ids {
        wait(store.apply(complete(job, "r"))).unwrap();
    }
    let keep = Retention {
        completed: Keep::EVERYTHING.at_most(2),
        events: Keep::EVERYTHING.at_most(0),
        ..Retention::KEEP_EVERYTHING
    };
    let pruned = wait(store.prune(keep.clone())).unwrap();
    assert_eq!(pruned.jobs, 3);
    let left: Vec<_> = wait(store.list(JobFilter::default(), PageRequest::default())).unwrap().items;
    assert_eq!(left.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[4].id, ids[3].id]);
    // The ends of the two kept jobs stay, and with them everything after the first of them.
    wait(store.prune(keep.clone())).unwrap();
    let page = wait(store.events(0, 1_000, EventFilter::default())).unwrap();
    assert_eq!(page.events[0].job, ids[3].id);
    assert!(page.floor > 1 && page.events[0].pos >= page.floor);
    let gone = Retention { completed: Keep::EVERYTHING.at_most(0), ..keep };
    while wait(store.prune(gone.clone())).unwrap() != stepwell_core::store::Pruned::default() {}
    let page = wait(store.events(0, 1_000, EventFilter::default())).unwrap();
    assert_eq!(page.events, []);
    assert_eq!(page.floor, page.head + 1);
    let left = place.foreign().query_row("SELECT count(*) FROM sw_payload", [], |row| row.get::<_, i64>(0));
    assert_eq!(left.unwrap(), 0);
}
