//! What a phase says, saves and finishes while the disk takes nothing: it is kept, and written when there is room.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rusqlite::ffi;
use serde::{Deserialize, Serialize};
use stepwell::{Change, Ctx, Job, JobHandle, Phase, PhaseResult, Plan, Retry, Stepwell, Worker, Workers};
use stepwell_sim::{Call, Disk, Fault};
use support::directory;
use tempfile::TempDir;
use tokio::sync::Semaphore;

#[derive(Serialize, Deserialize)]
struct Task(Deed);
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Deed {
    Speak,
    Save,
    Fan,
}
impl Job for Task {
    const KIND: &'static str = "task";
    type Output = Vec<u32>;
}

/// Steps that a handler and a test take in turn.
#[derive(Clone)]
struct Talker(Arc<Script>);
struct Script {
    reached: Semaphore,
    go: Semaphore,
    elements: AtomicU32,
}

impl Talker {
    fn new() -> Self {
        Self(Arc::new(Script { reached: Semaphore::new(0), go: Semaphore::new(0), elements: 0.into() }))
    }
    /// In the handler: tells the test, and waits for it.
    async fn pause(&self) {
        self.0.reached.add_permits(1);
        self.0.go.acquire().await.unwrap().forget();
    }
    /// In the test: waits for the handler.
    async fn reached(&self) {
        in_time(self.0.reached.acquire()).await.unwrap().forget();
    }
    fn go_on(&self) {
        self.0.go.add_permits(1);
    }
}

impl Worker for Talker {
    type Job = Task;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Vec<u32>> {
        let retry = Retry::exponential(2).starting_at(Duration::from_millis(1));
        let list = plan.phase("speak", (), Self::speak).retry(retry.clone());
        plan.each("each", list, Self::element).retry(retry)
    }
}
impl Talker {
    async fn speak(&self, cx: &Ctx<Task>) -> PhaseResult<Vec<u32>> {
        match cx.job().0 {
            Deed::Fan => return Ok(vec![1, 2, 3]),
            Deed::Speak => {
                self.pause().await;
                cx.log("one");
                cx.progress(1, 3);
                self.pause().await;
                cx.log("two");
                self.pause().await;
                cx.log("three");
            }
            Deed::Save if cx.attempt() == 1 => {
                cx.save_cursor(&1).await?;
                self.pause().await;
                assert!(cx.save_cursor(&2).await.is_err(), "the disk takes nothing");
                let last = cx.save_cursor(&3).await;
                self.pause().await;
                last?;
            }
            Deed::Save => assert_eq!(cx.cursor::<u32>()?, Some(3)),
        }
        Ok(Vec::new())
    }
    async fn element(&self, _: &Ctx<Task>, n: u32) -> PhaseResult<u32> {
        self.pause().await;
        self.0.elements.fetch_add(1, Ordering::SeqCst);
        Ok(n)
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it happens in time")
}

struct Stage {
    disk: Disk,
    talker: Talker,
    stepwell: Stepwell,
    workers: Workers,
    job: JobHandle<Task>,
    _home: TempDir,
}

/// A job of this kind, on a disk that can be made to take nothing.
async fn begin(deed: Deed) -> Stage {
    let home = directory();
    let disk = Disk::behind(home.path(), 1);
    let talker = Talker::new();
    let builder = Stepwell::sqlite(home.path().join("test.db")).worker(talker.clone());
    let stepwell = builder.lease(Duration::from_secs(60)).open().await.unwrap();
    let workers = stepwell.start();
    let job = stepwell.enqueue(Task(deed)).await.unwrap();
    Stage { disk, talker, stepwell, workers, job, _home: home }
}

impl Stage {
    fn fill_up(&self) {
        self.disk.fail(Fault { call: Call::Write, nth: 1, times: u64::MAX, code: ffi::SQLITE_FULL });
    }
    async fn end(self) {
        in_time(self.workers.shutdown(Duration::from_secs(30))).await.unwrap();
    }
}

#[tokio::test]
async fn lines_and_progress_outlast_a_full_disk() {
    let stage = begin(Deed::Speak).await;
    stage.talker.reached().await;
    let mut progress = stage.stepwell.events().of_job(stage.job.id()).after(0).subscribe();
    stage.fill_up();
    stage.talker.go_on();
    stage.talker.reached().await;
    // Notes are written once a second: at least one write fails.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(stage.disk.heal() > 0, "nothing was tried");
    let told = async { while !matches!(progress.next().await.unwrap().change, Change::Progress { .. }) {} };
    in_time(told).await;
    let text = |line: &stepwell::LogLine| line.text.clone();
    let log: Vec<String> = stage.stepwell.log(stage.job.id()).await.unwrap().iter().map(text).collect();
    assert_eq!(log, ["one"], "written while the phase runs");

    stage.talker.go_on();
    stage.talker.reached().await;
    stage.fill_up();
    stage.talker.go_on();
    // The phase ends while nothing can be written.
    tokio::time::sleep(Duration::from_millis(200)).await;
    stage.disk.heal();
    in_time(stage.job.result()).await.unwrap();
    let log: Vec<String> = stage.stepwell.log(stage.job.id()).await.unwrap().iter().map(text).collect();
    assert_eq!(log, ["one", "two", "three"]);
    stage.end().await;
}

#[tokio::test]
async fn a_cursor_that_could_not_be_saved_is_there_for_the_next_try() {
    let stage = begin(Deed::Save).await;
    stage.talker.reached().await;
    stage.fill_up();
    stage.talker.go_on();
    stage.talker.reached().await;
    stage.disk.heal();
    stage.talker.go_on();
    in_time(stage.job.result()).await.expect("the second try sees the last cursor of the first");
    stage.end().await;
}

#[tokio::test]
async fn a_finished_element_waits_for_room_and_does_not_run_again() {
    let stage = begin(Deed::Fan).await;
    for _ in 0..3 {
        stage.talker.reached().await;
    }
    stage.fill_up();
    (0..3).for_each(|_| stage.talker.go_on());
    let all_done = async {
        while stage.talker.0.elements.load(Ordering::SeqCst) < 3 || stage.disk.failed() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(all_done).await;
    stage.disk.heal();
    assert_eq!(in_time(stage.job.result()).await.unwrap(), [1, 2, 3]);
    assert_eq!(stage.talker.0.elements.load(Ordering::SeqCst), 3, "each ran once");
    let record = stage.job.record().await.unwrap();
    assert_eq!(record.phases[1].tries, 1, "no try was spent");
    stage.end().await;
}
