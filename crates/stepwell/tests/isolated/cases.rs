//! The tests.

use std::{
    fs,
    future::Future,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Change, Ctx, Error, EventType, Job, JobHandle, JobState, Json, Phase, PhaseResult, Plan, Stepwell,
    Worker, Workers, testing::TestBed,
};
use tempfile::TempDir;

use crate::{
    harness::Cases,
    oven::{self, Bake, Baked, Dish},
};

macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const CASES: Cases = &[$((stringify!($name), || run($name()))),+];
    };
}
cases! {
    what_a_phase_is_given_and_what_it_says_passes,
    a_cursor_is_stored_when_saving_it_returns,
    a_handler_that_never_listens_is_ended_when_its_job_is_cancelled,
    one_that_listens_is_told,
    a_handler_that_never_listens_is_ended_when_its_time_is_over,
    a_handler_that_never_listens_is_ended_by_a_shutdown,
    a_child_that_crashes_fails_its_phase_and_nothing_else,
    too_early_is_no_failure,
    a_parent_that_is_killed_leaves_no_child,
    a_program_that_has_not_begun_is_told_how,
    a_test_runs_it_like_any_other_phase,
}

fn run(case: impl Future<Output = ()>) {
    tokio::runtime::Runtime::new().unwrap().block_on(case);
}

struct Kitchen {
    place: TempDir,
    stepwell: Stepwell,
    workers: Workers,
}

impl Kitchen {
    async fn open() -> Self {
        let place = tempfile::tempdir().unwrap();
        let stepwell = oven::workers(oven::store(place.path())).open().await.unwrap();
        let workers = stepwell.start();
        Self { place, stepwell, workers }
    }
    async fn bake(&self, dish: Dish) -> JobHandle<Bake> {
        let place = self.place.path().to_owned();
        self.stepwell.enqueue(Bake { dish, place }).await.unwrap()
    }
    async fn failure(&self, dish: Dish) -> String {
        let failed = self.bake(dish).await.result().await.unwrap_err();
        assert!(failed.is_job_failed(), "{failed}");
        failed.to_string()
    }
    fn child(&self) -> String {
        child(self.place.path())
    }
    async fn close(self) {
        self.workers.shutdown(Duration::from_secs(10)).await.unwrap();
    }
}

/// The number of the child, once it has begun.
fn child(place: &Path) -> String {
    let file = place.join("child.pid");
    let written = || fs::read_to_string(&file).unwrap_or_default();
    until("the child begins", || written().ends_with('\n'));
    written().trim().to_owned()
}

fn until(what: &str, ask: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ask() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: it did not come");
        std::thread::yield_now();
    }
}

/// Whether a process is there, and more of it than its entry.
fn lives(number: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

async fn what_a_phase_is_given_and_what_it_says_passes() {
    let kitchen = Kitchen::open().await;
    let job = kitchen.bake(Dish::Served).await;
    let Baked { of, try_no, interrupted, key, process } = job.result().await.unwrap();
    assert_eq!((of, try_no, interrupted), (vec![1, 2], 1, false));
    assert_ne!(process, std::process::id());
    assert_eq!(kitchen.child(), process.to_string());
    assert!(!key.is_empty() && !lives(&process.to_string()));
    // A payload that was written by hand has lines.
    let written =
        serde_json::to_string_pretty(&Bake { dish: Dish::Served, place: kitchen.place.path().into() });
    let payload = Json::from_text(written.unwrap()).unwrap();
    let by_hand = kitchen.stepwell.enqueue_untyped("bake", payload).await.unwrap();
    kitchen.stepwell.handle::<Bake>(by_hand.id()).result().await.unwrap();
    let told = kitchen.stepwell.events().of_job(job.id()).of_types([EventType::Progress]).after(0);
    let told = told.subscribe().next().await.unwrap();
    assert!(matches!(told.change, Change::Progress { done: 1, total: 2, .. }), "{told:?}");
    let log = kitchen.stepwell.log(job.id()).await.unwrap();
    assert!(log.iter().any(|line| line.text == "the oven is warm"), "{log:?}");
    kitchen.close().await;
}

async fn a_cursor_is_stored_when_saving_it_returns() {
    let kitchen = Kitchen::open().await;
    let job = kitchen.bake(Dish::Resumed).await;
    let baked = job.result().await.unwrap();
    assert_eq!((baked.try_no, baked.interrupted), (2, false), "the first try has failed");
    let refused = kitchen.failure(Dish::TooLarge).await;
    assert!(refused.contains("refused: ") && refused.contains("limit"), "{refused}");
    kitchen.close().await;
}

async fn a_handler_that_never_listens_is_ended_when_its_job_is_cancelled() {
    let kitchen = Kitchen::open().await;
    let job = kitchen.bake(Dish::Burning).await;
    let child = kitchen.child();
    kitchen.stepwell.cancel(job.id()).await.unwrap();
    assert!(job.result().await.unwrap_err().is_job_cancelled());
    until("the child has ended", || !lives(&child));
    assert_eq!(kitchen.workers.stuck(), 0);
    kitchen.close().await;
}

async fn one_that_listens_is_told() {
    let kitchen = Kitchen::open().await;
    let job = kitchen.bake(Dish::Listening).await;
    let child = kitchen.child();
    kitchen.stepwell.cancel(job.id()).await.unwrap();
    assert!(job.result().await.unwrap_err().is_job_cancelled());
    assert!(kitchen.place.path().join("told").exists());
    until("the child has ended", || !lives(&child));
    kitchen.close().await;
}

async fn a_handler_that_never_listens_is_ended_when_its_time_is_over() {
    let kitchen = Kitchen::open().await;
    let failed = kitchen.failure(Dish::BurningBriefly).await;
    assert!(failed.contains("`rest`") && failed.contains("timed out after 500ms"), "{failed}");
    assert!(!lives(&kitchen.child()));
    kitchen.close().await;
}

async fn a_handler_that_never_listens_is_ended_by_a_shutdown() {
    let kitchen = Kitchen::open().await;
    let job = kitchen.bake(Dish::Burning).await;
    let child = kitchen.child();
    // Its process ends within the second that follows the grace; the job is given back, and has spent no try.
    kitchen.workers.shutdown(Duration::ZERO).await.ok();
    until("the child has ended", || !lives(&child));
    let stepwell = oven::store(kitchen.place.path()).open().await.unwrap();
    let record = stepwell.job(job.id()).await.unwrap();
    assert_eq!((record.state, record.phases[1].error.as_deref()), (JobState::Pending, None));
    stepwell.close().await.unwrap();
}

async fn a_child_that_crashes_fails_its_phase_and_nothing_else() {
    let kitchen = Kitchen::open().await;
    for (dish, words) in [
        (Dish::Panicking, &["panicked: the oven is too hot"] as &[&str]),
        (Dish::Aborting, &["signal 6, SIGABRT", "the oven is on fire"]),
        (Dish::Leaving, &["ended without an outcome"]),
        (Dish::Greedy, &["signal 6, SIGABRT", "it may use 2147483648 bytes of memory"]),
    ] {
        let failed = kitchen.failure(dish.clone()).await;
        assert!(words.iter().all(|word| failed.contains(word)), "{dish:?}: {failed}");
    }
    kitchen.bake(Dish::Served).await.result().await.unwrap();
    kitchen.close().await;
}

async fn too_early_is_no_failure() {
    let kitchen = Kitchen::open().await;
    assert_eq!(kitchen.bake(Dish::Later).await.result().await.unwrap().try_no, 1);
    kitchen.close().await;
}

async fn a_parent_that_is_killed_leaves_no_child() {
    let place = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut parent = Command::new(program).arg(oven::SERVE).arg(place.path()).spawn().unwrap();
    let child = child(place.path());
    assert!(lives(&child));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the kernel ends the child", || !lives(&child));
}

async fn a_program_that_has_not_begun_is_told_how() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).arg(oven::UNBEGUN).stderr(Stdio::inherit()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("stepwell::process::begin_with(workers)"), "{told}");
}

#[derive(Serialize, Deserialize)]
struct Many;
impl Job for Many {
    const KIND: &'static str = "many";
    type Output = Vec<u32>;
}
struct FanOut;
impl Worker for FanOut {
    type Job = Many;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Vec<u32>> {
        let list = plan.phase("list", (), Self::list);
        plan.each("one", list, Self::one).isolated()
    }
}
impl FanOut {
    async fn list(&self, _: &Ctx<Many>) -> PhaseResult<Vec<u32>> {
        Ok(vec![1])
    }
    async fn one(&self, _: &Ctx<Many>, n: u32) -> PhaseResult<u32> {
        Ok(n)
    }
}

async fn a_test_runs_it_like_any_other_phase() {
    let place = tempfile::tempdir().unwrap();
    let bed = TestBed::with(oven::Oven).await;
    let job = bed.enqueue(Bake { dish: Dish::Served, place: place.path().to_owned() }).await.unwrap();
    bed.run_until_idle().await;
    assert_eq!(job.result().await.unwrap().of, [1, 2]);
    // What cannot be isolated is refused, with what could be.
    let refused: Error = Stepwell::in_memory().worker(FanOut).open().await.err().unwrap();
    assert!(refused.to_string().contains("isolates `one`, which fans out"), "{refused}");
}
