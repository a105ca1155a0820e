//! Queues, as operators set them.

use crate::{
    error::{Error, Result},
    limits,
    name::Name,
    time::Timestamp,
};

/// What an operator has set for a queue. A queue that nobody set anything for has no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: Name,
    /// When it was paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// Why, in the operator's words.
    pub paused_reason: Option<String>,
    /// How many of its jobs may run at once in all processes together.
    pub limit: Option<u32>,
}

/// A change that an operator makes to a queue. What it does not name stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueChange {
    /// Workers take no more of its jobs.
    Pause {
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// They do again.
    Resume,
    /// So many of its jobs may run at once in all processes together; any number if none is given.
    Limit(Option<u32>),
}

impl Queue {
    /// A queue that nobody has set anything for.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self { name, paused_at: None, paused_reason: None, limit: None }
    }
    /// The same after a change.
    #[must_use]
    pub fn after(mut self, change: &QueueChange, now: Timestamp) -> Self {
        match change {
            QueueChange::Pause { reason } => {
                (self.paused_at, self.paused_reason) = (Some(now), reason.clone());
            }
            QueueChange::Resume => (self.paused_at, self.paused_reason) = (None, None),
            QueueChange::Limit(limit) => self.limit = *limit,
        }
        self
    }
    /// Whether so many running jobs are as many as may run.
    #[must_use]
    pub fn is_full(&self, running: u64) -> bool {
        self.limit.is_some_and(|limit| running >= limit.into())
    }
}

impl QueueChange {
    /// Checks it.
    ///
    /// # Errors
    /// A validation error, if a limit lets nothing run, or is none that anybody could reach.
    pub fn check(&self) -> Result<()> {
        let problem = match self {
            Self::Limit(Some(0)) => {
                "must be at least 1; pause the queue if nothing of it is to run".to_owned()
            }
            Self::Limit(Some(limit)) if *limit > limits::QUEUE_LIMIT_MAX => {
                format!("is {limit}, and at most {}; set none to let any number run", limits::QUEUE_LIMIT_MAX)
            }
            _ => return Ok(()),
        };
        Err(Error::invalid("limit", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_the_rest_as_it_is() {
        let (first, second) = (Timestamp::from_micros(1), Timestamp::from_micros(2));
        let pause = QueueChange::Pause { reason: Some("why".into()) };
        let queue = Queue::new("q".into()).after(&QueueChange::Limit(Some(3)), first).after(&pause, second);
        let reason = Some("why".to_owned());
        let both = Queue { name: "q".into(), paused_at: Some(second), paused_reason: reason, limit: Some(3) };
        assert_eq!(queue, both);
        let resumed = queue.after(&QueueChange::Resume, second);
        assert_eq!(resumed, Queue { limit: Some(3), ..Queue::new("q".into()) });
        assert_eq!(resumed.after(&QueueChange::Limit(None), second), Queue::new("q".into()));
    }

    #[test]
    fn a_queue_is_full_at_its_limit_and_beyond() {
        let queue = Queue { limit: Some(2), ..Queue::new("q".into()) };
        assert_eq!([0, 1, 2, 3].map(|running| queue.is_full(running)), [false, false, true, true]);
        assert!(!Queue::new("q".into()).is_full(u64::MAX));
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused_with_the_way_out() {
        let refusal = |limit| QueueChange::Limit(Some(limit)).check().unwrap_err().to_string();
        assert!(refusal(0).contains("pause"), "{}", refusal(0));
        assert!(refusal(u32::MAX).contains("1000000"), "{}", refusal(u32::MAX));
        for sound in [Some(1), Some(limits::QUEUE_LIMIT_MAX), None] {
            QueueChange::Limit(sound).check().unwrap();
        }
    }
}
