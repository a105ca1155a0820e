//! What a store's own code does inside its write transaction.

use std::sync::Arc;

use crate::{
    error::Result,
    id::{JobId, SessionId},
    job::{Job, JobState, PlanRef},
    json::Json,
    machine::Transition,
    name::Name,
    plan::PlanSpec,
    queue::Queue,
    setting::Setting,
    time::Timestamp,
    unique::Holders,
};

use super::inbox::{InboxEntry, InboxOutcome};

/// A job's row, as it was locked.
#[derive(Clone, Debug)]
pub struct Row {
    /// The store's own key: in the order in which jobs were stored, never reused.
    pub key: i64,
    /// The `pos` of the job's last event, as far as the store knows it by the row: see [`Tables::last_pos`].
    pub last_event_pos: u64,
    /// The job.
    pub job: Job,
}

impl Row {
    /// Whether the job gives up its place among the running ones with a change.
    #[must_use]
    pub fn frees_place(&self, after: &Job) -> bool {
        self.job.lease.is_some() && after.lease.is_none()
    }
}

/// A store's tables inside one open write transaction.
///
/// Every method sees what earlier methods of the same transaction did. An error leaves the transaction to be rolled
/// back by whoever opened it (to the savepoint of the operation).
#[expect(clippy::missing_errors_doc, reason = "every method fails if, and only if, the store does")]
pub trait Tables {
    /// The job with this id, locked.
    fn job(&mut self, id: JobId) -> Result<Option<Row>>;
    /// The `pos` of the job's last event; one beyond every other if it has none yet.
    fn last_pos(&mut self, row: &Row) -> Result<u64> {
        Ok(row.last_event_pos)
    }
    /// The payload of a job.
    fn payload(&mut self, row: &Row) -> Result<Json>;
    /// What the application has committed as the end of a phase, by the name that its result is stored under: the epoch
    /// of the claim, as text, and the result. See [`settled`](super::settled).
    fn settled(&mut self, row: &Row, phase: &Name) -> Result<Option<(String, Json)>> {
        let _ = (row, phase);
        Ok(None)
    }
    /// Who holds a unique key of a kind.
    fn unique_holders(&mut self, kind: &Name, key: &str) -> Result<Holders>;
    /// Whether there is a job of a kind with a tag.
    fn is_tagged(&mut self, kind: &Name, tag: &Name) -> Result<bool>;
    /// Stores a new job, its payload, tags, attributes and events.
    fn insert(&mut self, transition: Transition, payload: &Json) -> Result<()>;
    /// Stores a change to a job, with its events and everything beside the row. Removes the job, and everything of it
    /// but its events, if the transition says so.
    ///
    /// The row is as it was read in this transaction: nobody else can have changed it.
    fn save(&mut self, before: &Row, transition: Transition) -> Result<()>;

    /// The newest plan of a kind.
    fn newest_plan(&mut self, kind: &Name) -> Result<Option<(Arc<PlanSpec>, PlanRef)>>;
    /// Hash and generation of every plan of a kind.
    fn plans(&mut self, kind: &Name) -> Result<Vec<(String, u64)>>;
    /// Stores a plan under its hash; one with the same hash is replaced.
    fn put_plan(&mut self, spec: &PlanSpec, plan_ref: &PlanRef) -> Result<()>;
    /// Whether a live session works a plan of this kind and generation.
    fn is_plan_in_use(&mut self, kind: &Name, generation: u64) -> Result<bool>;

    /// What an operator has set for a queue.
    fn queue(&mut self, name: &Name) -> Result<Option<Queue>>;
    /// How many jobs of a queue with a limit are running or cancelling. Until the transaction has ended nobody else
    /// claims from it; none if somebody else does so at this moment.
    fn running(&mut self, queue: &Name) -> Result<Option<u64>>;
    /// Sets it.
    fn put_queue(&mut self, queue: &Queue) -> Result<()>;

    /// Whether a session is alive, as the store's own record has it.
    fn is_session_alive(&mut self, session: SessionId) -> Result<bool>;

    /// Moves waiting jobs whose time has come among the ready ones, at most `limit`.
    fn stage(&mut self, now: Timestamp, limit: usize) -> Result<usize>;
    /// When the next waiting job that is not staged yet becomes due.
    fn next_due(&mut self) -> Result<Option<Timestamp>>;
    /// Ready jobs of a queue and of these kinds, not expired, and bound to no newer plan than the generation given for
    /// the kind: jobs that cannot be claimed must not stand in the way of those that can. In the order of claiming:
    /// higher priority first, then the earlier time, then the smaller key.
    fn ready(&mut self, queue: &Name, kinds: &[(Name, u64)], limit: usize) -> Result<Vec<Row>>;
    /// Jobs that a session owns.
    fn owned(&mut self, session: SessionId, limit: usize) -> Result<Vec<Row>>;
    /// Pending jobs whose expiry has come.
    fn expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>>;
    /// Cancelling jobs whose deadline has come.
    fn overdue_cancels(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>>;

    /// How many jobs are in a state.
    fn count(&mut self, state: JobState) -> Result<u64>;
    /// Jobs that ended in this state, the earliest ended first and of those that ended at one instant the smaller key:
    /// those that ended at or before `cutoff`, and the first `excess` in any case. A store that walks its log for them
    /// may answer fewer and go on at the next call.
    fn ended(&mut self, state: JobState, cutoff: Timestamp, excess: u64, limit: usize) -> Result<Vec<Row>>;
    /// The lowest `pos` that a durable reader of the log has read up to; none if there is no such reader.
    fn lowest_cursor(&mut self) -> Result<Option<u64>>;
    /// Removes events from the beginning of the log: those at or before `cutoff`, and those beyond `count_max`, but
    /// none that a durable reader or the store's own retention has yet to read. Answers how many stored rows went.
    fn prune_events(&mut self, cutoff: Timestamp, count_max: u64, limit: usize) -> Result<usize>;

    /// The last `pos` that was given.
    fn head(&mut self) -> Result<u64>;
    /// How far a durable reader of the log has read; none if there is no such reader.
    fn cursor(&mut self, name: &Name) -> Result<Option<u64>>;
    /// Moves a durable reader, or makes one.
    fn put_cursor(&mut self, name: &Name, pos: u64) -> Result<()>;

    /// A small record.
    fn setting(&mut self, scope: &Name, key: &str) -> Result<Option<Setting>>;
    /// Writes a small record, or removes it; counts the scope's revision up and answers with it.
    fn put_setting(&mut self, scope: &Name, key: &str, value: Option<&Json>, now: Timestamp) -> Result<u64>;
    /// How often a scope has been written.
    fn revision(&mut self, scope: &Name) -> Result<u64>;
    /// Removes records of a scope that were written last at or before `cutoff`. Answers how many.
    fn prune_settings(&mut self, scope: &Name, cutoff: Timestamp, limit: usize) -> Result<usize>;

    /// The oldest rows of the inbox.
    fn inbox(&mut self, limit: usize) -> Result<Vec<InboxEntry>>;
    /// The job that came of an earlier inbox row with this id, even if it has been deleted since.
    fn inbox_made(&mut self, id: JobId) -> Result<Option<JobId>>;
    /// The job that came of an earlier inbox row with this idempotency key.
    fn inbox_job(&mut self, idempotency_key: &str) -> Result<Option<JobId>>;
    /// Removes a row from the inbox and keeps what became of it.
    fn close_inbox(&mut self, entry: &InboxEntry, outcome: &InboxOutcome, now: Timestamp) -> Result<()>;
}
