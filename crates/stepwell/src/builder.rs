//! How a queue is put together.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use stepwell_core::{
    Clock, Error, Name, Result,
    machine::NewJob,
    name,
    queue::QueueChange,
    retention::Retention,
    store::{Schema, Store},
};
use stepwell_memory::Memory;

use crate::{
    client::Stepwell,
    engine::{Config, Engine, Parts},
    entropy::Entropy,
    job::{Job, Worker},
    registered::{AnyWorker, Registered},
    single::{OneShot, Single},
};

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// It is on disk: SQLite's `synchronous=FULL`, PostgreSQL's `synchronous_commit`, at least `on`. A power loss
    /// takes nothing that was acknowledged.
    #[default]
    Full,
    /// It survives a crash of the process, but a power loss may take the last seconds: `synchronous=NORMAL`,
    /// `synchronous_commit=off`.
    Relaxed,
}

pub(crate) enum Backend {
    Memory,
    #[cfg(feature = "sqlite")]
    Sqlite {
        path: std::path::PathBuf,
        durability: Durability,
        busy_deadline: Option<Duration>,
        allow_network_file_system: bool,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        url: String,
        schema: Option<String>,
        durability: Durability,
        busy_deadline: Option<Duration>,
    },
}

impl Backend {
    /// The schema of a PostgreSQL database.
    fn schema(&self) -> Option<Arc<str>> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres { schema, .. } => {
                Some(schema.as_deref().unwrap_or(stepwell_postgres::SCHEMA).into())
            }
            _ => None,
        }
    }
}

/// A queue in the making: what it is stored in, what it works, and how.
#[must_use = "nothing happens until `.open()` is called"]
pub struct Builder {
    backend: Backend,
    workers: BTreeMap<Name, Arc<dyn AnyWorker>>,
    queues: BTreeMap<Name, usize>,
    limits: BTreeMap<Name, u32>,
    #[cfg(all(feature = "process", target_os = "linux"))]
    commands: Vec<crate::process::CommandKind>,
    clock: Option<Clock>,
    pub(crate) config: Config,
    steady: bool,
    #[cfg(feature = "webhooks")]
    webhooks: crate::webhook::WebhookOptions,
    /// The first mistake, told by `open`.
    mistake: Option<Error>,
}

/// Jobs of one queue at once, unless set.
const CONCURRENCY: usize = 16;

impl Builder {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            workers: BTreeMap::new(),
            queues: BTreeMap::new(),
            limits: BTreeMap::new(),
            #[cfg(all(feature = "process", target_os = "linux"))]
            commands: Vec::new(),
            clock: None,
            config: Config::default(),
            steady: false,
            #[cfg(feature = "webhooks")]
            webhooks: crate::webhook::WebhookOptions::new(),
            mistake: None,
        }
    }

    /// Registers a worker.
    ///
    /// A mistake in its plan, or a second worker of the same kind, is told by [`open`](Self::open).
    pub fn worker<W: Worker>(mut self, worker: W) -> Self {
        let kind: Name = <W::Job as Job>::KIND.into();
        match Registered::new(worker) {
            Ok(registered) => {
                if self.workers.insert(kind.clone(), Arc::new(registered)).is_some() {
                    let problem = "has two workers; a kind has one, remove the other";
                    self.blame(Error::invalid(format!("kind {kind}"), problem));
                }
            }
            Err(error) => self.blame(error),
        }
        self
    }
    /// Registers a job that is a single function: one phase, called `run`.
    pub fn worker_fn<J, F, O>(self, run: F) -> Self
    where
        J: Job<Output = O>,
        F: for<'a> OneShot<'a, J, Output = O> + Send + Sync + 'static,
        O: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
    {
        self.worker(Single::<J, F>::new(run))
    }
    /// Registers a kind of job whose phases are programs.
    ///
    /// A mistake in it, or a second worker of the same kind, is told by [`open`](Self::open); so is a program that does
    /// not begin with [`process::begin`](crate::process::begin).
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn command_kind(mut self, kind: crate::process::CommandKind) -> Self {
        self.commands.push(kind);
        self
    }
    /// How many jobs of a queue may run at once in this process: 16 unless set; 0 leaves the queue to other processes.
    ///
    /// The queue `default`, and every queue that a registered plan names, is worked without being set.
    pub fn queue(mut self, queue: impl Into<Name>, at_once: usize) -> Self {
        let queue = queue.into();
        if let Err(error) = name::check("queue", &queue) {
            self.blame(error);
        }
        self.queues.insert(queue, at_once);
        self
    }
    /// How many jobs of a queue may run at once in all processes on this store together: see
    /// [`Stepwell::set_limit`]. It is set when the store is opened, for all, and stays until somebody sets another.
    pub fn queue_limit(mut self, queue: impl Into<Name>, limit: u32) -> Self {
        let queue = queue.into();
        let checked = name::check("queue", &queue).and(QueueChange::Limit(Some(limit)).check());
        if let Err(error) = checked {
            self.blame(error);
        }
        self.limits.insert(queue, limit);
        self
    }
    /// How long ended jobs and events are kept: 7 days for completed and cancelled jobs, 30 days for failed jobs and
    /// for events, unless set. Whatever is older goes within a minute; if something is kept for less than two minutes,
    /// within half of that time, or a second.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.config.retention = retention;
        self
    }
    /// What an acknowledgement means: [`Durability::Full`] unless set. Of no effect in memory.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), expect(unused_variables))]
    pub fn durability(mut self, wanted: Durability) -> Self {
        match &mut self.backend {
            Backend::Memory => {}
            #[cfg(feature = "sqlite")]
            Backend::Sqlite { durability, .. } => *durability = wanted,
            #[cfg(feature = "postgres")]
            Backend::Postgres { durability, .. } => *durability = wanted,
        }
        self
    }
    /// How long a call may wait for the write lock of the file, or for the database: 30 s unless set. Then it answers
    /// that the store is busy, and why. Of no effect in memory.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), expect(unused_variables))]
    pub fn busy_deadline(mut self, deadline: Duration) -> Self {
        match &mut self.backend {
            Backend::Memory => {}
            #[cfg(feature = "sqlite")]
            Backend::Sqlite { busy_deadline, .. } => *busy_deadline = Some(deadline),
            #[cfg(feature = "postgres")]
            Backend::Postgres { busy_deadline, .. } => *busy_deadline = Some(deadline),
        }
        self
    }
    /// The schema of a PostgreSQL database that everything lives in: `stepwell` unless set. Of no effect elsewhere.
    #[cfg(feature = "postgres")]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        if let Backend::Postgres { schema, .. } = &mut self.backend {
            *schema = Some(name.into());
        }
        self
    }
    /// Opens a file on a network file system, which is refused otherwise: SQLite's locks do not hold there, and the
    /// file may be corrupted.
    #[cfg_attr(not(feature = "sqlite"), expect(unused_mut))]
    pub fn allow_network_file_system(mut self) -> Self {
        #[cfg(feature = "sqlite")]
        if let Backend::Sqlite { allow_network_file_system, .. } = &mut self.backend {
            *allow_network_file_system = true;
        }
        self
    }
    /// How long a lease outlives the last sign of life of its process: 30 s unless set.
    pub fn lease(mut self, ttl: Duration) -> Self {
        self.config.lease_ttl = ttl.max(Duration::from_millis(100));
        self
    }
    /// How long a phase that was asked to stop has before it is dropped, and its job ends without it: 10 s unless set.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.config.cancel_grace = grace;
        self
    }
    /// How many blocking phases run at once: as many as the machine has cores, at least 4, unless set.
    pub fn blocking_threads(mut self, threads: usize) -> Self {
        self.config.blocking_threads = threads.max(1);
        self
    }
    /// How this process is called in events and lists: machine and process number unless set.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.config.node = name.into();
        self
    }
    /// How this process sends webhooks.
    #[cfg(feature = "webhooks")]
    pub fn webhooks(mut self, options: crate::webhook::WebhookOptions) -> Self {
        self.webhooks = options;
        self
    }
    /// Another clock: one that is moved by hand, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }
    /// Back-off takes its upper bound, so that tests are exact.
    #[cfg(feature = "testing")]
    pub(crate) fn steady(mut self) -> Self {
        self.steady = true;
        self
    }

    /// Which schema the storage has, without opening it, which would bring that up to date; none if there is none yet,
    /// as in memory.
    ///
    /// # Errors
    /// If the file or the database cannot be read.
    pub async fn stored_schema(self) -> Result<Option<Schema>> {
        match self.backend {
            Backend::Memory => Ok(None),
            #[cfg(feature = "sqlite")]
            Backend::Sqlite { path, .. } => look(move || stepwell_sqlite::Upkeep::of(path).schema()).await,
            #[cfg(feature = "postgres")]
            Backend::Postgres { url, schema, .. } => {
                let options = addressed(url, schema);
                look(move || stepwell_postgres::schema(&options)).await
            }
        }
    }
    /// Deletes the schema of a PostgreSQL database and everything in it, for ever. Nobody may use it any more.
    ///
    /// # Errors
    /// If it is no schema of Stepwell's, or cannot be deleted; or if the storage is no PostgreSQL database.
    #[cfg(feature = "postgres")]
    pub async fn drop_schema(self) -> Result<()> {
        match self.backend {
            Backend::Postgres { url, schema, .. } => {
                let options = addressed(url, schema);
                look(move || stepwell_postgres::drop_schema(&options)).await
            }
            _ => Err(Error::invalid("storage", "is no PostgreSQL database; only such a one has a schema")),
        }
    }
    /// The worker of a kind, without a queue.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) fn worker_of(mut self, kind: &Name) -> Result<Arc<dyn AnyWorker>> {
        match self.mistake.take() {
            Some(mistake) => Err(mistake),
            None => self.workers.remove(kind).ok_or_else(|| {
                let problem = format!("need a worker of `{kind}`, and `begin_with` is given none");
                Error::invalid("isolated phases", problem)
            }),
        }
    }

    fn blame(&mut self, mistake: Error) {
        self.mistake.get_or_insert(mistake);
    }

    /// Opens the storage, brings its schema up to date, and registers the plans. No job runs until
    /// [`Stepwell::start`].
    ///
    /// # Errors
    /// If a plan is wrong or two workers are registered for one kind; if the file or the database cannot be opened or
    /// written, is none, or has a newer schema; or if the file lies on a network file system.
    pub async fn open(mut self) -> Result<Stepwell> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        #[cfg(feature = "webhooks")]
        self.webhooks.check()?;
        let entropy = Entropy::new(self.steady);
        self.config.schema = self.backend.schema();
        let store = open_store(self.backend, self.clock, &entropy, self.config.lease_ttl).await?;
        set_limits(&*store, self.limits).await?;
        #[cfg(all(feature = "process", target_os = "linux"))]
        begin_processes(&mut self.workers, self.commands, &*store, self.steady).await?;
        let mut queues = self.queues;
        let named = self.workers.values().flat_map(|worker| worker.spec().phases.clone());
        for queue in named.filter_map(|phase| phase.queue).chain([NewJob::DEFAULT_QUEUE.into()]) {
            queues.entry(queue).or_insert(CONCURRENCY);
        }
        #[cfg(feature = "webhooks")]
        let webhooks = crate::webhook::Outbox::new(store.clone(), self.webhooks, Entropy::new(self.steady));
        #[cfg(feature = "webhooks")]
        if !webhooks.options.idle {
            let sender = Registered::new(crate::webhook::Sender::new(webhooks.clone()))?;
            self.workers.insert(stepwell_core::webhook::KIND.into(), Arc::new(sender));
        }
        #[cfg(feature = "bulk")]
        {
            let worker = crate::bulk::BulkWorker::new(store.clone(), self.config.cancel_deadline());
            self.workers.insert(crate::bulk::KIND.into(), Arc::new(Registered::new(worker)?));
            queues.insert(crate::bulk::QUEUE.into(), crate::bulk::AT_ONCE);
        }
        let parts = Parts {
            store,
            workers: self.workers,
            queues,
            entropy,
            config: self.config,
            #[cfg(feature = "webhooks")]
            webhooks,
        };
        let engine = Engine::open(parts).await?;
        Ok(Stepwell::new(engine))
    }
}

/// Sets the limits that are not as they should be.
async fn set_limits(store: &dyn Store, limits: BTreeMap<Name, u32>) -> Result<()> {
    if limits.is_empty() {
        return Ok(());
    }
    let set = store.queues().await?;
    for (queue, limit) in limits {
        let is_set = set.iter().any(|known| known.name == queue && known.limit == Some(limit));
        if !is_set {
            store.change_queue(queue, QueueChange::Limit(Some(limit))).await?;
        }
    }
    Ok(())
}

/// Registers kinds of programs, and ends what an earlier process may have left of them and of isolated phases.
#[cfg(all(feature = "process", target_os = "linux"))]
async fn begin_processes(
    workers: &mut BTreeMap<Name, Arc<dyn AnyWorker>>,
    commands: Vec<crate::process::CommandKind>,
    store: &dyn Store,
    steady: bool,
) -> Result<()> {
    use crate::process::{CommandWorker, can_isolate, check_begun, check_isolates, end_left};
    let is_isolated = workers.values().any(|worker| worker.is_isolated());
    if commands.is_empty() && !is_isolated {
        return Ok(());
    }
    if !commands.is_empty() {
        check_begun()?;
    }
    if is_isolated {
        // A test has no `main` that could be started anew.
        check_isolates(can_isolate() || steady)?;
    }
    let generation = store.describe().generation;
    for kind in commands {
        let worker = CommandWorker::new(kind, generation.clone())?;
        let kind = worker.spec().kind.clone();
        if workers.insert(kind.clone(), Arc::new(worker)).is_some() {
            let problem = "has two workers; a kind has one, remove the other";
            return Err(Error::invalid(format!("kind {kind}"), problem));
        }
    }
    end_left(generation).await?;
    Ok(())
}

/// A schema by its address and its name.
#[cfg(feature = "postgres")]
fn addressed(url: String, schema: Option<String>) -> stepwell_postgres::PostgresOptions {
    let mut options = stepwell_postgres::PostgresOptions::new(url, [0; 16]);
    if let Some(schema) = schema {
        options.schema = schema;
    }
    options
}

/// Looks where that may take its time.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
async fn look<T: Send + 'static>(at: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let looked = tokio::task::spawn_blocking(at).await;
    looked.map_err(|error| Error::storage("look at the store", error))?
}

async fn open_store(
    backend: Backend,
    clock: Option<Clock>,
    entropy: &Entropy,
    lease_ttl: Duration,
) -> Result<Arc<dyn Store>> {
    match backend {
        Backend::Memory => {
            let clock = clock.unwrap_or_else(Clock::system);
            Ok(Arc::new(Memory::new(clock, entropy.generation()).with_session_ttl(lease_ttl)))
        }
        #[cfg(feature = "sqlite")]
        Backend::Sqlite { path, durability, busy_deadline, allow_network_file_system } => {
            let mut options = stepwell_sqlite::SqliteOptions::new(path, entropy.generation());
            options.clock = clock;
            options.session_ttl = lease_ttl;
            options.allow_network_file_system = allow_network_file_system;
            options.durability = match durability {
                Durability::Full => stepwell_sqlite::Durability::Full,
                Durability::Relaxed => stepwell_sqlite::Durability::Relaxed,
            };
            if let Some(deadline) = busy_deadline {
                options.busy_deadline = deadline;
            }
            // Opening may check the whole file, which takes as long as it takes.
            let opened = tokio::task::spawn_blocking(move || stepwell_sqlite::Sqlite::open(options)).await;
            let store = opened.map_err(|error| Error::storage("open the store", error))??;
            Ok(Arc::new(store))
        }
        #[cfg(feature = "postgres")]
        Backend::Postgres { url, schema, durability, busy_deadline } => {
            let mut options = stepwell_postgres::PostgresOptions::new(url, entropy.generation());
            options.clock = clock;
            options.session_ttl = lease_ttl;
            options.durability = match durability {
                Durability::Full => stepwell_postgres::Durability::Full,
                Durability::Relaxed => stepwell_postgres::Durability::Relaxed,
            };
            if let Some(schema) = schema {
                options.schema = schema;
            }
            if let Some(deadline) = busy_deadline {
                options.busy_deadline = deadline;
            }
            let opened =
                tokio::task::spawn_blocking(move || stepwell_postgres::Postgres::open(&options)).await;
            let store = opened.map_err(|error| Error::storage("open the store", error))??;
            Ok(Arc::new(store))
        }
    }
}
