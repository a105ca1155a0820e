//! A handle to the queue.

use std::sync::Arc;

use stepwell_core::{Clock, Error, Job as JobRecord, JobId, Json, Result, store::Description};

use crate::{
    builder::{Backend, Builder},
    engine::Engine,
    enqueue::{Enqueue, EnqueueMany, Untyped},
    events::Events,
    handle::JobHandle,
    job::Job,
    workers::Workers,
};

/// A handle to the queue: cheap to clone, safe to share.
///
/// When the last handle is dropped, the queue stops as by [`close`](Self::close), without waiting.
#[derive(Clone)]
pub struct Stepwell {
    pub(crate) engine: Arc<Engine>,
    _lifeline: Arc<Lifeline>,
}

/// The engine's parts hold on to each other. What ends them is the end of the last handle.
struct Lifeline(Arc<Engine>);

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Stepwell {
    /// A queue in the memory of this process. Everything is gone with it; for tests, and for trying things out.
    pub fn in_memory() -> Builder {
        Builder::new(Backend::Memory)
    }
    /// A queue in an SQLite file, which is made if it does not exist. It may be the application's own database.
    ///
    /// Several processes may open one file: the workers of each take part, and wake each other.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(path: impl AsRef<std::path::Path>) -> Builder {
        Builder::new(Backend::Sqlite {
            path: path.as_ref().to_owned(),
            durability: crate::builder::Durability::Full,
            busy_deadline: None,
            allow_network_file_system: false,
        })
    }
    /// A queue in a PostgreSQL database, in a schema of its own, which is made if it does not exist.
    ///
    /// Any number of processes on any machines may open one: the workers of each take part, and wake each other.
    #[cfg(feature = "postgres")]
    pub fn postgres(url: impl Into<String>) -> Builder {
        Builder::new(Backend::Postgres {
            url: url.into(),
            schema: None,
            durability: crate::builder::Durability::Full,
            busy_deadline: None,
        })
    }
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        let lifeline = Arc::new(Lifeline(engine.clone()));
        Self { engine, _lifeline: lifeline }
    }

    /// Begins to enqueue a job. Await it, or write it inside your own transaction.
    pub fn enqueue<J: Job>(&self, job: J) -> Enqueue<'_, J> {
        Enqueue::new(self, J::KIND.into(), Json::of(&job))
    }
    /// Begins to enqueue a job of a kind that need not be known here.
    ///
    /// A kind that no worker knows is accepted and waits; [`explain`](Self::explain) says why.
    pub fn enqueue_untyped(&self, kind: &str, payload: Json) -> Enqueue<'_, Untyped> {
        Enqueue::new(self, kind.into(), Ok(payload))
    }
    /// Begins to enqueue several jobs in one commit.
    pub fn enqueue_many<J: Job>(&self, jobs: impl IntoIterator<Item = J>) -> EnqueueMany<'_, J> {
        EnqueueMany::new(self, jobs)
    }
    /// A job that was enqueued before.
    pub fn handle<J: Job>(&self, id: JobId) -> JobHandle<J> {
        JobHandle::new(self.clone(), id, false)
    }
    /// A job that was enqueued before, of a kind that need not be known here.
    pub fn handle_untyped(&self, id: JobId) -> JobHandle<Untyped> {
        JobHandle::new(self.clone(), id, false)
    }
    /// Begins to subscribe to events.
    pub fn events(&self) -> Events<'_> {
        Events::new(self)
    }
    /// The clock that decides when jobs are due.
    pub fn clock(&self) -> &Clock {
        self.engine.store.clock()
    }
    /// What the queue is stored in, and what an acknowledgement means.
    pub fn describe(&self) -> Description {
        self.engine.store.describe()
    }
    /// The last place in the event log that this process knows of. What is read after this call shows at least
    /// everything up to it, so that a snapshot and a subscription after this place have no hole between them.
    pub fn head(&self) -> u64 {
        self.engine.store.head()
    }
    /// Fresh random bytes, fit for secrets, from where the queue takes its own.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        self.engine.entropy.bytes()
    }
    /// Whether new work is still taken on: false from the beginning of a shutdown.
    pub fn is_open(&self) -> bool {
        !self.engine.is_draining()
    }
    /// A job as it stands.
    ///
    /// # Errors
    /// If it does not exist, or the store fails.
    pub async fn job(&self, id: JobId) -> Result<JobRecord> {
        self.engine.store.job(id).await?.ok_or_else(|| Error::no_such_job(id))
    }

    /// Runs jobs until the answer is shut down.
    ///
    /// Handlers run on the Tokio runtime that this is called on; if it is called on none, on one of their own.
    pub fn start(&self) -> Workers {
        Workers::start(self.clone())
    }
    /// Closes a queue that was not started: ends subscriptions and closes the storage. For one that was started,
    /// [`Workers::shutdown`] does this. Later calls on any handle answer that the store is closed.
    ///
    /// # Errors
    /// If what is still to be written cannot be.
    pub async fn close(&self) -> Result<()> {
        self.engine.close().await
    }
}
