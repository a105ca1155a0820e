//! What the engine asks a store to do, and the answers.

use std::sync::Arc;

use crate::{
    id::{JobId, SessionId, Token},
    job::{Job, PlanRef},
    json::Json,
    lease::Fence,
    machine::{Command, NewJob},
    name::Name,
    plan::PlanSpec,
    time::Timestamp,
};

/// Commands for one job, decided in sequence and made durable together.
#[derive(Clone, Debug)]
pub struct Request {
    /// The job.
    pub job: JobId,
    /// What the writer shows.
    pub fence: Fence,
    /// What it wants.
    pub commands: Vec<Command>,
}

/// The row after a request.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The row; as it was last, if the job was removed.
    pub job: Job,
    /// Whether anything changed.
    pub changed: bool,
}

/// The answer to an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job: the new one, or the one that the unique key stands for.
    pub id: JobId,
    /// Whether it existed before.
    pub duplicate: bool,
    /// Whether the request itself had come before, and this is the answer that it got then.
    pub replayed: bool,
}

/// What a durable reader of the log makes of the events up to a place. All of it happens, or nothing.
#[derive(Clone, Debug)]
pub struct FanOut {
    /// The generation of the log that they were read in. If it is another one by now, nothing happens.
    pub generation: Option<Arc<str>>,
    /// The reader's cursor.
    pub cursor: Name,
    /// Where the cursor must be for any of this to happen: another process may have been faster.
    pub from: u64,
    /// Where it is afterwards.
    pub to: u64,
    /// The records by which the events were judged, and their revision then. If they have changed, nothing happens.
    pub scope: Name,
    /// The revision.
    pub revision: u64,
    /// The jobs that the events call for.
    pub jobs: Vec<NewJob>,
    /// What the events say about other jobs. A job that has gone, or refuses, is passed over.
    pub reports: Vec<(JobId, Command)>,
}

/// A worker asks for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Its session.
    pub session: SessionId,
    /// The queues that it works, with its free slots of each.
    pub lanes: Vec<Lane>,
    /// The plans that it works by, one for each kind.
    pub plans: Arc<Vec<WorkedPlan>>,
    /// Fresh tokens; no more jobs are claimed than there are tokens.
    pub tokens: Vec<Token>,
}

/// Free slots of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// The queue.
    pub queue: Name,
    /// How many jobs of it may be claimed.
    pub at_most: usize,
}

/// A plan that a worker works by.
#[derive(Clone, Debug)]
pub struct WorkedPlan {
    /// The plan.
    pub spec: Arc<PlanSpec>,
    /// Its hash and generation, as registered.
    pub plan_ref: PlanRef,
}

/// A job that was claimed, its next phase started.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The row.
    pub job: Job,
    /// The payload.
    pub payload: Json,
}

/// What a claim brought.
#[derive(Clone, Debug, Default)]
pub struct ClaimedBatch {
    /// The jobs.
    pub jobs: Vec<Claimed>,
    /// When to look again: when the next waiting job becomes due, if one waits for a time; or in a moment, if another
    /// node was claiming from a queue with a limit.
    pub next_due: Option<Timestamp>,
}

/// One pass of maintenance.
#[derive(Clone, Debug)]
pub struct Maintain {
    /// Between 0 and 1; spreads the retries of jobs whose workers died together.
    pub jitter: f64,
    /// The session that asks. It is never found dead by itself.
    pub session: Option<SessionId>,
}

/// What a pass of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Jobs taken in from the inbox, the refused ones included.
    pub taken_in: usize,
    /// Jobs taken from dead workers.
    pub reaped: usize,
    /// Jobs closed because they expired, or did not stop in time.
    pub closed: usize,
    /// Whether a limit was reached, and another pass would do more.
    pub more: bool,
}

/// What a pass of retention removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Jobs.
    pub jobs: usize,
    /// Stored rows of the event log.
    pub event_rows: usize,
    /// Whether a limit was reached, and another pass would do more.
    pub more: bool,
}
