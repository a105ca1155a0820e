//! Everything that a store shows.

use std::collections::BTreeMap;

use stepwell_core::{
    Event, Job, JobId, Json, Name, Result, SessionId,
    event::EventFilter,
    lease::Fence,
    limits,
    machine::LogLine,
    queue::Queue,
    session::{Desired, Session},
    store::{Count, Element, JobFilter, Order, PageRequest, Store},
};

/// Everything that a store shows at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The jobs, in the order in which they were stored.
    pub jobs: Vec<Shown>,
    /// The events that are kept.
    pub events: Vec<Event>,
    /// The first `pos` that is kept.
    pub floor: u64,
    /// The last `pos` that was given.
    pub head: u64,
    /// The counters.
    pub counts: Vec<Count>,
    /// The queues, by name.
    pub queues: Vec<Queue>,
    /// The live sessions, by id.
    pub sessions: Vec<Session>,
    /// What is wanted of them.
    pub wanted: BTreeMap<SessionId, Desired>,
    /// What the live sessions own, by job.
    pub owned: BTreeMap<SessionId, Vec<(JobId, Fence, bool)>>,
}

/// A job, and what is stored beside its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The row.
    pub job: Job,
    /// The payload.
    pub payload: Option<Json>,
    /// By the name that each phase's data is stored under.
    pub phases: BTreeMap<Name, Beside>,
    /// The log.
    pub log: Vec<LogLine>,
    /// The history, as it is read by itself.
    pub history: Vec<Event>,
}

/// What is stored of a phase beside the row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    /// The recorded result.
    pub result: Option<Json>,
    /// The checkpoint.
    pub checkpoint: Option<Json>,
    /// The finished elements.
    pub elements: Vec<Element>,
}

impl Snapshot {
    /// Reads everything.
    ///
    /// # Errors
    /// If the store fails, or has been closed.
    pub async fn read(store: &dyn Store) -> Result<Self> {
        let mut snapshot = Self::default();
        for job in every_job(store).await? {
            snapshot.jobs.push(Shown::read(store, job).await?);
        }
        snapshot.read_log(store).await?;
        snapshot.counts = store.counts().await?;
        snapshot.queues = store.queues().await?;
        snapshot.queues.sort_by(|one, other| one.name.cmp(&other.name));
        snapshot.sessions = store.sessions().await?;
        snapshot.sessions.sort_by_key(|session| session.id);
        snapshot.wanted = store.wanted().await?.into_iter().collect();
        for session in &snapshot.sessions {
            let mut owned = store.owned(session.id).await?;
            owned.sort_by_key(|(job, _, _)| *job);
            snapshot.owned.insert(session.id, owned);
        }
        Ok(snapshot)
    }
    async fn read_log(&mut self, store: &dyn Store) -> Result<()> {
        let everything = EventFilter { internal: true, ..EventFilter::default() };
        let mut after = 0;
        loop {
            let page = store.events(after, limits::PAGE_MAX, everything.clone()).await?;
            (self.floor, self.head) = (page.floor, page.head);
            self.events.extend(page.events);
            if page.next <= after {
                return Ok(());
            }
            after = page.next;
        }
    }
}

async fn every_job(store: &dyn Store) -> Result<Vec<Job>> {
    let everything = JobFilter { internal: true, ..JobFilter::default() };
    let mut request = PageRequest { order: Order::OldestFirst, limit: limits::PAGE_MAX, after: None };
    let mut jobs = Vec::new();
    loop {
        let page = store.list(everything.clone(), request.clone()).await?;
        jobs.extend(page.items);
        match page.next {
            Some(next) => request.after = Some(next),
            None => return Ok(jobs),
        }
    }
}

impl Shown {
    async fn read(store: &dyn Store, job: Job) -> Result<Self> {
        let mut phases = BTreeMap::new();
        for phase in &job.phases {
            let name = phase.stored_name();
            let beside = Beside {
                result: store.result(job.id, name.clone()).await?,
                checkpoint: store.checkpoint(job.id, name.clone()).await?,
                elements: store.elements(job.id, name.clone()).await?,
            };
            phases.insert(name.clone(), beside);
        }
        let payload = store.payload(job.id).await?;
        let log = store.log(job.id).await?;
        let history = store.history(job.id, 0, limits::PAGE_MAX).await?;
        Ok(Self { job, payload, phases, log, history })
    }
}
