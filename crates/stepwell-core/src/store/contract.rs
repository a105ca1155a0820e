//! The interface between the engine and a store.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{
    error::Result,
    event::{Event, EventFilter},
    explain::Facts,
    id::{JobId, SessionId},
    job::{Job, PlanRef},
    json::Json,
    lease::Fence,
    machine::{LogLine, NewJob},
    name::Name,
    plan::PlanSpec,
    queue::{Queue, QueueChange},
    retention::Retention,
    session::{Beat, Desired, Node, Session, SessionState},
    setting::{PutSetting, Setting, Settings, SettingsRequest},
    time::{Clock, Timestamp},
};

use super::{
    health::Health,
    inbox::InboxOutcome,
    read::{Count, Element, EventPage, JobFilter, Page, PageRequest},
    request::{Applied, ClaimRequest, ClaimedBatch, Enqueued, FanOut, Maintain, Maintained, Pruned, Request},
};

/// What a store answers with, in its own time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What a commit changed that somebody may wait for. It is a hint: whoever is woken looks for himself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// A job became ready.
    pub ready: bool,
    /// A job now waits for this time.
    pub due: Option<Timestamp>,
    /// A running job was asked to stop.
    pub cancelling: bool,
    /// Something else is wanted of a session.
    pub desired: bool,
    /// Events were appended.
    pub events: bool,
    /// Another process, or another connection, wrote: anything may have changed, the inbox included.
    pub foreign: bool,
}

/// Called after each commit, on the store's own thread. It must not block.
pub type Listener = Box<dyn Fn(Change) + Send + Sync>;

/// What a store is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Such as `sqlite`.
    pub store: &'static str,
    /// Where it is.
    pub location: String,
    /// What an acknowledgement means, such as `synchronous=FULL`.
    pub durability: String,
    /// The id of the event log; a new one after a restore that lost its tail.
    pub generation: String,
    /// What an operator should know about how it opened: a clock that went backwards, an unclean stop.
    pub notices: Vec<String>,
}

/// A durable store of jobs. Everything it acknowledges is committed.
pub trait Store: Send + Sync + 'static {
    /// What it is.
    fn describe(&self) -> Description;
    /// The id of its event log, which may become another one while it is open: then places in the log that were given
    /// before mean nothing any more.
    fn generation(&self) -> Arc<str> {
        self.describe().generation.into()
    }
    /// Its clock, which decides about due times, leases and retention.
    fn clock(&self) -> &Clock;
    /// Adds a listener to its commits.
    fn listen(&self, listener: Listener);
    /// The last `pos` that this process knows to be committed, without waiting: every event that this process was told
    /// of is at or before it. Another process may be ahead.
    fn head(&self) -> u64;

    /// Stores new jobs, each by itself: one that is refused does not keep the others from being stored, and all that
    /// are stored are committed together.
    fn enqueue(&self, jobs: Vec<NewJob>) -> Answer<'_, Vec<Result<Enqueued>>>;
    /// Decides on a request, and makes the decision durable.
    fn apply(&self, request: Request) -> Answer<'_, Applied>;
    /// Claims ready jobs, and starts the next phase of each.
    fn claim(&self, request: ClaimRequest) -> Answer<'_, ClaimedBatch>;
    /// Registers plans, and answers with the generation of each.
    fn register(&self, plans: Vec<PlanSpec>) -> Answer<'_, Vec<PlanRef>>;
    /// Changes what an operator wants of a queue, and answers with what is wanted of it now.
    fn change_queue(&self, queue: Name, change: QueueChange) -> Answer<'_, Queue>;
    /// Takes in the inbox, then reaps dead sessions, closes what expired, and forces late cancellations.
    fn maintain(&self, request: Maintain) -> Answer<'_, Maintained>;
    /// Removes what retention does not keep.
    fn prune(&self, retention: Retention) -> Answer<'_, Pruned>;

    /// Writes small records, each compared with what its writer has seen: all of them, or none. Answers with their
    /// versions.
    fn put_settings(&self, puts: Vec<PutSetting>) -> Answer<'_, Vec<u64>>;
    /// Moves a durable reader of the log, and does what it makes of what it read. Answers that the version does not
    /// match if another process was faster, or if the records by which it judged have changed.
    fn fan_out(&self, request: FanOut) -> Answer<'_, ()>;

    /// Opens a session. It is alive from now on, as long as it beats.
    fn open_session(&self, session: Session) -> Answer<'_, ()>;
    /// Keeps a session alive. Called from the engine's own thread; it neither waits for a writer nor for a disk.
    ///
    /// # Errors
    /// If the beat could not be recorded.
    fn beat(&self, session: SessionId) -> Result<Beat>;
    /// Says how a live session is; of no effect on another.
    fn tell(&self, session: SessionId, state: SessionState) -> Answer<'_, ()>;
    /// Wants something of a live session, and answers with what is wanted of it from now on.
    fn want(&self, session: SessionId, desired: Desired) -> Answer<'_, Desired>;
    /// Ends a session that owns nothing any more; what it still owns is reaped like a dead session's.
    fn close_session(&self, session: SessionId) -> Answer<'_, ()>;

    /// A job.
    fn job(&self, id: JobId) -> Answer<'_, Option<Job>>;
    /// A job's payload.
    fn payload(&self, id: JobId) -> Answer<'_, Option<Json>>;
    /// The recorded result of a phase, by the name that it is stored under.
    fn result(&self, id: JobId, phase: Name) -> Answer<'_, Option<Json>>;
    /// The checkpoint of a phase, by the name that it is stored under.
    fn checkpoint(&self, id: JobId, phase: Name) -> Answer<'_, Option<Json>>;
    /// The finished elements of a fan-out phase, in order, by the name that they are stored under.
    fn elements(&self, id: JobId, phase: Name) -> Answer<'_, Vec<Element>>;
    /// A job's log, the oldest line first.
    fn log(&self, id: JobId) -> Answer<'_, Vec<LogLine>>;
    /// A page of jobs.
    fn list(&self, filter: JobFilter, page: PageRequest) -> Answer<'_, Page<Job>>;
    /// How many jobs there are, by queue, kind and state, in that order. What is not listed is zero.
    fn counts(&self) -> Answer<'_, Vec<Count>>;
    /// Events after a `pos`, in order. At most `limit` stored rows are looked at.
    fn events(&self, after: u64, limit: usize, filter: EventFilter) -> Answer<'_, EventPage>;
    /// The events of one job after a `pos`, in order, as far as they are kept, out of at most `limit` stored rows.
    fn history(&self, id: JobId, after: u64, limit: usize) -> Answer<'_, Vec<Event>>;
    /// The queues that an operator has set something for.
    fn queues(&self) -> Answer<'_, Vec<Queue>>;
    /// The live sessions.
    fn sessions(&self) -> Answer<'_, Vec<Session>>;
    /// What is wanted of each live session.
    fn wanted(&self) -> Answer<'_, Vec<(SessionId, Desired)>>;
    /// All sessions, those that are dead and still own something included, in the order in which they began.
    fn nodes(&self) -> Answer<'_, Vec<Node>>;
    /// How it is doing.
    fn health(&self) -> Answer<'_, Health>;
    /// What bears on why a job is not running.
    fn facts(&self, job: Job) -> Answer<'_, Facts>;
    /// The jobs that a session owns, with the fence of each claim, and whether it was asked to stop.
    fn owned(&self, session: SessionId) -> Answer<'_, Vec<(JobId, Fence, bool)>>;
    /// What became of an inbox row, by the id that the application gave it; none while it is in the inbox, or if there
    /// never was one.
    fn inbox_outcome(&self, id: JobId) -> Answer<'_, Option<InboxOutcome>>;
    /// A small record.
    fn setting(&self, scope: Name, key: String) -> Answer<'_, Option<Setting>>;
    /// The small records of a scope, in the order of their keys.
    fn settings(&self, request: SettingsRequest) -> Answer<'_, Settings>;
    /// How far a durable reader of the log has read; none if there is no such reader.
    fn cursor(&self, name: Name) -> Answer<'_, Option<u64>>;
    /// The newest plan of a kind.
    fn plan(&self, kind: Name) -> Answer<'_, Option<(PlanSpec, PlanRef)>>;

    /// Writes what is still to be written, unless it cannot be written soon, and closes: what is not written by then
    /// never is, and is answered with an error. Later calls answer that the store is closed; a second close is no
    /// error.
    fn close(&self) -> Answer<'_, ()>;
}
