//! What comes out of a decision.

use serde::Serialize;

use crate::{
    error::Error,
    event::{Draft, EventType},
    id::JobId,
    job::{Job, JobState},
    json::Json,
    name::Name,
};

use super::command::LogLine;

/// A change to a job, to be made durable as a whole.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The row from now on.
    pub job: Job,
    /// The events, in order.
    pub events: Vec<Draft>,
    /// What changes beside the row.
    pub writes: Vec<Write>,
    /// Whether the row, and all that belongs to it, goes.
    pub removed: bool,
}

/// A change beside the row. Phases are named as their data is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A result too large for the row.
    Result {
        /// The phase.
        phase: Name,
        /// The result.
        result: Json,
    },
    /// A result that an operator discarded goes into the archive.
    Archive {
        /// The phase.
        phase: Name,
        /// The run whose result it was.
        run: u32,
        /// The result, if it was in the row.
        inline: Option<Json>,
    },
    /// A checkpoint.
    Checkpoint {
        /// The phase.
        phase: Name,
        /// Its value; none to remove it.
        value: Option<Json>,
    },
    /// A finished element.
    Element {
        /// The phase.
        phase: Name,
        /// Which element.
        index: u32,
        /// The hash of its input.
        input_hash: String,
        /// Its result.
        result: Json,
    },
    /// The elements of a phase are no longer needed.
    DropElements {
        /// The phase.
        phase: Name,
    },
    /// Lines for the log.
    Log(Vec<LogLine>),
    /// A new payload.
    Payload(Json),
    /// The tags and attributes are new, and their indexes with them.
    Reindex,
}

/// Why a command changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Reject {
    /// The fence does not match: somebody else may own the job.
    LeaseLost,
    /// Not in this state.
    WrongState {
        /// What was wanted, as in "cannot retry a job".
        action: &'static str,
        /// The state.
        state: JobState,
    },
    /// It cannot be claimed now: not due, expired, or bound to a newer plan.
    NotClaimable,
    /// It does not run the phase that the command is about.
    NotRunning,
    /// Another live job holds its unique key.
    UniqueTaken(JobId),
    /// The row has another version.
    VersionMismatch(u64),
    /// A durable reader has yet to pass its last event.
    Held,
    /// There is nothing to change: it is being cancelled, or has ended.
    NoChange,
    /// A value breaks a rule.
    Invalid {
        /// The field.
        field: String,
        /// The rule.
        problem: String,
    },
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::LeaseLost | Reject::NotClaimable | Reject::NotRunning | Reject::NoChange => {
                Self::lease_lost()
            }
            Reject::WrongState { action, state } => Self::wrong_state(action, state),
            Reject::UniqueTaken(holder) => Self::unique_taken(holder),
            Reject::VersionMismatch(found) => Self::version_mismatch(found),
            Reject::Held => Self::held(),
            Reject::Invalid { field, problem } => Self::invalid(field, problem),
        }
    }
}

impl Reject {
    /// A value that a check refused.
    pub(super) fn refused(error: &Error) -> Self {
        let field = error.field().unwrap_or_default().to_owned();
        Self::Invalid { field, problem: error.problem().unwrap_or_default().to_owned() }
    }
}

/// A transition in the making: a copy of the row, and what has been said so far.
pub(super) struct Draughtsman {
    pub(super) job: Job,
    pub(super) events: Vec<Draft>,
    pub(super) writes: Vec<Write>,
}

impl Draughtsman {
    pub(super) fn of(job: &Job) -> Self {
        Self::on(job.clone())
    }
    /// The same on a copy that nobody needs any more.
    pub(super) fn on(mut job: Job) -> Self {
        // Here and elsewhere a counter that is full stays full: a row may be damaged, and no row may cause a panic.
        job.version = job.version.saturating_add(1);
        Self { job, events: Vec::new(), writes: Vec::new() }
    }
    /// Appends an event about the job.
    pub(super) fn say(&mut self, ty: EventType, data: Option<serde_json::Value>) {
        self.push(ty, None, data);
    }
    /// Appends an event about a phase.
    pub(super) fn say_of(&mut self, ty: EventType, phase: &Name, data: Option<serde_json::Value>) {
        self.push(ty, Some(phase.clone()), data);
    }
    /// Appends an event about the job whose data is written already.
    pub(super) fn say_json(&mut self, ty: EventType, data: Json) {
        self.append(ty, None, Some(data));
    }
    /// The same with data that a `Serialize` writes, without a tree in between: for what every job says.
    pub(super) fn say_as<T: Serialize>(&mut self, ty: EventType, phase: Option<&Name>, data: &T) {
        // What is passed in are structs of numbers and texts, which always encode.
        self.append(ty, phase.cloned(), Json::of(data).ok());
    }
    fn push(&mut self, ty: EventType, phase: Option<Name>, data: Option<serde_json::Value>) {
        // A `Value` always encodes: its keys are strings.
        self.append(ty, phase, data.and_then(|data| Json::of(&data).ok()));
    }
    fn append(&mut self, ty: EventType, phase: Option<Name>, data: Option<Json>) {
        let draft = Draft { ty, phase, attempt: self.job.attempt, data, tags: Vec::new(), hooked: false };
        self.events.push(draft);
        self.job.next_seq = self.job.next_seq.saturating_add(1);
    }
    pub(super) fn write(&mut self, write: Write) {
        self.writes.push(write);
    }
    pub(super) fn done(mut self) -> Transition {
        // What a filter of the log needs goes with the event, so that it outlives the job; but of a job that is no
        // more, only its id.
        if let Some(first) = self.events.first_mut().filter(|first| first.ty != EventType::Deleted) {
            first.tags.clone_from(&self.job.details.tags);
            first.hooked = self.job.details.webhook.is_some();
        }
        Transition { job: self.job, events: self.events, writes: self.writes, removed: false }
    }
}
