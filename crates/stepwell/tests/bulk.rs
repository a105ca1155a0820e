//! Bulk operations: what they do, to which jobs, and that a crash costs nothing.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "bulk")]

mod support;

use std::time::Duration;

use stepwell::{
    Ctx, Job, JobFilter, JobHandle, JobId, JobState, Name, PageRequest, PhaseError, PhaseResult, Priority,
    Stepwell, Unique,
    bulk::{BulkAction, BulkOperation, NewBulk, Selection},
};
use support::soon;

#[derive(serde::Serialize, serde::Deserialize)]
struct Note(String);
impl Job for Note {
    const KIND: &'static str = "note";
    type Output = String;
}
async fn write(cx: &Ctx<Note>) -> PhaseResult<String> {
    match cx.job().0.as_str() {
        "fail" => Err(PhaseError::permanent("no paper")),
        "stay" => {
            cx.cancelled().await;
            Err(PhaseError::permanent("it was told to stop"))
        }
        text => Ok(text.to_owned()),
    }
}

/// A queue whose jobs do not run by themselves, but whose bulk operations do.
async fn still() -> (Stepwell, stepwell::Workers) {
    let stepwell = Stepwell::in_memory().open().await.unwrap();
    let workers = stepwell.start();
    (stepwell, workers)
}
async fn notes(stepwell: &Stepwell, n: usize) -> Vec<JobHandle<Note>> {
    let mut made = Vec::new();
    for nth in 0..n {
        made.push(stepwell.enqueue(Note(nth.to_string())).await.unwrap());
    }
    made
}
fn all(action: BulkAction) -> NewBulk {
    NewBulk::new(action, Selection::default())
}
async fn ended(stepwell: &Stepwell, id: JobId) -> BulkOperation {
    let wait = async {
        loop {
            let operation = stepwell.bulk().get(id).await.unwrap();
            if operation.state.is_terminal() {
                return operation;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("the operation ends", wait).await
}
async fn run(stepwell: &Stepwell, new: NewBulk) -> BulkOperation {
    let made = stepwell.bulk().create(new).await.unwrap();
    let ended = ended(stepwell, made.id).await;
    assert_eq!((ended.state, ended.error.clone()), (JobState::Completed, None));
    ended
}
async fn count(stepwell: &Stepwell, state: JobState) -> usize {
    let filter = JobFilter { state: Some(state), ..JobFilter::default() };
    let page = PageRequest { limit: 1_000, ..PageRequest::default() };
    stepwell.list(filter, page).await.unwrap().items.len()
}

#[tokio::test]
async fn every_job_that_waits_is_cancelled_retried_and_deleted() {
    let (stepwell, workers) = still().await;
    let made = notes(&stepwell, 250).await;
    let preview = stepwell.bulk().preview(&all(BulkAction::Cancel), 3).await.unwrap();
    assert_eq!((preview.matched, preview.is_exact, preview.sample.len()), (250, true, 3));
    assert_eq!(preview.sample[0].id, made[249].id(), "the newest first");
    assert_eq!(count(&stepwell, JobState::Pending).await, 250, "a preview changes nothing");

    let cancelled = run(&stepwell, all(BulkAction::Cancel)).await;
    assert_eq!((cancelled.total, cancelled.done, cancelled.skipped, cancelled.failed), (250, 250, 0, 0));
    assert_eq!(count(&stepwell, JobState::Cancelled).await, 250);
    let retried = run(&stepwell, all(BulkAction::Retry { from_start: false })).await;
    assert_eq!((retried.done, count(&stepwell, JobState::Pending).await), (250, 250));
    assert_eq!(run(&stepwell, all(BulkAction::Delete)).await.done, 0, "nothing has ended");
    run(&stepwell, all(BulkAction::Cancel)).await;
    assert_eq!(run(&stepwell, all(BulkAction::Delete)).await.done, 250);
    assert_eq!(count(&stepwell, JobState::Cancelled).await, 0);
    // The operations are none of the jobs that they are about.
    assert_eq!(stepwell.bulk().list(None, 50).await.unwrap().items.len(), 5);
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn only_what_is_selected_is_touched() {
    let (stepwell, workers) = still().await;
    for nth in 0..6 {
        let new = stepwell.enqueue(Note(nth.to_string())).queue(if nth % 2 == 0 { "even" } else { "odd" });
        new.tag(if nth < 3 { "low" } else { "high" }).attribute("nth", nth.to_string()).await.unwrap();
    }
    let name = |text: &str| Some(Name::from(text));
    let only = |names: [&str; 1]| Some(names.into_iter().map(Name::from).collect());
    for (selection, expected) in [
        (Selection { queue: name("even"), ..Selection::default() }, 3),
        (Selection { tag: name("high"), ..Selection::default() }, 3),
        (Selection { tag: name("high"), queue: name("even"), ..Selection::default() }, 1),
        (Selection { attribute: Some(("nth".into(), "4".into())), ..Selection::default() }, 1),
        (Selection { kind: name("other"), ..Selection::default() }, 0),
        (Selection { only_queues: only(["odd"]), ..Selection::default() }, 3),
        (Selection { only_kinds: only(["other"]), ..Selection::default() }, 0),
    ] {
        let new = NewBulk::new(BulkAction::SetPriority { priority: 7 }, selection.clone());
        let preview = stepwell.bulk().preview(&new, 10).await.unwrap();
        assert_eq!((preview.matched, preview.sample.len() as u64), (expected, expected), "{selection:?}");
        assert_eq!(run(&stepwell, new).await.done, expected, "{selection:?}");
    }
    let moved = NewBulk::new(
        BulkAction::SetQueue { queue: "even".into() },
        Selection { queue: name("odd"), ..Selection::default() },
    );
    assert_eq!(run(&stepwell, moved).await.done, 3);
    let even = JobFilter { queue: name("even"), ..JobFilter::default() };
    let found = stepwell.list(even, PageRequest::default()).await.unwrap().items;
    assert_eq!((found.len(), found[0].priority), (6, 7));
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_done_to_a_job_is_listed_and_the_others_go_on() {
    let (stepwell, workers) = still().await;
    let keyed = |key: &'static str| stepwell.enqueue(Note("x".into())).unique(Unique::key(key));
    let first = keyed("a").await.unwrap();
    stepwell.cancel(first.id()).await.unwrap();
    // Its key is another live job's now.
    keyed("a").await.unwrap();
    let second = keyed("b").await.unwrap();
    stepwell.cancel(second.id()).await.unwrap();

    let done = run(&stepwell, all(BulkAction::Retry { from_start: true })).await;
    assert_eq!((done.total, done.done, done.failed), (2, 1, 1));
    let failures = stepwell.bulk().failures(done.id).await.unwrap();
    assert_eq!((failures.len(), failures[0].job), (1, first.id()));
    assert!(failures[0].error.contains("unique key"), "{failures:?}");
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn jobs_that_run_are_cancelled_and_those_that_came_later_are_left_alone() {
    let builder = Stepwell::in_memory().worker_fn::<Note, _, _>(write).queue("default", 4);
    let stepwell = builder.open().await.unwrap();
    for _ in 0..20 {
        stepwell.enqueue(Note("stay".into())).await.unwrap();
    }
    // Asked for before anything runs: the operation itself waits for workers.
    let made = stepwell.bulk().create(all(BulkAction::Cancel)).await.unwrap();
    assert_eq!((made.total, made.state), (20, JobState::Pending));
    // What is enqueued within the same microsecond counts as being there before.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let later = stepwell.enqueue(Note("later".into())).priority(Priority::LOW).await.unwrap();
    let workers = stepwell.start();
    let operation = ended(&stepwell, made.id).await;
    assert_eq!((operation.state, operation.failed), (JobState::Completed, 0));
    assert_eq!(soon("it runs", later.result()).await.unwrap(), "later");
    let all_stopped = async {
        while count(&stepwell, JobState::Cancelled).await < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("they stop", all_stopped).await;
    assert!(operation.done >= 20, "{operation:?}");
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn a_job_that_fails_again_is_retried_once() {
    let stepwell = Stepwell::in_memory().worker_fn::<Note, _, _>(write).open().await.unwrap();
    let workers = stepwell.start();
    let mut made = Vec::new();
    for _ in 0..150 {
        made.push(stepwell.enqueue(Note("fail".into())).await.unwrap());
    }
    for job in &made {
        soon("it fails", job.ended()).await.unwrap();
    }
    assert_eq!(run(&stepwell, all(BulkAction::Retry { from_start: false })).await.done, 150);
    for job in &made {
        let ended = soon("it fails again", job.ended()).await.unwrap();
        assert_eq!((ended.state, ended.run), (JobState::Failed, 2));
    }
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn an_operation_is_cancelled_and_one_that_makes_no_sense_is_refused() {
    let stepwell = Stepwell::in_memory().open().await.unwrap();
    let made = stepwell.bulk().create(all(BulkAction::Delete)).await.unwrap();
    assert_eq!(stepwell.bulk().cancel(made.id).await.unwrap().state, JobState::Cancelled);
    let completed = Selection { state: Some(JobState::Completed), ..Selection::default() };
    let error = stepwell.bulk().create(NewBulk::new(BulkAction::Cancel, completed)).await.unwrap_err();
    assert_eq!(error.field(), Some("filter.state"));
    assert!(error.to_string().contains("pending, running"), "{error}");
    let internal = Selection { kind: Some("stepwell.webhook".into()), ..Selection::default() };
    let error = stepwell.bulk().create(NewBulk::new(BulkAction::Delete, internal)).await.unwrap_err();
    assert_eq!(error.field(), Some("filter.kind"));
    let wrong = BulkAction::SetQueue { queue: "stepwell.bulk".into() };
    assert_eq!(stepwell.bulk().create(all(wrong)).await.unwrap_err().field(), Some("queue"));
    let job = stepwell.enqueue(Note("x".into())).await.unwrap();
    assert!(stepwell.bulk().get(job.id()).await.unwrap_err().is_not_found());
    assert!(stepwell.bulk().cancel(job.id()).await.unwrap_err().is_not_found());

    let once = NewBulk { once: Some(("k".into(), "f".into())), ..all(BulkAction::Delete) };
    let first = stepwell.bulk().create(once.clone()).await.unwrap();
    let again = stepwell.bulk().create(once.clone()).await.unwrap();
    assert_eq!((again.id, first.is_replayed, again.is_replayed), (first.id, false, true));
    let other = NewBulk { once: Some(("k".into(), "g".into())), ..once };
    assert!(stepwell.bulk().create(other).await.unwrap_err().is_idempotency_mismatch());
    let mut refused = None;
    for _ in 0..200 {
        refused = refused.or(stepwell.bulk().create(all(BulkAction::Delete)).await.err());
    }
    assert!(refused.expect("their number has a limit").to_string().contains("not ended"));
}

#[tokio::test]
async fn it_goes_on_after_each_restart_and_counts_every_job_once() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("app.db");
    let stepwell = Stepwell::sqlite(&path).open().await.unwrap();
    let new: Vec<Note> = (0..1_500).map(|nth| Note(nth.to_string())).collect();
    stepwell.enqueue_many(new).await.unwrap();
    let made = stepwell.bulk().create(all(BulkAction::Cancel)).await.unwrap();
    stepwell.close().await.unwrap();
    let mut restarts = 0_u64;
    let operation = loop {
        let stepwell = Stepwell::sqlite(&path).open().await.unwrap();
        let workers = stepwell.start();
        let begun = async {
            loop {
                let operation = stepwell.bulk().get(made.id).await.unwrap();
                if operation.state != JobState::Pending {
                    return operation;
                }
                tokio::task::yield_now().await;
            }
        };
        let operation = soon("it goes on", begun).await;
        // A little longer each time, so that it gets somewhere.
        tokio::time::sleep(Duration::from_millis(restarts)).await;
        // Without any grace: whatever batch is under way is cut off.
        soon("it stops", workers.shutdown(Duration::ZERO)).await.ok();
        if operation.state.is_terminal() {
            break operation;
        }
        restarts += 1;
    };
    assert_eq!((operation.state, operation.total, operation.done), (JobState::Completed, 1_500, 1_500));
    assert_eq!((operation.skipped, operation.failed), (0, 0));
    assert!(restarts > 0, "it was cut off at least once");
}
