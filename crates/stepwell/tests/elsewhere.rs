//! Several processes on one store: what one of them does to the others. The others are this test, started again.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "sqlite")]

mod support;

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Builder, Change, Ctx, Desired, Event, Job, JobState, Node, PhaseResult, Reason, SessionState, Stepwell,
    Stopwatch,
};
use support::{names, soon};

const STORE: &str = "STEPWELL_ELSEWHERE_STORE";
const NAME: &str = "STEPWELL_ELSEWHERE_NAME";

/// Runs until it is told to stop.
#[derive(Serialize, Deserialize)]
struct Endless;
impl Job for Endless {
    const KIND: &'static str = "endless";
    type Output = ();
}
async fn endless(cx: &Ctx<Endless>) -> PhaseResult<()> {
    cx.cancelled().await;
    Err("it was told to stop".into())
}

/// Says which process has run it.
#[derive(Serialize, Deserialize)]
struct Brief;
impl Job for Brief {
    const KIND: &'static str = "brief";
    type Output = u32;
}
async fn brief(_: &Ctx<Brief>) -> PhaseResult<u32> {
    Ok(std::process::id())
}

/// A store by its address: `sqlite:PATH`, or a URL of PostgreSQL.
fn store(address: &str) -> Builder {
    match address.strip_prefix("sqlite:") {
        Some(path) => Stepwell::sqlite(path),
        #[cfg(feature = "postgres")]
        None => Stepwell::postgres(address),
        #[cfg(not(feature = "postgres"))]
        None => panic!("{address}"),
    }
}

/// Another process: works until somebody wants its end. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(address), Ok(name)) = (std::env::var(STORE), std::env::var(NAME)) else { return };
    let stepwell = store(&address).node(name).worker_fn(endless).worker_fn(brief).open().await.unwrap();
    let workers = stepwell.start();
    workers.terminated().await;
    workers.shutdown(Duration::from_secs(20)).await.unwrap();
}

struct Process(Child);

impl Process {
    fn start(address: &str, name: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .envs([(STORE, address), (NAME, name)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
    /// Its exit code, once it has ended by itself.
    async fn ended(mut self) -> Option<i32> {
        soon("the process ends", async {
            loop {
                if let Some(status) = self.0.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
    }
}

impl Drop for Process {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The node with a name, once it is as is expected of it.
async fn node(stepwell: &Stepwell, name: &str, is_so: impl Fn(&Node) -> bool) -> Node {
    soon(&format!("{name} is as expected"), async {
        loop {
            let nodes = stepwell.nodes().await.unwrap();
            if let Some(node) = nodes.into_iter().find(|node| node.session.node == name && is_so(node)) {
                return node;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn a_running_job_is_cancelled_at_once(address: &str) {
    let _process = Process::start(address, "worker");
    let front = store(address).open().await.unwrap();
    let mut took = Vec::new();
    for _ in 0..5 {
        let job = front.enqueue(Endless).await.unwrap();
        let mut events = front.events().of_job(job.id()).after(0).subscribe();
        soon("the phase begins", async {
            while !matches!(events.next().await.unwrap().change, Change::PhaseStarted { .. }) {}
        })
        .await;
        let since = Stopwatch::start();
        job.cancel().await.unwrap();
        let ended = soon("the job ends", job.ended()).await.unwrap();
        took.push(since.elapsed());
        // Not forced: its own process has heard of it.
        assert_eq!((ended.state, ended.reason), (JobState::Cancelled, Some(Reason::Requested)));
        let said = ["enqueued", "started", "phase:started", "cancelling", "cancelled"];
        assert_eq!(names(&front, &job).await, said.map(|name| format!("job:{name}")));
    }
    took.sort();
    println!("from the wish to the end: {took:?}");
    // Whoever is not told looks for himself, but not as often as this.
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
    front.close().await.unwrap();
}

async fn nodes_are_quieted_resumed_and_ended(address: &str) {
    let (one, other) = (Process::start(address, "one"), Process::start(address, "other"));
    let front = store(address).open().await.unwrap();
    let first = node(&front, "one", |node| node.state == SessionState::Running && !node.lost).await;
    let second = node(&front, "other", |node| node.state == SessionState::Running && !node.lost).await;
    let about = &first.session.about;
    assert!(about.host.is_some() && about.pid == Some(one.0.id()) && !about.remote, "{about:?}");
    assert!(
        about.version.as_deref() == Some(env!("CARGO_PKG_VERSION")) && first.beat_at.is_some(),
        "{first:?}"
    );
    let (first, second) = (first.session.id, second.session.id);

    assert_eq!(front.want(first, Desired::Quiet).await.unwrap(), Desired::Quiet);
    node(&front, "one", |node| node.state == SessionState::Quiet).await;
    let mut ran_by = BTreeSet::new();
    for _ in 0..20 {
        let job = front.enqueue(Brief).await.unwrap();
        ran_by.insert(soon("the job ends", job.result()).await.unwrap());
    }
    assert_eq!(ran_by, BTreeSet::from([other.0.id()]), "a quiet node claims nothing");

    // And the other way round.
    front.want(second, Desired::Quiet).await.unwrap();
    node(&front, "other", |node| node.state == SessionState::Quiet).await;
    front.want(first, Desired::Run).await.unwrap();
    let job = front.enqueue(Brief).await.unwrap();
    assert_eq!(soon("the job ends", job.result()).await.unwrap(), one.0.id());

    // The end waits for what runs, and is not taken back.
    let job = front.enqueue(Endless).await.unwrap();
    node(&front, "one", |node| node.running == 1).await;
    assert_eq!(front.want(first, Desired::Terminate).await.unwrap(), Desired::Terminate);
    assert_eq!(front.want(first, Desired::Run).await.unwrap(), Desired::Terminate);
    node(&front, "one", |node| node.state == SessionState::Stopping).await;
    job.cancel().await.unwrap();
    assert_eq!(one.ended().await, Some(0));
    let left = front.nodes().await.unwrap();
    assert_eq!(left.iter().map(|node| &*node.session.node).collect::<Vec<_>>(), ["other"]);
    assert!(front.want(first, Desired::Quiet).await.unwrap_err().is_not_found());

    // A quiet node can be ended, too.
    front.want(second, Desired::Terminate).await.unwrap();
    assert_eq!(other.ended().await, Some(0));
    assert_eq!(front.nodes().await.unwrap(), []);
    front.close().await.unwrap();
}

async fn a_limit_holds_for_all_processes(address: &str) {
    const LIMIT: usize = 2;
    let front = store(address).open().await.unwrap();
    front.set_limit("default", Some(2)).await.unwrap();
    let mut jobs = Vec::new();
    for _ in 0..60 {
        jobs.push(front.enqueue(Brief).await.unwrap());
    }
    let processes = ["one", "two", "three"].map(|name| Process::start(address, name));
    // Without anybody being told that a place is free, this would take minutes.
    let mut ran_by = BTreeSet::new();
    for job in jobs {
        ran_by.insert(soon("the job ends", job.result()).await.unwrap());
    }
    let mut log = front.events().after(0).subscribe();
    let (mut running, mut most, mut ended) = (BTreeSet::new(), 0, 0);
    while ended < 60 {
        let Event { job, change, .. } = soon("the log is read", log.next()).await.unwrap();
        match change {
            Change::Started | Change::Resumed => drop(running.insert(job)),
            Change::Completed | Change::Released => drop(running.remove(&job)),
            _ => {}
        }
        ended += usize::from(matches!(change, Change::Completed));
        most = most.max(running.len());
    }
    assert_eq!(most, LIMIT);
    println!("{} of {} processes had some", ran_by.len(), processes.len());
    front.close().await.unwrap();
}

macro_rules! on_every_store {
    ($($case:ident,)+) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let place = tempfile::tempdir().unwrap();
                super::$case(&format!("sqlite:{}", place.path().join("app.db").display())).await;
            })+
        }
        #[cfg(feature = "postgres")]
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let database = stepwell_postgres_rig::Database::create().unwrap();
                super::$case(&database.url()).await;
            })+
        }
    };
}
on_every_store! {
    a_running_job_is_cancelled_at_once,
    nodes_are_quieted_resumed_and_ended,
    a_limit_holds_for_all_processes,
}
