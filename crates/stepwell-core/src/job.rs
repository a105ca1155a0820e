//! One job.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    id::JobId,
    lease::{Fence, Lease},
    name::Name,
    phase::{Phase, PhaseState},
    phases::Phases,
    time::Timestamp,
    webhook::ShownWebhook,
};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits: for a worker, for its time, or for its next try.
    Pending,
    /// A worker has it.
    Running,
    /// A worker has it, and has been asked to stop.
    Cancelling,
    /// Every phase completed.
    Completed,
    /// It ended without completing.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Cancelling, Self::Completed, Self::Failed, Self::Cancelled];

    /// The state's name, as it is shown and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
    /// Whether the job has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
    /// Whether a worker owns the job.
    #[must_use]
    pub const fn is_owned(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl FromStr for JobState {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            Error::invalid("state", format!("is unknown: {text:?}; it is one of {known}"))
        })
    }
}

/// Why a job is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Pending: a try failed, and the next one waits for its time.
    Retrying,
    /// Pending: a phase asked to run later.
    Snoozed,
    /// Pending: its worker died.
    Interrupted,
    /// Pending: its worker gave it back.
    Released,
    /// Pending: its next phase runs in another queue.
    HandedOver,
    /// Pending: an operator set it going again.
    Retried,
    /// Failed: an error that no further try can mend.
    Permanent,
    /// Failed: every try was spent.
    TriesSpent,
    /// Failed: its worker died under it too often in a row.
    Poisoned,
    /// Failed: no worker took it before it expired.
    Expired,
    /// Cancelled: somebody asked for it.
    Requested,
    /// Cancelled: the worker did not stop in time, or was dead.
    Forced,
}

/// Reasons in the order of their stored numbers, which are never reused.
const REASONS: [Reason; 12] = [
    Reason::Retrying,
    Reason::Snoozed,
    Reason::Interrupted,
    Reason::Released,
    Reason::HandedOver,
    Reason::Retried,
    Reason::Permanent,
    Reason::TriesSpent,
    Reason::Poisoned,
    Reason::Expired,
    Reason::Requested,
    Reason::Forced,
];

impl Reason {
    /// The number under which it is stored.
    #[must_use]
    pub fn number(self) -> Option<u8> {
        REASONS.iter().position(|known| *known == self).and_then(|number| u8::try_from(number).ok())
    }
    /// The reason with this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        REASONS.get(usize::from(number)).copied()
    }
    /// The reason's name, as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Snoozed => "snoozed",
            Self::Interrupted => "interrupted",
            Self::Released => "released",
            Self::HandedOver => "handed_over",
            Self::Retried => "retried",
            Self::Permanent => "permanent",
            Self::TriesSpent => "tries_spent",
            Self::Poisoned => "poisoned",
            Self::Expired => "expired",
            Self::Requested => "requested",
            Self::Forced => "forced",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A job as it stands in the store: the hot row, without payload and large results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What kind of work it is.
    pub kind: Name,
    /// The queue it waits or runs in now.
    pub queue: Name,
    /// The queue it was enqueued in, where phases without a queue of their own run.
    pub home_queue: Name,
    /// The unique key.
    pub unique_key: Option<String>,
    /// The plan it is bound to; none if no worker had registered its kind yet.
    pub plan: Option<PlanRef>,
    /// Where it stands.
    pub state: JobState,
    /// Why.
    pub reason: Option<Reason>,
    /// Changes with every transition; the row's ETag.
    pub version: u64,
    /// 1, and one more with each operator's retry.
    pub run: u32,
    /// Claims of this run, less releases and snoozes.
    pub attempt: u32,
    /// Claims since the last sign of life of a handler: what is left when workers die under it.
    pub crashes: u32,
    /// Crashes after which it is poisoned.
    pub max_crashes: u32,
    /// Rises with each claim and each loss of a lease: a fencing token for systems outside.
    pub epoch: u64,
    /// Who owns it.
    pub lease: Option<Lease>,
    /// When it came to be.
    pub enqueued_at: Timestamp,
    /// Not before this.
    pub available_at: Timestamp,
    /// No claim after this.
    pub expires_at: Option<Timestamp>,
    /// When it was asked to stop.
    pub cancel_requested_at: Option<Timestamp>,
    /// When it is stopped by force.
    pub cancel_deadline: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Higher runs first.
    pub priority: i16,
    /// The next event's place in the job's own order.
    pub next_seq: u64,
    /// Its phases: those that ran, in the order in which they did, then the others in the plan's order.
    pub phases: Phases,
    /// What is seldom there, and seldom changes.
    pub details: Details,
}

/// The part of a job that most jobs leave empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Name>,
    /// Keys and values to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<Name, String>,
    /// How far the running phase has got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Its own webhook, without the secret, which is stored apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<ShownWebhook>,
    /// Whether its end was delivered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub webhook_sent: bool,
}

/// The plan that a job is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlanRef {
    /// The plan's hash.
    pub hash: Name,
    /// The plan's generation.
    pub generation: u64,
}

/// How far a phase has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// A word about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// The phase in which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Name>,
    /// What was said.
    pub message: String,
}

impl Job {
    /// Whether a writer with this fence owns the job.
    #[must_use]
    pub fn is_owned_by(&self, epoch: u64, token: crate::id::Token) -> bool {
        self.state.is_owned() && self.epoch == epoch && self.lease.is_some_and(|lease| lease.token == token)
    }
    /// The fence of the present owner.
    #[must_use]
    pub fn owner_fence(&self) -> Option<Fence> {
        self.lease.map(|lease| Fence::Owner { epoch: self.epoch, token: lease.token })
    }
    /// The phase that runs. There is at most one.
    #[must_use]
    pub fn running_phase(&self) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.state == PhaseState::Running)
    }
    /// The phase that runs next.
    #[must_use]
    pub fn next_phase(&self) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.state == PhaseState::Pending)
    }
    /// The phase with this name, or stored under it.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<&Phase> {
        let named = self.phases.iter().find(|phase| &*phase.name == name);
        named.or_else(|| self.phases.iter().find(|phase| &**phase.stored_name() == name))
    }
    /// The queue that a phase of this job runs in.
    #[must_use]
    pub fn queue_of<'a>(&'a self, phase: &'a Phase) -> &'a Name {
        phase.queue.as_ref().unwrap_or(&self.home_queue)
    }
    /// Whether it is pending and due.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.state == JobState::Pending && self.available_at <= now
    }
}
