//! A full disk: nothing acknowledged is lost, nothing hangs, reads go on, and so does everything when there is room.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    collections::BTreeSet,
    process::Command as Process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, JobState, Phase, PhaseResult, Plan, Retention, Stepwell, Worker};
use stepwell_core::{
    Clock, JobId, Json, PhaseSpec, PlanSpec, SessionId, Timestamp, Token,
    lease::Fence,
    machine::{Command, NewJob},
    retention::{Keep, Retention as Kept},
    session::Session,
    store::{ClaimRequest, Claimed, Lane, Request, Store, WorkedPlan},
};
use stepwell_sim::Disk;
use stepwell_sqlite::{Sqlite, SqliteOptions};
use stepwell_store_tests::invariants::{check, snapshot::Snapshot};
use support::{directory, wait};

const FILE: &str = "test.db";
const ROOM: u64 = 600 << 10;

fn id(n: u32) -> JobId {
    let [a, b, c, d] = n.to_be_bytes();
    JobId::from_parts(Timestamp::from_micros(1_780_000_000_000_000), [1, a, b, c, d, 0, 0, 0, 0, 0])
}

fn put(store: &Sqlite, n: u32) -> stepwell::Result<JobId> {
    let new = NewJob::new(id(n), "k", Json::of(&"x".repeat(8_000)).unwrap());
    wait(store.enqueue(vec![new]))?.remove(0).map(|enqueued| enqueued.id)
}

/// Enqueues until there is no room.
fn fill(store: &Sqlite, from: u32) -> (Vec<JobId>, stepwell::Error) {
    let mut stored = Vec::new();
    for n in from.. {
        match put(store, n) {
            Ok(id) => stored.push(id),
            Err(error) => return (stored, error),
        }
        assert!(n < from + 5_000, "the disk is full at some time");
    }
    unreachable!("the loop has an end");
}

fn session() -> SessionId {
    SessionId::from_bytes([3; 16])
}

fn claim(store: &Sqlite, at_most: usize) -> Vec<Claimed> {
    let plan = PlanSpec { kind: "k".into(), phases: vec![PhaseSpec::new("a")] };
    let plan_ref = wait(store.register(vec![plan.clone()])).unwrap().remove(0);
    let opened = Session {
        id: session(),
        node: "node".into(),
        started_at: Timestamp::from_micros(1),
        kinds: vec![("k".into(), plan_ref.generation)],
        queues: vec![("default".into(), 10)],
        about: stepwell_core::session::About::default(),
    };
    wait(store.open_session(opened)).unwrap();
    let request = ClaimRequest {
        session: session(),
        lanes: vec![Lane { queue: "default".into(), at_most }],
        plans: Arc::new(vec![WorkedPlan { spec: Arc::new(plan), plan_ref }]),
        tokens: (0..at_most).map(|n| Token::from_bytes([u8::try_from(n).unwrap(); 16])).collect(),
    };
    wait(store.claim(request)).unwrap().jobs
}

fn complete(claimed: &Claimed) -> Request {
    let result = Json::of(&"r".repeat(30_000)).unwrap();
    let commands = vec![Command::CompletePhase { phase: "a".into(), result }];
    Request { job: claimed.job.id, fence: claimed.job.owner_fence().unwrap(), commands }
}

fn cancel(job: JobId) -> Request {
    Request { job, fence: Fence::None, commands: vec![Command::Cancel { grace: Duration::ZERO }] }
}

fn prune_cancelled(store: &Sqlite) {
    let keep = Kept { cancelled: Keep::EVERYTHING.at_most(0), ..Kept::KEEP_EVERYTHING };
    while wait(store.prune(keep.clone())).unwrap().more {}
}

fn assert_all_there(store: &Sqlite, stored: &[JobId]) {
    let found = wait(Snapshot::read(store)).unwrap();
    assert_eq!(check(&found), []);
    let found: BTreeSet<JobId> = found.jobs.iter().map(|shown| shown.job.id).collect();
    let expected: BTreeSet<JobId> = stored.iter().copied().collect();
    assert_eq!(found, expected, "what was acknowledged is there, and nothing else");
}

#[test]
fn a_full_disk_is_named_reads_go_on_and_so_do_writes_when_there_is_room() {
    let home = directory();
    let disk = Disk::behind(home.path(), 1);
    let store = Sqlite::open(SqliteOptions::new(home.path().join(FILE), [7; 16])).unwrap();
    let mut stored: Vec<JobId> = (0..3).map(|n| put(&store, n).unwrap()).collect();
    let running = claim(&store, 2);
    disk.limit(Some(ROOM));
    let (more, error) = fill(&store, 3);
    stored.extend(more);
    assert!(error.is_storage_full() && error.is_transient(), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("the disk is full, nothing was written; free some space"), "{text}");

    assert_all_there(&store, &stored);
    assert!(store.beat(session()).unwrap().alive, "the lease is kept meanwhile");
    let late = wait(store.apply(complete(&running[0]))).unwrap_err();
    assert!(
        late.is_storage_full(),
        "the end of a phase is refused as full, so that it is told again: {late}"
    );
    assert_eq!(wait(store.job(running[0].job.id)).unwrap().unwrap().state, JobState::Running);

    disk.limit(None);
    for claimed in &running {
        let job = wait(store.apply(complete(claimed))).unwrap().job;
        assert_eq!(job.state, JobState::Completed, "a job that ran is not lost");
    }
    stored.push(put(&store, 10_000).unwrap());
    assert_all_there(&store, &stored);
    wait(store.close()).unwrap();
    let store = Sqlite::open(SqliteOptions::new(home.path().join(FILE), [7; 16])).unwrap();
    assert_all_there(&store, &stored);
}

/// A queue that has found its size: the log is large, and the file need not grow.
#[test]
fn the_log_is_emptied_to_make_room() {
    let home = directory();
    let disk = Disk::behind(home.path(), 1);
    let store = Sqlite::open(SqliteOptions::new(home.path().join(FILE), [7; 16])).unwrap();
    for n in 0..300 {
        let id = put(&store, n).unwrap();
        wait(store.apply(cancel(id))).unwrap();
    }
    prune_cancelled(&store);
    let other = Connection::open(home.path().join(FILE)).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    disk.limit(Some(disk.bytes() + (1 << 20)));
    let (mut refused, mut in_a_row) = (0, 0);
    for n in 1_000..1_200 {
        match put(&store, n) {
            Ok(_) => in_a_row = 0,
            Err(error) => {
                assert!(error.is_storage_full(), "{error}");
                (refused, in_a_row) = (refused + 1, in_a_row + 1);
                assert_eq!(in_a_row, 1, "whoever finds no room makes some for the next");
            }
        }
    }
    assert!(refused > 1, "the log filled its room more than once");
}

#[test]
fn the_largest_size_of_the_file_is_a_full_disk_too() {
    let home = directory();
    let mut options = SqliteOptions::new(home.path().join(FILE), [7; 16]);
    options.page_limit = Some(150);
    options.clock = Some(Clock::system());
    let store = Sqlite::open(options.clone()).unwrap();
    let mut stored = Vec::new();
    for n in 50_000..50_010 {
        stored.push(put(&store, n).unwrap());
        wait(store.apply(cancel(stored[stored.len() - 1]))).unwrap();
    }
    let (more, error) = fill(&store, 0);
    stored.extend(more);
    assert!(error.is_storage_full(), "{error}");
    assert!(stored.len() > 10);
    assert_all_there(&store, &stored);
    // Callers that share a commit with one that finds no room are told the same, and none of them is half there.
    let results: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let store = &store;
                    move || put(store, 60_000 + n)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert!(
        results.iter().all(|result| result.as_ref().is_err_and(stepwell::Error::is_storage_full)),
        "{results:?}"
    );
    assert_all_there(&store, &stored);

    // Room can be made with Stepwell itself, although that is a write.
    prune_cancelled(&store);
    stored.retain(|id| wait(store.job(*id)).unwrap().is_some());
    stored.push(put(&store, 70_000).unwrap());
    assert_all_there(&store, &stored);
}

const CHILD: &str = "STEPWELL_FULL_CHILD";

/// The kernel's own limit on a file's size, in a process of its own. Does nothing in an ordinary run.
#[test]
fn limited_child() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Ok(file) = std::env::var(CHILD) else { return };
    let store = Sqlite::open(SqliteOptions::new(&file, [7; 16])).unwrap();
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(ROOM), ..before }).unwrap();
    let (mut stored, error) = fill(&store, 0);
    assert!(stored.len() > 5);
    assert!(error.is_transient() && !error.is_fatal(), "{error}");
    assert!(error.to_string().contains("limit on the size of this process's files"), "{error}");
    assert_all_there(&store, &stored);
    setrlimit(Resource::Fsize, before).unwrap();
    stored.push(put(&store, 10_000).unwrap());
    assert_all_there(&store, &stored);
    println!("went on with {} jobs", stored.len());
}

#[test]
fn a_limit_on_the_size_of_files_is_named_and_survived() {
    let home = directory();
    // The shell ignores the signal that would end the process, and its child inherits that.
    let output = Process::new("sh")
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "limited_child", "--nocapture"])
        .env(CHILD, home.path().join(FILE))
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("went on with"), "{text}");
    let conn = Connection::open(home.path().join(FILE)).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

#[derive(Serialize, Deserialize)]
struct Large(u32);
impl Job for Large {
    const KIND: &'static str = "large";
    type Output = String;
}
struct Writer {
    runs: Arc<AtomicU32>,
    go: tokio::sync::watch::Receiver<bool>,
}
impl Worker for Writer {
    type Job = Large;
    fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
        plan.phase("write", (), Self::write)
    }
}
impl Writer {
    async fn write(&self, _: &Ctx<Large>) -> PhaseResult<String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        self.go.clone().wait_for(|go| *go).await.ok();
        Ok("r".repeat(50_000))
    }
}

/// The whole engine: handlers finish while the disk is full, and their work is neither lost nor done again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_end_on_a_full_disk_wait_for_room() {
    let home = directory();
    let disk = Disk::behind(home.path(), 1);
    let runs = Arc::new(AtomicU32::new(0));
    let (go, ready) = tokio::sync::watch::channel(false);
    let worker = Writer { runs: runs.clone(), go: ready };
    let builder =
        Stepwell::sqlite(home.path().join(FILE)).worker(worker).retention(Retention::KEEP_EVERYTHING);
    let stepwell = builder.lease(Duration::from_secs(60)).open().await.unwrap();
    let workers = stepwell.start();
    let mut jobs = Vec::new();
    for n in 0..8 {
        jobs.push(stepwell.enqueue(Large(n)).await.unwrap());
    }
    let begun = Duration::from_secs(60);
    let all_run = async {
        while runs.load(Ordering::SeqCst) < 8 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(begun, all_run).await.expect("all jobs run");
    disk.limit(Some(disk.bytes() + (60 << 10)));
    go.send_replace(true);
    // New work is refused, and says so at once.
    let refused = async {
        loop {
            match stepwell.enqueue(Large(99)).await {
                Ok(job) => jobs.push(job),
                Err(error) => break error,
            }
        }
    };
    let error = tokio::time::timeout(begun, refused).await.expect("an answer comes");
    assert!(error.is_storage_full(), "{error}");
    assert!(stepwell.job(jobs[0].id()).await.is_ok(), "reads go on");
    disk.limit(None);
    for job in &jobs {
        let result = tokio::time::timeout(begun, job.result()).await.expect("it ends when there is room");
        assert_eq!(result.unwrap().len(), 50_000);
    }
    assert_eq!(runs.load(Ordering::SeqCst) as usize, jobs.len(), "each ran once");
    workers.shutdown(Duration::from_secs(30)).await.unwrap();
}
