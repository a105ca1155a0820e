//! How phases run, fail and go on.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Change, Ctx, EventType, Job, JobState, Json, Phase, PhaseError, PhaseResult, Plan, Retry, Stepwell,
    Worker, limits,
    testing::{TestBed, crash_everywhere},
};
use support::{Second, Spell, Speller, names, soon};
use tokio::sync::{Notify, Semaphore};

#[tokio::test]
async fn a_panic_is_a_failed_try_with_its_message() {
    let speller = Speller::new(Second::Panic);
    let bed = TestBed::with(speller.clone()).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    bed.run_until_idle().await;
    let phase = job.record().await.unwrap().phases[1].clone();
    assert_eq!(phase.error.as_deref(), Some("panicked: the second phase panicked"));
    assert_eq!(phase.tries, 1);
    speller.script(Second::Return);
    bed.advance(Duration::from_secs(10));
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), "a123");
}

#[tokio::test]
async fn spent_tries_fail_the_job_and_name_the_phase() {
    let bed = TestBed::with(Speller::new(Second::Fail)).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    for _ in 0..3 {
        bed.run_until_idle().await;
        bed.advance(Duration::from_mins(1));
    }
    let error = job.result().await.unwrap_err();
    assert!(error.is_job_failed());
    assert_eq!(error.to_string(), "job failed in phase `second`: the second phase failed");
    assert_eq!(bed.trace(job.id()), ["first#1", "second#1", "second#2", "second#3"]);
}

#[tokio::test]
async fn a_snooze_spends_no_try() {
    let speller = Speller::new(Second::Snooze);
    let bed = TestBed::with(speller.clone()).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    for _ in 0..10 {
        bed.run_until_idle().await;
        bed.advance(Duration::from_mins(5));
    }
    assert_eq!(speller.runs()[1], 10);
    speller.script(Second::Return);
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), "a123");
    let record = job.record().await.unwrap();
    assert_eq!((record.attempt, record.phases[1].tries), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_takes_too_long_is_dropped() {
    #[derive(Serialize, Deserialize)]
    struct Slow;
    impl Job for Slow {
        const KIND: &'static str = "slow";
        type Output = ();
    }
    struct Sleeper;
    impl Worker for Sleeper {
        type Job = Slow;
        fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
            plan.phase("sleep", (), Self::sleep).timeout(Duration::from_secs(30)).retry(Retry::never())
        }
    }
    impl Sleeper {
        async fn sleep(&self, _: &Ctx<Slow>) -> PhaseResult<()> {
            std::future::pending().await
        }
    }
    let bed = TestBed::with(Sleeper).await;
    let job = bed.enqueue(Slow).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(
        job.result().await.unwrap_err().to_string(),
        "job failed in phase `sleep`: timed out after 30s"
    );
}

#[tokio::test]
async fn a_payload_that_does_not_decode_fails_for_good_and_says_why() {
    let bed = TestBed::with(Speller::new(Second::Return)).await;
    let payload = Json::from_text(r#"{"wort":"a"}"#).unwrap();
    let job = bed.enqueue_untyped("spell", payload).await.unwrap();
    bed.run_until_idle().await;
    let error = job.result_json().await.unwrap_err().to_string();
    assert!(error.contains("payload of `spell`") && error.contains("missing field `word`"), "{error}");
    assert_eq!(job.record().await.unwrap().phases[0].tries, 1);
}

#[tokio::test]
async fn a_result_over_the_limit_fails_for_good_and_names_the_limit() {
    #[derive(Serialize, Deserialize)]
    struct Blow(usize);
    impl Job for Blow {
        const KIND: &'static str = "blow";
        type Output = String;
    }
    async fn blow(cx: &Ctx<Blow>) -> PhaseResult<String> {
        Ok("x".repeat(cx.job().0))
    }
    let bed = TestBed::from(Stepwell::in_memory().worker_fn(blow)).await;
    let fits = bed.enqueue(Blow(limits::RESULT_BYTES_MAX - 2)).await.unwrap();
    let bursts = bed.enqueue(Blow(limits::RESULT_BYTES_MAX)).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(fits.result().await.unwrap().len(), limits::RESULT_BYTES_MAX - 2);
    let error = bursts.result().await.unwrap_err().to_string();
    assert!(error.contains("1048578 bytes long, the limit is 1048576"), "{error}");
    assert_eq!(bursts.record().await.unwrap().attempt, 1);
}

#[tokio::test]
async fn a_result_with_nul_fails_for_good() {
    #[derive(Serialize, Deserialize)]
    struct Nul;
    impl Job for Nul {
        const KIND: &'static str = "nul";
        type Output = String;
    }
    async fn nul(_: &Ctx<Nul>) -> PhaseResult<String> {
        Ok("a\0b".into())
    }
    let bed = TestBed::from(Stepwell::in_memory().worker_fn(nul)).await;
    let job = bed.enqueue(Nul).await.unwrap();
    bed.run_until_idle().await;
    let error = job.result().await.unwrap_err().to_string();
    assert!(error.contains("U+0000"), "{error}");
}

// Fan-out. ---------------------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct Resize {
    widths: Vec<u32>,
}
impl Job for Resize {
    const KIND: &'static str = "resize";
    type Output = u64;
}
#[derive(Clone, Default)]
struct Resizer {
    resized: Arc<AtomicU32>,
    at_once: Arc<AtomicU32>,
    at_once_max: Arc<AtomicU32>,
    /// The width at which it fails, once.
    trap: Arc<AtomicU32>,
}
impl Worker for Resizer {
    type Job = Resize;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u64> {
        let widths = plan.phase("widths", (), Self::widths);
        let done = plan
            .each("resize", widths, Self::resize)
            .at_once(4)
            .retry(Retry::fixed(3, Duration::from_secs(1)));
        plan.phase("sum", done, Self::sum)
    }
}
impl Resizer {
    async fn widths(&self, cx: &Ctx<Resize>) -> PhaseResult<Vec<u32>> {
        Ok(cx.job().widths.clone())
    }
    async fn resize(&self, _: &Ctx<Resize>, width: u32) -> PhaseResult<u64> {
        let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.at_once_max.fetch_max(at_once, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        if self.trap.compare_exchange(width, u32::MAX, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            return Err("trapped".into());
        }
        self.resized.fetch_add(1, Ordering::SeqCst);
        Ok(u64::from(width) * 2)
    }
    async fn sum(&self, _: &Ctx<Resize>, all: Vec<u64>) -> PhaseResult<u64> {
        Ok(all.iter().sum())
    }
}

#[tokio::test]
async fn a_fan_out_runs_each_element_once_and_a_bounded_number_at_once() {
    let resizer = Resizer { trap: Arc::new(AtomicU32::new(u32::MAX)), ..Resizer::default() };
    let bed = TestBed::with(resizer.clone()).await;
    let job = bed.enqueue(Resize { widths: (1..=100).collect() }).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), 10_100);
    assert_eq!(resizer.resized.load(Ordering::SeqCst), 100);
    assert_eq!(resizer.at_once_max.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_failed_element_does_not_cost_the_others_their_results() {
    let resizer = Resizer { trap: Arc::new(AtomicU32::new(50)), ..Resizer::default() };
    let bed = TestBed::with(resizer.clone()).await;
    let job = bed.enqueue(Resize { widths: (1..=100).collect() }).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.state().await.unwrap(), JobState::Pending);
    let before = resizer.resized.load(Ordering::SeqCst);
    assert!((49..=53).contains(&before), "{before}");
    bed.advance(Duration::from_secs(1));
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), 10_100);
    assert_eq!(resizer.resized.load(Ordering::SeqCst), 100, "no element was done twice");
}

/// The process dies with a part of the list done and four elements under way.
#[tokio::test]
async fn a_fan_out_that_was_cut_off_goes_on_with_what_is_missing_and_keeps_its_bound() {
    #[derive(Clone)]
    struct Gated {
        begun: Arc<AtomicU32>,
        done: Arc<Mutex<Vec<u32>>>,
        gate: Arc<Semaphore>,
        at_once_max: Arc<AtomicU32>,
        told: Arc<Notify>,
    }
    impl Worker for Gated {
        type Job = Resize;
        fn plan(plan: &Plan<Self>) -> Phase<'_, u64> {
            let widths = plan.phase("widths", (), Self::widths);
            let done = plan.each("resize", widths, Self::resize).at_once(4);
            plan.phase("sum", done, Self::sum)
        }
    }
    impl Gated {
        async fn widths(&self, cx: &Ctx<Resize>) -> PhaseResult<Vec<u32>> {
            Ok(cx.job().widths.clone())
        }
        async fn resize(&self, _: &Ctx<Resize>, width: u32) -> PhaseResult<u64> {
            let under_way = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            self.at_once_max.fetch_max(under_way, Ordering::SeqCst);
            self.told.notify_one();
            self.gate.acquire().await?.forget();
            self.begun.fetch_sub(1, Ordering::SeqCst);
            self.done.lock().unwrap().push(width);
            self.told.notify_one();
            Ok(u64::from(width))
        }
        async fn sum(&self, _: &Ctx<Resize>, all: Vec<u64>) -> PhaseResult<u64> {
            Ok(all.iter().sum())
        }
    }
    let worker = Gated {
        begun: Arc::default(),
        done: Arc::default(),
        gate: Arc::new(Semaphore::new(6)),
        at_once_max: Arc::default(),
        told: Arc::default(),
    };
    let bed = TestBed::with(worker.clone()).await;
    let job = bed.enqueue(Resize { widths: (1..=20).collect() }).await.unwrap();
    bed.step().await;
    let six_done_and_four_under_way = async {
        while worker.done.lock().unwrap().len() < 6 || worker.begun.load(Ordering::SeqCst) < 4 {
            worker.told.notified().await;
        }
    };
    tokio::select! {
        () = six_done_and_four_under_way => {}
        _ = bed.step() => panic!("it was to wait"),
    }
    bed.crash().await;
    worker.begun.store(0, Ordering::SeqCst);
    worker.gate.add_permits(100);
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), 210);
    assert_eq!(worker.at_once_max.load(Ordering::SeqCst), 4);
    let mut done = worker.done.lock().unwrap().clone();
    assert_eq!(done.len(), 20, "nothing that was done was done again: {done:?}");
    done.sort_unstable();
    assert_eq!(done, (1..=20).collect::<Vec<_>>());
    let record = job.record().await.unwrap();
    assert_eq!((record.phases[1].tries, record.attempt), (1, 2), "a crash spends no try");
}

#[tokio::test]
async fn an_empty_list_fans_out_to_an_empty_list() {
    let bed = TestBed::with(Resizer::default()).await;
    let job = bed.enqueue(Resize { widths: Vec::new() }).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), 0);
}

#[tokio::test]
async fn a_crash_after_any_step_ends_with_the_same_result() {
    let crashes = crash_everywhere(
        || TestBed::with(Resizer { trap: Arc::new(AtomicU32::new(2)), ..Resizer::default() }),
        || Resize { widths: vec![1, 2, 3] },
    )
    .await;
    assert_eq!(crashes.result.as_str(), "12");
    assert_eq!(crashes.places, 7, "widths, three elements, resize twice, sum");
}

#[tokio::test]
#[should_panic(expected = "another result after a crash behind checkpoint 1")]
async fn a_worker_that_remembers_is_caught_by_the_crashes() {
    #[derive(Serialize, Deserialize)]
    struct Count;
    impl Job for Count {
        const KIND: &'static str = "count";
        type Output = u32;
    }
    struct Forgetful(AtomicU32);
    impl Worker for Forgetful {
        type Job = Count;
        fn plan(plan: &Plan<Self>) -> Phase<'_, u32> {
            plan.phase("remember", (), Self::remember);
            plan.phase("tell", (), Self::tell)
        }
    }
    impl Forgetful {
        async fn remember(&self, _: &Ctx<Count>) -> PhaseResult<()> {
            self.0.store(7, Ordering::SeqCst);
            Ok(())
        }
        async fn tell(&self, cx: &Ctx<Count>) -> PhaseResult<u32> {
            Ok(self.0.load(Ordering::SeqCst) + u32::try_from(cx.epoch()).unwrap())
        }
    }
    crash_everywhere(|| TestBed::with(Forgetful(AtomicU32::new(0))), || Count).await;
}

// Blocking phases. -------------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct Sum(u64);
impl Job for Sum {
    const KIND: &'static str = "sum";
    type Output = u64;
}
struct Adder;
impl Worker for Adder {
    type Job = Sum;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u64> {
        let upto = plan.phase("upto", (), Self::upto);
        plan.blocking("add", upto, Self::add).retry(Retry::never())
    }
}
impl Adder {
    async fn upto(&self, cx: &Ctx<Sum>) -> PhaseResult<u64> {
        Ok(cx.job().0)
    }
    fn add(&self, cx: &Ctx<Sum>, upto: u64) -> PhaseResult<u64> {
        cx.progress(upto, upto);
        cx.log("adding");
        if upto == 13 {
            panic!("unlucky");
        }
        Ok((1..=upto).sum())
    }
}

#[tokio::test]
async fn a_blocking_phase_runs_off_the_runtime() {
    let bed = TestBed::with(Adder).await;
    let job = bed.enqueue(Sum(100)).await.unwrap();
    let unlucky = bed.enqueue(Sum(13)).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap(), 5_050);
    let error = unlucky.result().await.unwrap_err().to_string();
    assert_eq!(error, "job failed in phase `add`: panicked: unlucky");
    let log = bed.log(job.id()).await.unwrap();
    assert_eq!(log.iter().map(|line| &*line.text).collect::<Vec<_>>(), ["adding"]);
    assert!(bed.history_names(job.id()).contains(&"job:progress"));
}

// What a phase can say. --------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn progress_is_told_once_a_second_at_most() {
    #[derive(Serialize, Deserialize)]
    struct March;
    impl Job for March {
        const KIND: &'static str = "march";
        type Output = ();
    }
    async fn march(cx: &Ctx<March>) -> PhaseResult<()> {
        for step in 0..500 {
            cx.progress(step, 500);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
    let bed = TestBed::from(Stepwell::in_memory().worker_fn(march)).await;
    let job = bed.enqueue(March).await.unwrap();
    bed.run_until_idle().await;
    let told = bed.history_names(job.id()).iter().filter(|name| **name == "job:progress").count();
    assert!((4..=6).contains(&told), "{told} reports in five seconds");
}

#[tokio::test]
async fn the_idempotency_key_outlives_retries_but_not_a_discarded_result() {
    #[derive(Serialize, Deserialize)]
    struct Charge;
    impl Job for Charge {
        const KIND: &'static str = "charge";
        type Output = String;
    }
    #[derive(Clone, Default)]
    struct Charger(Arc<(AtomicU32, std::sync::Mutex<Vec<String>>)>);
    impl Worker for Charger {
        type Job = Charge;
        fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
            plan.phase("charge", (), Self::charge)
        }
    }
    impl Charger {
        async fn charge(&self, cx: &Ctx<Charge>) -> PhaseResult<String> {
            self.0.1.lock().unwrap().push(cx.idempotency_key().to_owned());
            match self.0.0.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Err(PhaseError::permanent("declined")),
                _ => Ok(cx.idempotency_key().to_owned()),
            }
        }
    }
    let charger = Charger::default();
    let bed = TestBed::with(charger.clone()).await;
    let job = bed.enqueue(Charge).await.unwrap();
    for _ in 0..2 {
        bed.run_until_idle().await;
        job.retry().await.unwrap();
    }
    bed.run_until_idle().await;
    bed.rerun(job.id(), stepwell::RetryFrom::Start, None).await.unwrap();
    bed.run_until_idle().await;
    let keys = charger.0.1.lock().unwrap().clone();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
}

#[tokio::test]
async fn a_job_whose_phase_is_of_another_queue_is_handed_over() {
    #[derive(Serialize, Deserialize)]
    struct Render;
    impl Job for Render {
        const KIND: &'static str = "render";
        type Output = ();
    }
    struct Renderer;
    impl Worker for Renderer {
        type Job = Render;
        fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
            plan.phase("load", (), Self::nothing);
            plan.phase("draw", (), Self::nothing).queue("gpu");
            plan.phase("send", (), Self::nothing)
        }
    }
    impl Renderer {
        async fn nothing(&self, _: &Ctx<Render>) -> PhaseResult<()> {
            Ok(())
        }
    }
    let stepwell = Stepwell::in_memory().worker(Renderer).queue("gpu", 1).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Render).await.unwrap();
    soon("the job completes", job.result()).await.unwrap();
    let history = stepwell.history(job.id()).await.unwrap();
    let queue_of = |phase: &str| {
        let started = |event: &&stepwell::Event| {
            event.event_type == EventType::PhaseStarted && event.phase.as_deref() == Some(phase)
        };
        history.iter().find(started).unwrap().queue.to_string()
    };
    assert_eq!(["load", "draw", "send"].map(queue_of), ["default", "gpu", "default"]);
    assert_eq!(job.record().await.unwrap().attempt, 3);
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_job_enqueued_before_its_plan_was_known_is_bound_when_it_is_claimed() {
    let bed = TestBed::with(Adder).await;
    let unknown = bed.enqueue_untyped("nobody", Json::null()).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(unknown.state().await.unwrap(), JobState::Pending);
    let explanation = bed.explain(unknown.id()).await.unwrap().to_string();
    assert_eq!(explanation, "no live worker knows the kind `nobody`; start one that registers it");
}

#[tokio::test]
async fn events_of_a_failing_job_are_told_in_order() {
    let speller = Speller::new(Second::Fail);
    let bed = TestBed::with(speller.clone()).await;
    let job = bed.enqueue(Spell::new("a")).await.unwrap();
    bed.run_until_idle().await;
    speller.script(Second::Return);
    bed.advance(Duration::from_mins(1));
    bed.run_until_idle().await;
    assert_eq!(
        names(&bed, &job).await,
        [
            "job:enqueued",
            "job:started",
            "job:phase:started",
            "job:phase:completed",
            "job:phase:started",
            "job:phase:failed",
            "job:retrying",
            "job:resumed",
            "job:phase:started",
            "job:phase:completed",
            "job:phase:started",
            "job:phase:completed",
            "job:completed",
        ]
    );
    let history = bed.history(job.id()).await.unwrap();
    let failed = history.iter().find(|event| event.event_type == EventType::PhaseFailed).unwrap();
    let at = failed.at;
    assert_eq!(
        failed.change,
        Change::PhaseFailed {
            phase: "second".into(),
            error: "the second phase failed".into(),
            retry_at: Some(at + Duration::from_secs(10)),
        }
    );
    assert_eq!(history.iter().map(|event| event.job_seq).collect::<Vec<_>>(), (1..=13).collect::<Vec<_>>());
}
