//! When a new job may run.

use std::time::Duration;

use crate::time::Timestamp;

/// When a new job may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// So long after the store's clock at the time of enqueueing.
    After(Duration),
    /// At this time.
    At(Timestamp),
}

impl When {
    /// The time, given the store's clock. Never before it: a job cannot have been due before it existed.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::After(delay) => now + delay,
            Self::At(at) => at.max(now),
        }
    }
}
