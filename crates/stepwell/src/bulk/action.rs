//! What a bulk operation does to each job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_core::{
    Error, JobState, Name, Result,
    machine::{Command, Edit, RetryFrom},
    name,
    schedule::When,
};

/// What a bulk operation does to each job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "do")]
#[non_exhaustive]
pub enum BulkAction {
    /// Stops those that wait or run.
    Cancel,
    /// Gives those that failed or were cancelled a fresh set of tries.
    Retry {
        /// Whether every phase runs again.
        from_start: bool,
    },
    /// Removes those that have ended.
    Delete,
    /// Lets those that wait run now.
    RunNow,
    /// Changes the priority of those that wait.
    SetPriority {
        /// The new one.
        priority: i16,
    },
    /// Moves those that wait to another queue.
    SetQueue {
        /// The new one.
        queue: Name,
    },
}

impl BulkAction {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry { .. } => "retry",
            Self::Delete => "delete",
            Self::RunNow => "runNow",
            Self::SetPriority { .. } => "setPriority",
            Self::SetQueue { .. } => "setQueue",
        }
    }
    /// The states in which it does something to a job.
    #[must_use]
    pub const fn states(&self) -> &'static [JobState] {
        match self {
            Self::Cancel => &[JobState::Pending, JobState::Running],
            Self::Retry { .. } => &[JobState::Failed, JobState::Cancelled],
            Self::Delete => &[JobState::Completed, JobState::Failed, JobState::Cancelled],
            Self::RunNow | Self::SetPriority { .. } | Self::SetQueue { .. } => &[JobState::Pending],
        }
    }
    /// The states that are gone through, one after the other.
    pub(super) const fn passes(&self) -> &'static [JobState] {
        match self {
            // One that waited when those that run were looked for may run when those that wait are, and the other way
            // round.
            Self::Cancel => &[JobState::Running, JobState::Pending, JobState::Running],
            _ => self.states(),
        }
    }
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::SetQueue { queue } if stepwell_core::event::is_internal(queue) => {
                Err(Error::invalid("queue", "must not begin with `stepwell.`, which is Stepwell's own"))
            }
            Self::SetQueue { queue } => name::check("queue", queue),
            _ => Ok(()),
        }
    }
    pub(super) fn command(&self, cancel_grace: Duration) -> Command {
        let edit = match self {
            Self::Cancel => return Command::Cancel { grace: cancel_grace },
            Self::Delete => return Command::Delete,
            Self::Retry { from_start } => {
                let from = if *from_start { RetryFrom::Start } else { RetryFrom::Unfinished };
                return Command::Retry { from, rerun: false, payload: None };
            }
            Self::RunNow => Edit { when: Some(When::Now), ..Edit::default() },
            Self::SetPriority { priority } => Edit { priority: Some(*priority), ..Edit::default() },
            Self::SetQueue { queue } => Edit { queue: Some(queue.clone()), ..Edit::default() },
        };
        Command::Edit(edit)
    }
}
