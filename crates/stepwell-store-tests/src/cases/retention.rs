use crate::prelude::*;

const HOUR: Duration = seconds(3_600);

/// Everything is kept but jobs in one state.
fn only(state: JobState, keep: Keep) -> Retention {
    let mut retention = Retention::KEEP_EVERYTHING;
    match state {
        JobState::Completed => retention.completed = keep,
        JobState::Failed => retention.failed = keep,
        _ => retention.cancelled = keep,
    }
    retention
}

async fn end(w: &mut World, worker: &Worker, state: JobState) -> JobId {
    let id = w.add().await;
    match state {
        JobState::Completed => {
            let hold = w.claim_one(worker).await;
            w.finish(&hold).await;
        }
        JobState::Failed => {
            let hold = w.claim_one(worker).await;
            w.own(&hold, super::failures::fail("a", Verdict::Permanent)).await.expect("failed");
        }
        _ => {
            w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
        }
    }
    assert_eq!(w.row(id).await.state, state);
    id
}

async fn kept(w: &World, ids: &[JobId]) -> Vec<bool> {
    let mut kept = Vec::new();
    for id in ids {
        kept.push(w.exists(*id).await);
    }
    kept
}

async fn age(w: &mut World, state: JobState) {
    let worker = w.worker().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(end(w, &worker, state).await);
        w.advance(HOUR);
    }
    let retention = only(state, Keep::for_age(2 * HOUR));
    assert_eq!(w.prune(retention.clone()).await.0, 2, "at its age exactly, it goes");
    assert_eq!(kept(w, &ids).await, [false, false, true]);
    w.advance(HOUR - Duration::from_micros(1));
    assert_eq!(w.prune(retention.clone()).await.0, 0);
    w.advance(Duration::from_micros(1));
    assert_eq!(w.prune(retention).await.0, 1);
    assert!(w.store().counts().await.expect("readable").is_empty());
}

pub async fn completed_jobs_go_by_age(w: &mut World) {
    age(w, JobState::Completed).await;
}
pub async fn failed_jobs_go_by_age(w: &mut World) {
    age(w, JobState::Failed).await;
}
pub async fn cancelled_jobs_go_by_age(w: &mut World) {
    age(w, JobState::Cancelled).await;
}

async fn count(w: &mut World, state: JobState) {
    let worker = w.worker().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(end(w, &worker, state).await);
        w.advance(seconds(1));
    }
    let retention = only(state, Keep::EVERYTHING.at_most(2));
    assert_eq!(w.prune(retention.clone()).await.0, 3);
    assert_eq!(kept(w, &ids).await, [false, false, false, true, true], "the newest stay");
    assert_eq!(w.prune(retention).await.0, 0);
}

pub async fn completed_jobs_go_by_count(w: &mut World) {
    count(w, JobState::Completed).await;
}
pub async fn failed_jobs_go_by_count(w: &mut World) {
    count(w, JobState::Failed).await;
}
pub async fn cancelled_jobs_go_by_count(w: &mut World) {
    count(w, JobState::Cancelled).await;
}

async fn both(w: &mut World, state: JobState) {
    let worker = w.worker().await;
    let mut ids = vec![end(w, &worker, state).await, end(w, &worker, state).await];
    w.advance(10 * HOUR);
    for _ in 0..4 {
        ids.push(end(w, &worker, state).await);
        w.advance(seconds(1));
    }
    let retention = only(state, Keep::for_age(HOUR).at_most(3));
    assert_eq!(w.prune(retention).await.0, 3, "two are too old, and one more is too many");
    assert_eq!(kept(w, &ids).await, [false, false, false, true, true, true]);
}

pub async fn completed_jobs_go_by_age_and_count_together(w: &mut World) {
    both(w, JobState::Completed).await;
}
pub async fn failed_jobs_go_by_age_and_count_together(w: &mut World) {
    both(w, JobState::Failed).await;
}

pub async fn each_state_has_a_limit_of_its_own(w: &mut World) {
    let worker = w.worker().await;
    let states = [JobState::Completed, JobState::Failed, JobState::Cancelled];
    let mut ids = Vec::new();
    for state in states {
        ids.push(end(w, &worker, state).await);
    }
    for (gone, state) in states.into_iter().enumerate() {
        assert_eq!(w.prune(only(state, Keep::EVERYTHING.at_most(0))).await.0, 1);
        let left: Vec<bool> = (0..3).map(|n| n > gone).collect();
        assert_eq!(kept(w, &ids).await, left);
    }
}

pub async fn live_jobs_are_kept_for_ever(w: &mut World) {
    let worker = w.worker().await;
    w.add().await;
    let running = w.claim_one(&worker).await.id;
    let waiting = w.add().await;
    let later = NewJob { when: When::After(seconds(9)), ..w.new_job() };
    let later = w.put(later).await;
    w.advance(1_000_000 * HOUR);
    let nothing = Keep::for_age(Duration::ZERO).at_most(0);
    let retention =
        Retention { completed: nothing, failed: nothing, cancelled: nothing, events: Keep::EVERYTHING };
    assert_eq!(w.prune(retention).await.0, 0);
    assert_eq!(kept(w, &[running, waiting, later]).await, [true; 3]);
}

pub async fn keeping_everything_removes_nothing(w: &mut World) {
    let worker = w.worker().await;
    for state in [JobState::Completed, JobState::Failed, JobState::Cancelled] {
        end(w, &worker, state).await;
    }
    w.advance(1_000_000 * HOUR);
    assert_eq!(w.prune(Retention::KEEP_EVERYTHING).await, (0, 0));
    assert_eq!(w.events(0, EventFilter::default()).await.floor, 1);
}

pub async fn a_retried_job_counts_from_its_last_end(w: &mut World) {
    let worker = w.worker().await;
    let id = end(w, &worker, JobState::Completed).await;
    w.advance(2 * HOUR);
    let rerun = Command::Retry { from: RetryFrom::Phase("c".into()), rerun: true, payload: None };
    w.ask(id, rerun).await.expect("again");
    let retention = only(JobState::Completed, Keep::for_age(HOUR));
    assert_eq!(w.prune(retention.clone()).await.0, 0, "it lives");
    let hold = w.claim_one(&worker).await;
    w.complete(&hold, "c").await;
    assert_eq!(w.prune(retention.clone()).await.0, 0, "it has just ended");
    w.advance(HOUR);
    assert_eq!(w.prune(retention).await.0, 1);
}

pub async fn retention_goes_on_after_its_own_deletions(w: &mut World) {
    let jobs: Vec<NewJob> = (0..limits::MAINTENANCE_BATCH_MAX + 30).map(|_| w.new_job()).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    w.store().enqueue(jobs).await.expect("stored");
    for id in ids {
        w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    }
    let retention = only(JobState::Cancelled, Keep::EVERYTHING.at_most(0));
    let first = w.store().prune(retention.clone()).await.expect("pruned");
    assert!(first.more && first.jobs <= limits::MAINTENANCE_BATCH_MAX);
    w.prune(retention).await;
    assert!(w.store().counts().await.expect("readable").is_empty());
}

/// Everything of every ended job goes, and of the events what is older than an hour.
fn events_of_an_hour() -> Retention {
    let ended = Keep::for_age(HOUR);
    Retention { completed: ended, failed: ended, cancelled: ended, events: ended }
}

pub async fn events_go_from_the_beginning_and_raise_the_floor(w: &mut World) {
    let first = w.add().await;
    w.ask(first, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    w.advance(HOUR);
    let second = w.add().await;
    let before = w.all_events().await;
    assert_eq!(before.len(), 3);
    let (jobs, rows) = w.prune(events_of_an_hour()).await;
    assert_eq!((jobs, rows), (1, 2));
    let page = w.events(0, EventFilter::default()).await;
    assert_eq!((page.floor, page.head), (3, 4), "the deletion has said so");
    assert_eq!(page.events.iter().map(|event| event.pos).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(page.events[0], before[2]);
    assert_eq!(w.types(second).await, ["job:enqueued"]);
}

pub async fn events_of_a_live_job_go_too(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.advance(HOUR);
    w.complete(&hold, "a").await;
    assert_eq!(w.prune(events_of_an_hour()).await.0, 0);
    assert_eq!(w.types(hold.id).await, ["job:phase:completed", "job:phase:started"]);
    assert_eq!(w.history(hold.id).await[0].job_seq, 4, "what is left is numbered as before");
    assert_eq!(w.finish_from_b(&hold).await.state, JobState::Completed);
}

pub async fn events_go_by_count(w: &mut World) {
    for _ in 0..10 {
        let id = w.add().await;
        w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    }
    let retention = Retention { events: Keep::EVERYTHING.at_most(4), ..Retention::KEEP_EVERYTHING };
    assert_eq!(w.prune(retention).await, (0, 16));
    let page = w.events(0, EventFilter::default()).await;
    assert_eq!((page.floor, page.head, page.events.len()), (17, 20, 4));
}

pub async fn positions_go_on_after_every_event_has_gone(w: &mut World) {
    let id = w.add().await;
    w.advance(HOUR);
    w.prune(events_of_an_hour()).await;
    let page = w.events(0, EventFilter::default()).await;
    assert_eq!((page.floor, page.head, page.events.len()), (2, 1, 0));
    assert!(w.history(id).await.is_empty());
    w.reopen().await;
    let next = w.add().await;
    assert_eq!(w.last_event(next).await.pos, 2);
}
