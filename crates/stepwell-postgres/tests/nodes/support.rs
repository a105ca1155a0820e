//! A database, the stores on it, and what stands in their way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use stepwell_core::{
    Clock, Job, JobId, JobState, Json, Name, PhaseSpec, PlanSpec, SessionId, Token,
    machine::NewJob,
    session::Session,
    store::{ClaimRequest, Lane, Maintain, Maintained, Store, WorkedPlan},
    time::Stopwatch,
};
use stepwell_postgres::{Postgres, PostgresOptions};
use stepwell_postgres_rig::Database;
use tokio_postgres::{Client, NoTls};

/// The kind of every job.
pub(crate) const KIND: &str = "k";
/// How long something may take that happens at once.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(20);

/// A database of the test's own.
pub(crate) struct Place {
    pub(crate) database: Database,
    pub(crate) clock: Clock,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { database: Database::create().unwrap(), clock: Clock::manual(Clock::system().now()) }
    }
    pub(crate) fn options(&self) -> PostgresOptions {
        let mut options = PostgresOptions::new(self.database.url(), [7; 16]);
        options.clock = Some(self.clock.clone());
        (options.committers, options.readers) = (1, 1);
        options
    }
    pub(crate) fn open(&self) -> Postgres {
        Postgres::open(&self.options()).unwrap()
    }
    /// Runs a statement on a connection of its own.
    pub(crate) fn sql(&self, text: &str) -> Vec<Vec<Option<String>>> {
        self.database.query(text).unwrap()
    }
    /// The one number that a query gives.
    pub(crate) fn number(&self, text: &str) -> i64 {
        self.sql(text)[0][0].as_deref().unwrap().parse().unwrap()
    }
    /// A connection that keeps its transaction open.
    pub(crate) async fn foreign(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
    /// Lets whoever has changed a job stand still before the commit, until the transaction of this connection ends.
    pub(crate) async fn hold_commits(&self) -> Client {
        let client = self.foreign().await;
        client.batch_execute("BEGIN; LOCK TABLE stepwell.event_batch IN SHARE MODE").await.unwrap();
        client
    }
    /// Comes back when so many connections wait for a lock.
    pub(crate) async fn until_waiting(&self, n: i64) {
        let client = self.foreign().await;
        let since = Stopwatch::start();
        let count = "SELECT count(*) FROM pg_stat_activity \
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) < n {
            assert!(since.elapsed() < AT_ONCE, "nobody waits");
        }
    }
}

/// Sixteen bytes that no other call gets.
fn unique() -> [u8; 16] {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

pub(crate) fn new_job() -> NewJob {
    let mut random = [0; 10];
    random.copy_from_slice(&unique()[..10]);
    NewJob::new(JobId::from_parts(Clock::system().now(), random), KIND, Json::of(&"payload").unwrap())
}

pub(crate) async fn enqueue(store: &Postgres, job: NewJob) -> stepwell_core::Result<JobId> {
    store.enqueue(vec![job]).await?.remove(0).map(|enqueued| enqueued.id)
}

pub(crate) async fn job(store: &Postgres, id: JobId) -> Job {
    store.job(id).await.unwrap().unwrap()
}

pub(crate) async fn is_pending(store: &Postgres, id: JobId) -> bool {
    job(store, id).await.state == JobState::Pending
}

pub(crate) async fn maintain(store: &Postgres) -> stepwell_core::Result<Maintained> {
    store.maintain(Maintain { jitter: 0.0, session: None }).await
}

/// A session that works the kind.
pub(crate) struct Worker {
    pub(crate) session: SessionId,
    plan: WorkedPlan,
}

impl Worker {
    pub(crate) async fn start(store: &Postgres) -> Self {
        let spec = PlanSpec { kind: KIND.into(), phases: vec![PhaseSpec::new("a")] };
        let plan_ref = store.register(vec![spec.clone()]).await.unwrap().remove(0);
        let id = SessionId::from_bytes(unique());
        let session = Session {
            id,
            node: "node".into(),
            started_at: store.clock().now(),
            kinds: vec![(KIND.into(), plan_ref.generation)],
            queues: vec![(Name::from(NewJob::DEFAULT_QUEUE), 10)],
            about: stepwell_core::session::About::default(),
        };
        store.open_session(session).await.unwrap();
        Self { session: id, plan: WorkedPlan { spec: Arc::new(spec), plan_ref } }
    }
    pub(crate) fn request(&self, n: usize) -> ClaimRequest {
        ClaimRequest {
            session: self.session,
            lanes: vec![Lane { queue: NewJob::DEFAULT_QUEUE.into(), at_most: n }],
            plans: Arc::new(vec![self.plan.clone()]),
            tokens: (0..n).map(|_| Token::from_bytes(unique())).collect(),
        }
    }
}
