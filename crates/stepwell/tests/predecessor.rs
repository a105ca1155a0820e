//! What the predecessor got wrong, each finding as a test with its name.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use stepwell::{Change, JobState, PhaseState, Stepwell, testing::TestBed};
use support::{Second, Spell, Speller, names, soon};

#[tokio::test]
async fn cancel_on_boundary_emits_one_event() {
    let bed = TestBed::with(Speller::new(Second::Return)).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    bed.step().await;
    assert_eq!(job.cancel().await.unwrap(), JobState::Cancelling);
    bed.run_until_idle().await;
    assert_eq!(job.state().await.unwrap(), JobState::Cancelled);
    let cancelled = bed.history_names(job.id()).iter().filter(|name| **name == "job:cancelled").count();
    assert_eq!(cancelled, 1);
}

#[tokio::test]
async fn cancel_on_boundary_of_a_running_phase_emits_one_event() {
    let speller = Speller::new(Second::Wait);
    let stepwell = Stepwell::in_memory().worker(speller.clone()).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    assert_eq!(job.cancel().await.unwrap(), JobState::Cancelling);
    speller.open_gate();
    soon("the job ends", job.ended()).await.unwrap();
    let names = names(&stepwell, &job).await;
    assert_eq!(names[names.len() - 3..], ["job:cancelling", "job:phase:completed", "job:cancelled"]);
    assert_eq!(speller.runs(), [1, 1, 0], "no phase started after the cancellation");
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn cancel_pending_job_closes_its_phases() {
    let bed = TestBed::with(Speller::new(Second::Return)).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    job.cancel().await.unwrap();
    let record = job.record().await.unwrap();
    assert_eq!(record.phases.len(), 3);
    assert!(record.phases.iter().all(|phase| phase.state == PhaseState::Cancelled));
    assert_eq!(bed.history_names(job.id()), ["job:enqueued", "job:cancelled"]);
}

#[tokio::test]
async fn shutdown_timeout_still_cleans_up_and_returns_the_error() {
    let speller = Speller::new(Second::Wait);
    let stepwell = Stepwell::in_memory().worker(speller.clone()).open().await.unwrap();
    let mut events = stepwell.events().after(0).subscribe();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    let error = workers.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.dropped, [(job.id(), "second".to_owned())]);
    assert!(error.stuck.is_empty());
    assert!(stepwell.job(job.id()).await.unwrap_err().is_closed(), "the storage is closed");
    let mut last = None;
    while let Some(event) = soon("the subscription ends", events.next()).await {
        last = Some(event);
    }
    assert_eq!(last.unwrap().change, Change::Released, "the job was given back, and that was told");
}

#[tokio::test]
async fn partial_retry_keeps_completed_results() {
    let speller = Speller::new(Second::FailForGood);
    let bed = TestBed::with(speller.clone()).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.state().await.unwrap(), JobState::Failed);
    let before = job.record().await.unwrap().phases[0].result.clone().unwrap();
    speller.script(Second::Return);
    job.retry().await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), "a123");
    assert_eq!(speller.runs(), [1, 2, 1]);
    assert_eq!(job.record().await.unwrap().phases[0].result.clone().unwrap(), before);
}

#[tokio::test]
async fn restart_keeps_interrupted_phase_context() {
    let speller = Speller::new(Second::SaveAndWait);
    let builder = Stepwell::in_memory().worker(speller.clone());
    let bed = TestBed::from(builder).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    bed.step().await;
    // The process dies in the middle of the second phase, after its second checkpoint.
    tokio::select! {
        () = speller.0.saved.notified() => {}
        _ = bed.step() => panic!("the phase was to wait"),
    }
    bed.crash().await;
    speller.script(Second::Return);
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), "a123");
    assert!(speller.0.interrupted.load(Ordering::SeqCst));
    assert_eq!(*speller.0.cursor.lock().unwrap(), Some(42));
    assert_eq!(bed.trace(job.id()), ["first#1", "second#1", "second#1", "third#1"], "no try was spent");
}

#[tokio::test]
async fn a_deleted_job_leaves_only_its_id() {
    let bed = TestBed::with(Speller::new(Second::Return)).await;
    let job = bed.enqueue(Spell::new("secret")).await.unwrap();
    bed.run_until_idle().await;
    let mut events = bed.events().of_types([stepwell::EventType::Deleted]).after(0).subscribe();
    bed.delete(job.id()).await.unwrap();
    let event = soon("the deletion is told", events.next()).await.unwrap();
    assert_eq!(event.change, Change::Deleted { job: job.id() });
    assert_eq!(event.data.as_str(), format!(r#"{{"deletedJobId":"{}"}}"#, job.id()));
}
