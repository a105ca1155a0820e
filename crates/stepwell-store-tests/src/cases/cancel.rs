use crate::prelude::*;

use super::failures::fail;

const GRACE: Duration = seconds(30);

async fn cancel(w: &World, id: JobId) -> (Job, bool) {
    let applied = w.ask(id, Command::Cancel { grace: GRACE }).await.expect("answered");
    (applied.job, applied.changed)
}

async fn cancelling(w: &mut World) -> Hold {
    let (_, hold) = w.claimed().await;
    cancel(w, hold.id).await;
    hold
}

async fn count_of(w: &World, id: JobId, ty: EventType) -> usize {
    w.history(id).await.iter().filter(|event| event.ty == ty).count()
}

pub async fn cancel_pending_job_closes_its_phases(w: &mut World) {
    w.worker().await;
    let id = w.add().await;
    let (row, changed) = cancel(w, id).await;
    assert!(changed);
    assert_eq!((row.state, row.reason), (JobState::Cancelled, Some(Reason::Requested)));
    assert_eq!((shape(&row).as_str(), row.epoch), ("XXX", 1));
    assert_eq!((row.finished_at, row.cancel_requested_at), (Some(w.now()), Some(w.now())));
    assert_eq!(w.types(id).await, ["job:enqueued", "job:cancelled"]);
    assert_eq!(w.row(id).await, row);
}

pub async fn a_scheduled_job_can_be_cancelled(w: &mut World) {
    let new = NewJob { when: When::After(seconds(60)), ..w.new_job() };
    let id = w.put(new).await;
    assert_eq!(cancel(w, id).await.0.state, JobState::Cancelled);
    let worker = w.worker().await;
    w.advance(seconds(60));
    assert!(w.claim(&worker, 1).await.is_empty());
}

pub async fn a_waiting_retry_can_be_cancelled(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.own(&hold, fail("b", Verdict::RetryIn(seconds(60)))).await.expect("failed");
    let (row, _) = cancel(w, hold.id).await;
    assert_eq!((row.state, shape(&row).as_str()), (JobState::Cancelled, "CXX"));
}

pub async fn a_running_job_is_asked_to_stop(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let (row, changed) = cancel(w, hold.id).await;
    assert!(changed);
    assert_eq!((row.state, row.epoch, shape(&row).as_str()), (JobState::Cancelling, 1, "RPP"));
    assert_eq!((row.cancel_requested_at, row.cancel_deadline), (Some(w.now()), Some(w.now() + GRACE)));
    assert_eq!(row.owner_fence(), Some(hold.fence), "its owner still is");
    assert_eq!(w.last_event(hold.id).await.ty, EventType::Cancelling);
}

pub async fn a_second_request_changes_nothing(w: &mut World) {
    let hold = cancelling(w).await;
    let before = w.row(hold.id).await;
    w.advance(seconds(5));
    let (row, changed) = cancel(w, hold.id).await;
    assert!(!changed);
    assert_eq!(row, before, "not even the deadline");
    assert_eq!(count_of(w, hold.id, EventType::Cancelling).await, 1);
}

pub async fn an_ended_job_is_not_cancelled(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let done = w.finish(&hold).await;
    let (row, changed) = cancel(w, hold.id).await;
    assert!(!changed);
    assert_eq!(row, done);
}

pub async fn a_job_that_does_not_exist_cannot_be_cancelled(w: &mut World) {
    let id = w.id();
    let error = w.ask(id, Command::Cancel { grace: GRACE }).await.expect_err("it does not exist");
    assert!(error.is_not_found());
}

pub async fn an_acknowledged_cancellation_ends_the_job(w: &mut World) {
    let hold = cancelling(w).await;
    let row = w.own(&hold, Command::AcknowledgeCancel).await.expect("acknowledged").job;
    assert_eq!((row.state, row.reason), (JobState::Cancelled, Some(Reason::Requested)));
    assert_eq!((shape(&row).as_str(), row.lease, row.cancel_deadline), ("XXX", None, None));
    assert_eq!(w.last_event(hold.id).await.ty, EventType::Cancelled);
    assert_eq!(data(&w.last_event(hold.id).await), value!({}));
}

pub async fn nothing_is_acknowledged_that_was_not_asked_for(w: &mut World) {
    let (_, hold) = w.claimed().await;
    assert!(w.own(&hold, Command::AcknowledgeCancel).await.expect_err("nobody asked").is_wrong_state());
}

pub async fn cancel_on_boundary_emits_one_event(w: &mut World) {
    let hold = cancelling(w).await;
    let both = vec![complete("a", "1"), Command::StartPhase];
    let row = w.send(hold.id, hold.fence, both).await.expect("recorded").job;
    assert_eq!((row.state, shape(&row).as_str()), (JobState::Cancelled, "CXX"));
    let types = w.types(hold.id).await;
    assert_eq!(types[types.len() - 3..], ["job:cancelling", "job:phase:completed", "job:cancelled"]);
    assert!(w.own(&hold, Command::AcknowledgeCancel).await.expect_err("it has ended").is_lease_lost());
    w.advance(GRACE);
    w.maintain().await;
    assert_eq!(count_of(w, hold.id, EventType::Cancelled).await, 1);
}

pub async fn the_result_of_a_boundary_is_kept(w: &mut World) {
    let hold = cancelling(w).await;
    let large = json_of_bytes(5_000);
    let end = Command::CompletePhase { phase: "a".into(), result: large.clone() };
    w.own(&hold, end).await.expect("recorded");
    assert_eq!(w.store().result(hold.id, "a".into()).await.expect("readable"), Some(large));
}

pub async fn completion_of_the_last_phase_wins(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.complete(&hold, "b").await;
    cancel(w, hold.id).await;
    let row = w.complete(&hold, "c").await;
    assert_eq!((row.state, row.reason), (JobState::Completed, None));
    assert_eq!(count_of(w, hold.id, EventType::Cancelled).await, 0);
    assert_eq!(w.last_event(hold.id).await.ty, EventType::Completed);
}

pub async fn a_failure_while_cancelling_is_a_cancellation(w: &mut World) {
    let hold = cancelling(w).await;
    let row = w.own(&hold, fail("a", Verdict::Retry)).await.expect("ended").job;
    assert_eq!((row.state, shape(&row).as_str()), (JobState::Cancelled, "XXX"));
}

pub async fn a_snooze_while_cancelling_is_a_cancellation(w: &mut World) {
    let hold = cancelling(w).await;
    let row = w.own(&hold, Command::Snooze { delay: seconds(1) }).await.expect("ended").job;
    assert_eq!(row.state, JobState::Cancelled);
}

pub async fn a_release_while_cancelling_is_a_cancellation(w: &mut World) {
    let hold = cancelling(w).await;
    let row = w.own(&hold, Command::Release).await.expect("ended").job;
    assert_eq!(row.state, JobState::Cancelled);
}

pub async fn no_phase_starts_while_cancelling(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.own(&hold, complete("a", "1")).await.expect("recorded");
    cancel(w, hold.id).await;
    assert!(w.own(&hold, Command::StartPhase).await.expect_err("it was asked to stop").is_wrong_state());
    let row = w.own(&hold, Command::AcknowledgeCancel).await.expect("acknowledged").job;
    assert_eq!(shape(&row), "CXX");
}

pub async fn a_cancelling_owner_may_still_say_what_it_did(w: &mut World) {
    let hold = cancelling(w).await;
    w.own(&hold, Command::SaveCheckpoint { phase: "a".into(), value: json("1") }).await.expect("saved");
    let lines = vec![LogLine { at: w.now(), phase: None, text: "stopping".into() }];
    let said = vec![Command::Annotate { progress: None, lines }, Command::AcknowledgeCancel];
    let row = w.send(hold.id, hold.fence, said).await.expect("stopped").job;
    assert_eq!(row.state, JobState::Cancelled);
    assert_eq!(w.store().log(hold.id).await.expect("readable").len(), 1);
}

pub async fn force_comes_at_the_deadline_and_not_before(w: &mut World) {
    let hold = cancelling(w).await;
    w.advance(GRACE - Duration::from_micros(1));
    assert_eq!(w.maintain_for(Some(owner(&hold)), 0.0).await.closed, 0);
    assert_eq!(w.row(hold.id).await.state, JobState::Cancelling);
    w.advance(Duration::from_micros(1));
    assert_eq!(w.maintain_for(Some(owner(&hold)), 0.0).await.closed, 1);
    let row = w.row(hold.id).await;
    assert_eq!((row.state, row.reason), (JobState::Cancelled, Some(Reason::Forced)));
    assert_eq!((shape(&row).as_str(), row.epoch, row.lease), ("XXX", 2, None));
    assert_eq!(data(&w.last_event(hold.id).await), value!({ "forced": true }));
    assert!(w.own(&hold, complete("a", "1")).await.expect_err("too late").is_lease_lost());
}

fn owner(hold: &Hold) -> SessionId {
    hold.job.lease.expect("it was claimed").session
}

pub async fn a_dead_owner_ends_a_cancellation_at_once(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    cancel(w, hold.id).await;
    w.kill(&worker).await;
    let row = w.row(hold.id).await;
    assert_eq!((row.state, row.reason, row.crashes), (JobState::Cancelled, Some(Reason::Forced), 1));
    assert_eq!(count_of(w, hold.id, EventType::Interrupted).await, 0);
}

pub async fn a_version_that_is_old_cancels_nothing(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let old = Fence::Version(hold.job.version - 1);
    let cancel = || vec![Command::Cancel { grace: GRACE }];
    assert!(w.send(hold.id, old, cancel()).await.expect_err("it has changed").is_version_mismatch());
    assert_eq!(w.row(hold.id).await.state, JobState::Running);
    let current = Fence::Version(hold.job.version);
    assert_eq!(w.send(hold.id, current, cancel()).await.expect("asked").job.state, JobState::Cancelling);
}
