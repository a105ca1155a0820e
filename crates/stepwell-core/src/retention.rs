//! How long ended jobs, and events, are kept.

use std::time::Duration;

use crate::job::JobState;

const DAY: Duration = Duration::from_hours(24);

/// How long ended jobs and events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For completed jobs: 7 days unless set.
    pub completed: Keep,
    /// For failed jobs: 30 days unless set.
    pub failed: Keep,
    /// For cancelled jobs: 7 days unless set.
    pub cancelled: Keep,
    /// For events: 30 days unless set. Events stay at least as long as the completed jobs that they end, because
    /// retention finds those through them.
    pub events: Keep,
}

/// How long, and how many. What is older goes, and what is too many goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// No longer than this. `Duration::MAX` keeps for ever.
    pub age_max: Duration,
    /// No more than this many.
    pub count_max: u64,
}

impl Keep {
    /// For ever, however many.
    pub const EVERYTHING: Self = Self { age_max: Duration::MAX, count_max: u64::MAX };

    /// For this long, however many.
    #[must_use]
    pub const fn for_age(age_max: Duration) -> Self {
        Self { age_max, count_max: u64::MAX }
    }
    /// This many at most.
    #[must_use]
    pub const fn at_most(mut self, count_max: u64) -> Self {
        self.count_max = count_max;
        self
    }
}

impl Retention {
    /// Deletes nothing.
    pub const KEEP_EVERYTHING: Self = Self {
        completed: Keep::EVERYTHING,
        failed: Keep::EVERYTHING,
        cancelled: Keep::EVERYTHING,
        events: Keep::EVERYTHING,
    };

    /// The same for all: nothing is kept longer than this.
    #[must_use]
    pub const fn for_age(age_max: Duration) -> Self {
        let keep = Keep::for_age(age_max);
        Self { completed: keep, failed: keep, cancelled: keep, events: keep }
    }
    /// The shortest time that anything is kept.
    #[must_use]
    pub fn shortest_age(&self) -> Duration {
        let Self { completed, failed, cancelled, events } = self;
        [completed, failed, cancelled, events]
            .into_iter()
            .map(|keep| keep.age_max)
            .min()
            .unwrap_or(Duration::MAX)
    }
    /// What holds for jobs in this state; for ever if they have not ended.
    #[must_use]
    pub fn of(&self, state: JobState) -> Keep {
        match state {
            JobState::Completed => self.completed,
            JobState::Failed => self.failed,
            JobState::Cancelled => self.cancelled,
            JobState::Pending | JobState::Running | JobState::Cancelling => Keep::EVERYTHING,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            completed: Keep::for_age(7 * DAY),
            failed: Keep::for_age(30 * DAY),
            cancelled: Keep::for_age(7 * DAY),
            events: Keep::for_age(30 * DAY),
        }
    }
}
