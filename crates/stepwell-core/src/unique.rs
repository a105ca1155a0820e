//! What "the same job" means.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    id::JobId,
    job::{Job, JobState},
    machine::{Edit, NewJob},
    time::Timestamp,
};

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

/// What happens if a job's unique key stands for another job already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// The answer is that job.
    #[default]
    Return,
    /// That job, if it still waits, takes on what is asked for: payload, priority, queue, time, tags and attributes.
    /// If it does not wait any more, the enqueue is refused.
    Replace,
    /// The enqueue is refused.
    Reject,
}

impl OnConflict {
    /// What becomes of the job that there is; none if it stays as it is.
    ///
    /// # Errors
    /// If the enqueue is refused.
    pub(crate) fn change(self, existing: &Job, new: &NewJob) -> Result<Option<Edit>, Error> {
        let elsewhere = new.unique_in.as_ref().is_some_and(|queues| {
            !queues.contains(&existing.queue) && !queues.contains(&existing.home_queue)
        });
        match self {
            _ if elsewhere => return Err(Error::unique_taken(existing.id)),
            Self::Return => return Ok(None),
            Self::Replace if existing.state == JobState::Pending => {}
            Self::Replace | Self::Reject => return Err(Error::unique_taken(existing.id)),
        }
        Ok(Some(Edit {
            payload: Some(new.payload.clone()),
            priority: Some(new.priority),
            queue: Some(new.queue.clone().unwrap_or_else(|| NewJob::DEFAULT_QUEUE.into())),
            when: Some(new.when),
            tags: Some(new.tags.clone()),
            attributes: Some(new.attributes.clone()),
        }))
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
