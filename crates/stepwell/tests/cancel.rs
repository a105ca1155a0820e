//! How jobs are stopped, also those whose handlers do not listen.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, JobState, Phase, PhaseResult, Plan, Reason, Retry, Stepwell, Worker, Workers};
use support::{Second, Spell, Speller, brisk, reaches, soon};

async fn running(second: Second) -> (Speller, Stepwell, Workers) {
    let speller = Speller::new(second);
    let stepwell =
        brisk(Stepwell::in_memory()).worker(speller.clone()).queue("default", 1).open().await.unwrap();
    let workers = stepwell.start();
    (speller, stepwell, workers)
}

#[tokio::test]
async fn a_handler_that_listens_ends_at_once() {
    let (speller, stepwell, workers) = running(Second::WaitPolitely).await;
    let job = stepwell.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    job.cancel().await.unwrap();
    let ended = soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((ended.state, ended.reason), (JobState::Cancelled, Some(Reason::Requested)));
    assert!(speller.0.saw_cancel.load(Ordering::SeqCst));
    assert!(job.result().await.unwrap_err().is_job_cancelled());
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn an_asynchronous_handler_that_does_not_listen_is_dropped_after_its_grace() {
    let (speller, stepwell, workers) = running(Second::Wait).await;
    let job = stepwell.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    job.cancel().await.unwrap();
    let ended = soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((ended.state, ended.reason), (JobState::Cancelled, Some(Reason::Requested)));
    assert_eq!(speller.runs(), [1, 1, 0]);
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_completion_of_the_last_phase_wins_over_a_cancellation() {
    #[derive(Serialize, Deserialize)]
    struct One;
    impl Job for One {
        const KIND: &'static str = "one";
        type Output = u32;
    }
    async fn one(cx: &Ctx<One>) -> PhaseResult<u32> {
        cx.cancelled().await;
        Ok(1)
    }
    let stepwell = Stepwell::in_memory().worker_fn(one).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(One).await.unwrap();
    reaches(&stepwell, &job, JobState::Running).await;
    assert_eq!(job.cancel().await.unwrap(), JobState::Cancelling);
    assert_eq!(soon("the job ends", job.result()).await.unwrap(), 1);
    assert_eq!(job.cancel().await.unwrap(), JobState::Completed, "a second cancel answers the state");
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_spins_loses_its_job_by_force_and_its_slot_is_replaced() {
    let (speller, stepwell, workers) = running(Second::Spin).await;
    let job = stepwell.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    job.cancel().await.unwrap();
    let ended = soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((ended.state, ended.reason), (JobState::Cancelled, Some(Reason::Forced)));

    // The one slot of the queue is held by the spinning handler. Another job runs all the same.
    speller.script(Second::Return);
    let other = stepwell.enqueue(Spell::new("b")).await.unwrap();
    assert_eq!(soon("the other job ends", other.result()).await.unwrap(), "b123");
    assert_eq!(workers.stuck(), 1);
    speller.0.gate.close();
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[derive(Serialize, Deserialize)]
struct Grind;
impl Job for Grind {
    const KIND: &'static str = "grind";
    type Output = ();
}
#[derive(Clone)]
struct Grinder(Speller);
impl Worker for Grinder {
    type Job = Grind;
    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        plan.blocking("grind", (), Self::grind)
    }
}
impl Grinder {
    fn grind(&self, _: &Ctx<Grind>) -> PhaseResult<()> {
        self.0.0.begun.notify_one();
        while !self.0.0.gate.is_closed() {
            std::thread::yield_now();
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_blocking_handler_that_does_not_listen_is_left_behind() {
    let grinder = Grinder(Speller::new(Second::Return));
    let builder =
        brisk(Stepwell::in_memory()).worker(grinder.clone()).blocking_threads(1).queue("default", 1);
    let stepwell = builder.open().await.unwrap();
    let workers = stepwell.start();
    let first = stepwell.enqueue(Grind).await.unwrap();
    grinder.0.begun().await;
    first.cancel().await.unwrap();
    let ended = soon("the job ends", first.ended()).await.unwrap();
    assert_eq!(ended.state, JobState::Cancelled);
    assert_eq!(workers.stuck(), 1);

    let second = stepwell.enqueue(Grind).await.unwrap();
    grinder.0.begun().await;
    grinder.0.0.gate.close();
    soon("the second job ends, on a replacement thread", second.result()).await.unwrap();
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

/// Panics when it is dropped half-way, as a guard that finds its work undone may.
struct Unfinished {
    done: bool,
}
impl Drop for Unfinished {
    fn drop(&mut self) {
        assert!(self.done, "dropped half-way");
    }
}

#[derive(Serialize, Deserialize)]
struct Brittle;
impl Job for Brittle {
    const KIND: &'static str = "brittle";
    type Output = ();
}
struct BrittleWorker;
impl Worker for BrittleWorker {
    type Job = Brittle;
    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        plan.phase("wait", (), Self::wait).timeout(Duration::from_millis(200)).retry(Retry::never())
    }
}
impl BrittleWorker {
    async fn wait(&self, _: &Ctx<Brittle>) -> PhaseResult<()> {
        let mut guard = Unfinished { done: false };
        std::future::pending::<()>().await;
        guard.done = true;
        Ok(())
    }
}

#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_has_failed() {
    let stepwell = brisk(Stepwell::in_memory()).worker(BrittleWorker).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Brittle).await.unwrap();
    let ended = soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((ended.state, ended.attempt), (JobState::Failed, 1));
    let error = ended.phases[0].error.as_deref().unwrap();
    assert_eq!(error, "panicked: dropped half-way (when it was dropped, having timed out after 200ms)");
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_is_cancelled_all_the_same() {
    let builder = brisk(Stepwell::in_memory()).cancel_grace(Duration::ZERO).worker(BrittleWorker);
    let stepwell = builder.open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Brittle).await.unwrap();
    reaches(&stepwell, &job, JobState::Running).await;
    job.cancel().await.unwrap();
    let ended = soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((ended.state, ended.reason), (JobState::Cancelled, Some(Reason::Requested)));
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}
