//! What "the same job" means.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{id::JobId, time::Timestamp};

/// What "the same job" means, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unique {
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window_ms: Option<u64>,
}

impl Unique {
    /// At most one live (not yet ended) job of its kind with this key. Enqueueing another answers with the one there
    /// is.
    pub fn key(key: impl ToString) -> Self {
        Self { key: key.to_string(), window_ms: None }
    }
    /// Counts ended jobs as well, for this long after they were enqueued.
    #[must_use]
    pub fn within(mut self, window: Duration) -> Self {
        self.window_ms = Some(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
        self
    }
    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.key
    }
    /// How long ended jobs count.
    #[must_use]
    pub fn window(&self) -> Option<Duration> {
        self.window_ms.map(Duration::from_millis)
    }
    /// The job that this key already stands for, given the live and the newest holder of the key.
    #[must_use]
    pub fn existing(&self, holders: &Holders, now: Timestamp) -> Option<JobId> {
        let recent = |newest: &Holder| self.window().is_some_and(|window| newest.enqueued_at + window > now);
        holders.live.or_else(|| holders.newest.filter(recent).map(|newest| newest.id))
    }
}

/// Who holds a unique key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holders {
    /// The live job with this kind and key. There is at most one.
    pub live: Option<JobId>,
    /// The job that was enqueued last with this kind and key, in any state.
    pub newest: Option<Holder>,
}

/// A job that holds, or held, a unique key.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// Its id.
    pub id: JobId,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_holder_always_counts_and_an_ended_one_within_its_window() {
        let at = Timestamp::from_micros(0);
        let id = JobId::from_bytes([1; 16]);
        let ended = Holders { live: None, newest: Some(Holder { id, enqueued_at: at }) };
        let live = Holders { live: Some(id), ..ended };
        let later = at + Duration::from_mins(2);
        assert_eq!(Unique::key("a").existing(&live, later), Some(id));
        assert_eq!(Unique::key("a").existing(&ended, at), None);
        let windowed = Unique::key("a").within(Duration::from_mins(1));
        assert_eq!(windowed.existing(&ended, at + Duration::from_secs(59)), Some(id));
        assert_eq!(windowed.existing(&ended, later), None);
    }
}
