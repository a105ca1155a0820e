//! A store in memory that fails to read the log when a test says so, and tells nobody what it committed.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use stepwell_core::{
    Clock, Error, Event, Job, JobId, Json, Name, PlanSpec, Result, SessionId,
    event::EventFilter,
    explain::Facts,
    job::PlanRef,
    lease::Fence,
    machine::{Command, LogLine, NewJob},
    queue::{Queue, QueueChange},
    retention::Retention,
    session::{Beat, Desired, Node, Session, SessionState},
    setting::{PutSetting, Setting, Settings, SettingsRequest},
    store::{
        Answer, Applied, ClaimRequest, ClaimedBatch, Count, Description, Element, Enqueued, EventPage,
        FanOut, Health, JobFilter, Listener, Maintain, Maintained, Page, PageRequest, Pruned, Request, Store,
        inbox::InboxOutcome,
    },
};
use stepwell_memory::Memory;

pub(super) struct Flaky {
    store: Memory,
    failures: AtomicUsize,
    reads: AtomicUsize,
}

impl Flaky {
    pub(super) fn new() -> Self {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let (failures, reads) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { store: Memory::new(clock, [7; 16]), failures, reads }
    }
    /// Lets so many reads of the log fail.
    pub(super) fn fail(&self, times: usize) {
        self.failures.store(times, Ordering::SeqCst);
    }
    /// How often the log was read, with success or without.
    pub(super) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
    /// Stores a job.
    pub(super) async fn add(&self, n: u8) -> JobId {
        let id = JobId::from_bytes([n; 16]);
        let job = NewJob::new(id, "k", Json::null());
        let mut stored = self.enqueue(vec![job]).await.expect("memory has room");
        stored.remove(0).expect("the job breaks no rule");
        id
    }
    /// Ends a job.
    pub(super) async fn end(&self, id: JobId) {
        let commands = vec![Command::Cancel { grace: Duration::ZERO }];
        let cancelled = self.apply(Request { job: id, fence: Fence::None, commands }).await;
        cancelled.expect("it waits, and may be cancelled");
    }
}

macro_rules! pass_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)+) => {
        $(fn $name(&self, $($argument: $type),*) -> Answer<'_, $answer> {
            self.store.$name($($argument),*)
        })+
    };
}

impl Store for Flaky {
    fn describe(&self) -> Description {
        self.store.describe()
    }
    fn clock(&self) -> &Clock {
        self.store.clock()
    }
    fn listen(&self, _: Listener) {}
    fn head(&self) -> u64 {
        self.store.head()
    }
    fn beat(&self, session: SessionId) -> Result<Beat> {
        self.store.beat(session)
    }
    fn events(&self, after: u64, limit: usize, filter: EventFilter) -> Answer<'_, EventPage> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let fails = |left: usize| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails) {
            Ok(_) => Box::pin(async { Err(Error::storage("read the log", io::Error::other("planted"))) }),
            Err(_) => self.store.events(after, limit, filter),
        }
    }

    pass_on! {
        enqueue(jobs: Vec<NewJob>) -> Vec<Result<Enqueued>>;
        apply(request: Request) -> Applied;
        claim(request: ClaimRequest) -> ClaimedBatch;
        register(plans: Vec<PlanSpec>) -> Vec<PlanRef>;
        change_queue(queue: Name, change: QueueChange) -> Queue;
        maintain(request: Maintain) -> Maintained;
        prune(retention: Retention) -> Pruned;
        put_settings(puts: Vec<PutSetting>) -> Vec<u64>;
        fan_out(request: FanOut) -> ();
        open_session(session: Session) -> ();
        tell(session: SessionId, state: SessionState) -> ();
        want(session: SessionId, desired: Desired) -> Desired;
        close_session(session: SessionId) -> ();
        health() -> Health;
        job(id: JobId) -> Option<Job>;
        payload(id: JobId) -> Option<Json>;
        result(id: JobId, phase: Name) -> Option<Json>;
        checkpoint(id: JobId, phase: Name) -> Option<Json>;
        elements(id: JobId, phase: Name) -> Vec<Element>;
        log(id: JobId) -> Vec<LogLine>;
        list(filter: JobFilter, page: PageRequest) -> Page<Job>;
        counts() -> Vec<Count>;
        history(id: JobId, after: u64, limit: usize) -> Vec<Event>;
        queues() -> Vec<Queue>;
        sessions() -> Vec<Session>;
        wanted() -> Vec<(SessionId, Desired)>;
        nodes() -> Vec<Node>;
        facts(job: Job) -> Facts;
        owned(session: SessionId) -> Vec<(JobId, Fence, bool)>;
        inbox_outcome(id: JobId) -> Option<InboxOutcome>;
        setting(scope: Name, key: String) -> Option<Setting>;
        settings(request: SettingsRequest) -> Settings;
        cursor(name: Name) -> Option<u64>;
        plan(kind: Name) -> Option<(PlanSpec, PlanRef)>;
        close() -> ();
    }
}
