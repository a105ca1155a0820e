use crate::prelude::*;

async fn limit(w: &World, limit: u32) {
    let queue = w.change_queue(QUEUE, QueueChange::Limit(Some(limit))).await;
    assert_eq!(queue.limit, Some(limit));
}

async fn add_many(w: &mut World, n: usize) {
    for _ in 0..n {
        w.add().await;
    }
}

/// How many jobs a worker gets that would take ten.
async fn taken(w: &mut World, worker: &Worker) -> usize {
    w.claim(worker, 10).await.len()
}

/// A queue with a limit of one, a job that has the place, and two that wait for it.
async fn full(w: &mut World) -> (Worker, Hold) {
    limit(w, 1).await;
    add_many(w, 3).await;
    let worker = w.worker().await;
    let hold = w.claim_one(&worker).await;
    assert_eq!(taken(w, &worker).await, 0);
    (worker, hold)
}

/// The place is free, and one of those that wait gets it.
async fn is_free(w: &mut World, worker: &Worker) {
    assert_eq!(taken(w, worker).await, 1);
    assert_eq!(taken(w, worker).await, 0);
}

pub async fn no_more_run_than_the_limit_allows(w: &mut World) {
    limit(w, 3).await;
    add_many(w, 8).await;
    let worker = w.worker().await;
    assert_eq!(w.claim(&worker, 2).await.len(), 2);
    assert_eq!(taken(w, &worker).await, 1);
    assert_eq!(taken(w, &worker).await, 0);
}

pub async fn all_workers_share_one_limit(w: &mut World) {
    limit(w, 3).await;
    add_many(w, 8).await;
    let (one, other) = (w.worker().await, w.worker().await);
    assert_eq!(w.claim(&one, 2).await.len(), 2);
    assert_eq!(taken(w, &other).await, 1);
    assert_eq!(taken(w, &one).await + taken(w, &other).await, 0);
}

pub async fn two_lanes_of_one_claim_share_it_too(w: &mut World) {
    limit(w, 3).await;
    add_many(w, 8).await;
    let worker = w.worker().await;
    let lanes = [2, 2].map(|at_most| Lane { queue: QUEUE.into(), at_most }).to_vec();
    let tokens = (0..4).map(|_| w.token()).collect();
    assert_eq!(w.claim_with(&worker, lanes, tokens).await.expect("answered").jobs.len(), 3);
}

pub async fn kinds_of_one_queue_share_its_limit(w: &mut World) {
    limit(w, 2).await;
    for kind in ["x", "y", "x", "y"] {
        let new = w.job_of(kind);
        w.put(new).await;
    }
    let worker = w.worker_of(vec![plan_of("x", &["a"]), plan_of("y", &["a"])], &[QUEUE]).await;
    assert_eq!(taken(w, &worker).await, 2);
    assert_eq!(taken(w, &worker).await, 0);
}

pub async fn other_queues_have_limits_of_their_own(w: &mut World) {
    let (_, _hold) = full(w).await;
    for _ in 0..3 {
        let new = NewJob { queue: Some("other".into()), ..w.new_job() };
        w.put(new).await;
    }
    let worker = w.worker_of(vec![plan()], &["other", QUEUE]).await;
    w.change_queue("other", QueueChange::Limit(Some(2))).await;
    assert_eq!(taken(w, &worker).await, 2);
    w.change_queue("other", QueueChange::Limit(None)).await;
    assert_eq!(taken(w, &worker).await, 1, "and what has none takes all");
}

pub async fn an_end_frees_the_place(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.complete(&hold, "a").await;
    assert_eq!(taken(w, &worker).await, 0, "the next phase has it");
    w.finish_from_b(&hold).await;
    is_free(w, &worker).await;
}

pub async fn a_failure_frees_the_place(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.own(&hold, super::failures::fail("a", Verdict::Permanent)).await.expect("failed");
    is_free(w, &worker).await;
}

pub async fn a_wait_for_the_next_try_frees_the_place(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.own(&hold, super::failures::fail("a", Verdict::RetryIn(seconds(60)))).await.expect("failed");
    is_free(w, &worker).await;
    w.advance(seconds(60));
    assert_eq!(taken(w, &worker).await, 0, "whoever comes back waits for one");
}

pub async fn a_snooze_frees_the_place(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.own(&hold, Command::Snooze { delay: seconds(60) }).await.expect("snoozed");
    is_free(w, &worker).await;
}

pub async fn a_release_frees_the_place(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.own(&hold, Command::Release).await.expect("released");
    is_free(w, &worker).await;
}

pub async fn a_crash_frees_the_place(w: &mut World) {
    let (worker, _hold) = full(w).await;
    let other = w.worker().await;
    w.kill(&worker).await;
    is_free(w, &other).await;
}

pub async fn whoever_was_asked_to_stop_has_its_place_until_it_has(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.ask(hold.id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    assert_eq!(taken(w, &worker).await, 0);
    w.own(&hold, Command::AcknowledgeCancel).await.expect("stopped");
    is_free(w, &worker).await;
}

pub async fn a_forced_end_frees_the_place(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.ask(hold.id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    w.advance(seconds(9));
    w.store().beat(worker.session).expect("the beat is recorded");
    assert_eq!(w.maintain_for(Some(worker.session), 0.0).await.closed, 1);
    is_free(w, &worker).await;
}

pub async fn a_hand_over_waits_for_a_place_where_it_goes(w: &mut World) {
    let mut plan = plan();
    plan.phases[1].queue = Some("narrow".into());
    let worker = w.worker_of(vec![plan], &[QUEUE, "narrow"]).await;
    w.change_queue("narrow", QueueChange::Limit(Some(1))).await;
    add_many(w, 2).await;
    let holds = w.claim(&worker, 10).await;
    for hold in &holds {
        assert_eq!(
            w.complete(hold, "a").await.state,
            JobState::Pending,
            "the place in its queue is given up"
        );
    }
    let first = w.claim_one(&worker).await;
    assert_eq!(taken(w, &worker).await, 0);
    w.complete(&first, "b").await;
    // One goes on in the first queue, the other gets the place.
    assert_eq!(taken(w, &worker).await, 2);
}

pub async fn less_than_what_runs_stops_nothing_and_starts_nothing(w: &mut World) {
    limit(w, 3).await;
    add_many(w, 8).await;
    let worker = w.worker().await;
    let holds = w.claim(&worker, 10).await;
    limit(w, 1).await;
    for hold in &holds[..2] {
        assert_eq!(taken(w, &worker).await, 0);
        assert_eq!(w.finish(hold).await.state, JobState::Completed);
    }
    assert_eq!(taken(w, &worker).await, 0, "one of them still runs");
    w.finish(&holds[2]).await;
    is_free(w, &worker).await;
}

pub async fn a_limit_counts_what_ran_before_it_was_set(w: &mut World) {
    add_many(w, 8).await;
    let worker = w.worker().await;
    assert_eq!(w.claim(&worker, 2).await.len(), 2);
    limit(w, 3).await;
    is_free(w, &worker).await;
}

pub async fn without_a_limit_any_number_runs_again(w: &mut World) {
    let (worker, _hold) = full(w).await;
    assert_eq!(w.change_queue(QUEUE, QueueChange::Limit(None)).await, Queue::new(QUEUE.into()));
    assert_eq!(taken(w, &worker).await, 2);
}

pub async fn a_limit_and_a_pause_leave_each_other_alone(w: &mut World) {
    let (worker, hold) = full(w).await;
    w.change_queue(QUEUE, QueueChange::Pause { reason: None }).await;
    w.finish(&hold).await;
    assert_eq!(taken(w, &worker).await, 0);
    assert_eq!(w.change_queue(QUEUE, QueueChange::Resume).await.limit, Some(1));
    is_free(w, &worker).await;
}

pub async fn a_limit_survives_a_restart(w: &mut World) {
    let (_, hold) = full(w).await;
    if !w.reopen().await {
        return;
    }
    // A store may find at once that whoever had the place is gone.
    let is_free = w.row(hold.id).await.state == JobState::Pending;
    let worker = w.worker().await;
    assert_eq!(taken(w, &worker).await, usize::from(is_free));
    assert_eq!(taken(w, &worker).await, 0);
}

pub async fn whoever_waits_for_a_place_is_told_that_one_is_free(w: &mut World) {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    let (worker, hold) = full(w).await;
    let told = Arc::new(AtomicBool::new(false));
    let ear = Arc::clone(&told);
    w.store().listen(Box::new(move |change| {
        ear.fetch_or(change.ready, Ordering::SeqCst);
    }));
    w.complete(&hold, "a").await;
    assert!(!told.swap(false, Ordering::SeqCst), "not yet");
    w.finish_from_b(&hold).await;
    assert!(told.swap(false, Ordering::SeqCst));
    limit(w, 2).await;
    assert!(told.swap(false, Ordering::SeqCst), "there is one more place");
    w.change_queue(QUEUE, QueueChange::Limit(None)).await;
    assert!(told.swap(false, Ordering::SeqCst));
    let hold = w.claim(&worker, 1).await.remove(0);
    told.store(false, Ordering::SeqCst);
    w.finish(&hold).await;
    assert!(!told.load(Ordering::SeqCst), "where there is no limit, nobody waits for a place");
}

pub async fn a_limit_that_makes_no_sense_is_refused(w: &mut World) {
    for limit in [0, limits::QUEUE_LIMIT_MAX + 1] {
        let change = QueueChange::Limit(Some(limit));
        let error = w.store().change_queue(QUEUE.into(), change).await.expect_err("refused");
        assert!(error.is_invalid(), "{error}");
    }
    let nameless = w.store().change_queue("".into(), QueueChange::Limit(Some(1))).await;
    assert!(nameless.expect_err("refused").is_invalid());
    assert!(w.store().queues().await.expect("readable").is_empty());
}
