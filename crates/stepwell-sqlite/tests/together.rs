//! What is written together is decided one by one.

mod support;

use std::os::unix::fs::MetadataExt;

use stepwell_core::{
    JobState, Json,
    event::EventFilter,
    lease::Fence,
    machine::{Command, NewJob},
    store::{Request, Store},
};
use support::{Place, Worker, complete, enqueue, job_id, new_job, wait};

#[test]
fn a_taken_id_among_many_refuses_only_its_own_job() {
    let place = Place::new();
    let store = place.open();
    let first = new_job("send");
    enqueue(&store, first.clone()).unwrap();

    let mut jobs: Vec<NewJob> = (0..300).map(|_| new_job("send")).collect();
    jobs[100].id = first.id;
    jobs[200].id = jobs[10].id;
    let answers = wait(store.enqueue(jobs.clone())).unwrap();
    for (nth, answer) in answers.iter().enumerate() {
        match nth {
            100 | 200 => {
                let refused = answer.as_ref().unwrap_err().to_string();
                assert!(refused.contains("is taken"), "{nth}: {refused}");
            }
            _ => assert_eq!(answer.as_ref().unwrap().id, jobs[nth].id),
        }
    }
    let counts = wait(store.counts()).unwrap();
    assert_eq!((counts.len(), counts[0].n), (1, 299));
    let events = wait(store.events(0, 1_000, EventFilter::default())).unwrap().events;
    assert!(events.iter().map(|event| event.pos).eq(1..=299), "no position is lost");
    assert_eq!(wait(store.job(jobs[299].id)).unwrap().unwrap().phases, Vec::new().into());
}

#[test]
fn requests_made_at_once_are_answered_each_by_itself() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store, "send", &["render", "deliver"]);
    let jobs: Vec<NewJob> = (0..600).map(|_| new_job("send")).collect();
    wait(store.enqueue(jobs)).unwrap();
    let claimed = worker.claim(&store, 600);
    assert_eq!(claimed.len(), 600);

    // More than one operation takes, and among them some that own nothing, ask of nothing, or come twice.
    let mut requests: Vec<Request> = claimed.iter().map(|claimed| complete(&claimed.job, "one")).collect();
    requests[50].fence = Fence::Owner { epoch: 9, token: support::token() };
    requests[60].job = job_id();
    requests[70] = Request { job: claimed[70].job.id, fence: Fence::None, commands: vec![Command::Delete] };
    requests.push(complete(&claimed[80].job, "again"));
    let asked: Vec<_> = requests.into_iter().map(|request| store.apply(request)).collect();
    let answers: Vec<_> = asked.into_iter().map(wait).collect();
    for (nth, answer) in answers.iter().enumerate() {
        match nth {
            50 | 60 | 600 => assert!(answer.as_ref().unwrap_err().is_lease_lost(), "{nth}: {answer:?}"),
            70 => assert!(answer.as_ref().unwrap_err().is_wrong_state(), "{answer:?}"),
            _ => {
                let job = &answer.as_ref().unwrap().job;
                assert_eq!((job.id, &*job.running_phase().unwrap().name), (claimed[nth].job.id, "deliver"));
                assert_eq!(wait(store.job(job.id)).unwrap().as_ref(), Some(job));
            }
        }
    }
    let asked: Vec<_> =
        answers.iter().flatten().map(|applied| store.apply(complete(&applied.job, "two"))).collect();
    assert!(asked.into_iter().map(wait).all(|answer| answer.unwrap().job.state == JobState::Completed));
    let counts = wait(store.counts()).unwrap();
    let mut counts: Vec<_> = counts.iter().map(|count| (count.state, count.n)).collect();
    counts.sort();
    assert_eq!(counts, [(JobState::Running, 3), (JobState::Completed, 597)]);
}

#[test]
fn whoever_waits_when_the_store_closes_is_told() {
    let place = Place::new();
    let store = place.open();
    let worker = Worker::start(&store, "send", &["render"]);
    wait(store.enqueue((0..50).map(|_| new_job("send")).collect())).unwrap();
    let claimed = worker.claim(&store, 50);
    let asked: Vec<_> = claimed.iter().map(|claimed| store.apply(complete(&claimed.job, "one"))).collect();
    let closing = store.close();
    let late = store.apply(complete(&claimed[0].job, "late"));
    wait(closing).unwrap();
    for answer in asked.into_iter().map(wait) {
        // They were sent before the close.
        assert_eq!(answer.unwrap().job.state, JobState::Completed);
    }
    assert!(wait(late).is_err());
    assert!(wait(store.apply(complete(&claimed[1].job, "later"))).unwrap_err().is_closed());
}

#[test]
fn the_log_stays_bounded_under_load_and_goes_with_a_clean_end() {
    const LOG_BYTES_MAX: u64 = 64 << 20;
    let place = Place::new();
    let store = place.open();
    let payload = Json::of(&"x".repeat(100_000)).unwrap();
    let log = place.dir.path().join("test.db-wal");
    let mut longest = 0;
    for _ in 0..200 {
        let jobs = (0..10).map(|_| NewJob::new(job_id(), "send", payload.clone())).collect();
        wait(store.enqueue(jobs)).unwrap();
        longest = longest.max(std::fs::metadata(&log).unwrap().size());
    }
    assert!((8 << 20..LOG_BYTES_MAX).contains(&longest), "the log reached {longest} bytes");
    wait(store.close()).unwrap();
    drop(store);
    assert!(std::fs::metadata(&log).map_or(true, |log| log.size() == 0));
}
