//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::Thread,
};

use stepwell_core::{
    Clock, Job, JobId, Json, Name, PhaseSpec, PlanSpec, SessionId, Timestamp, Token,
    job::PlanRef,
    machine::{Command, NewJob},
    session::Session,
    store::{ClaimRequest, Claimed, Lane, Request, Store, WorkedPlan},
};
use stepwell_sqlite::{Sqlite, SqliteOptions};
use tempfile::TempDir;

/// Waits for a future on this thread.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A directory with a database.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("test.db")
    }
    pub(crate) fn options(&self) -> SqliteOptions {
        SqliteOptions::new(self.path(), [1; 16])
    }
    pub(crate) fn open(&self) -> Sqlite {
        Sqlite::open(self.options()).unwrap()
    }
    pub(crate) fn foreign(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }
    /// The files beside the database whose names contain this.
    pub(crate) fn beside(&self, part: &str) -> Vec<String> {
        let names = std::fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains(part));
        names.sort();
        names
    }
}

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Ten bytes that no other call gets.
fn unique() -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    bytes[6..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

pub(crate) fn job_id() -> JobId {
    JobId::from_parts(Clock::system().now(), unique())
}

pub(crate) fn token() -> Token {
    let mut bytes = [7; 16];
    bytes[..10].copy_from_slice(&unique());
    Token::from_bytes(bytes)
}

pub(crate) fn new_job(kind: &str) -> NewJob {
    NewJob::new(job_id(), kind, Json::of(&"payload").unwrap())
}

pub(crate) fn enqueue(store: &Sqlite, job: NewJob) -> stepwell_core::Result<JobId> {
    wait(store.enqueue(vec![job]))?.remove(0).map(|enqueued| enqueued.id)
}

/// A worker of one kind in the default queue.
pub(crate) struct Worker {
    pub(crate) session: SessionId,
    pub(crate) plan: WorkedPlan,
}

pub(crate) fn session(kinds: Vec<(Name, u64)>) -> Session {
    Session {
        id: SessionId::from_parts(Clock::system().now(), unique()),
        node: "node".into(),
        started_at: Timestamp::from_micros(1),
        kinds,
        queues: vec![("default".into(), 10)],
        about: stepwell_core::session::About::default(),
    }
}

impl Worker {
    pub(crate) fn start(store: &Sqlite, kind: &str, phases: &[&str]) -> Self {
        let spec =
            PlanSpec { kind: kind.into(), phases: phases.iter().map(|name| PhaseSpec::new(*name)).collect() };
        let plan_ref: PlanRef = wait(store.register(vec![spec.clone()])).unwrap().remove(0);
        let session = session(vec![(kind.into(), plan_ref.generation)]);
        let id = session.id;
        wait(store.open_session(session)).unwrap();
        Self { session: id, plan: WorkedPlan { spec: Arc::new(spec), plan_ref } }
    }
    pub(crate) fn request(&self, n: usize) -> ClaimRequest {
        ClaimRequest {
            session: self.session,
            lanes: vec![Lane { queue: "default".into(), at_most: n }],
            plans: Arc::new(vec![self.plan.clone()]),
            tokens: (0..n).map(|_| token()).collect(),
        }
    }
    pub(crate) fn claim(&self, store: &Sqlite, n: usize) -> Vec<Claimed> {
        wait(store.claim(self.request(n))).unwrap().jobs
    }
}

/// What the owner of a job says to end its running phase and start the next.
pub(crate) fn complete(job: &Job, result: &str) -> Request {
    let phase = job.running_phase().unwrap().name.clone();
    let result = Json::of(result).unwrap();
    let mut commands = vec![Command::CompletePhase { phase, result }];
    if job.next_phase().is_some() {
        commands.push(Command::StartPhase);
    }
    Request { job: job.id, fence: job.owner_fence().unwrap(), commands }
}

pub(crate) fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}
