//! A place in the log, and what is wanted of it.

use std::sync::Arc;

use stepwell_core::{Result, event::EventFilter};

use crate::{engine::Follower, wire::Frame};

/// A place in the log, and what is wanted of it. It owns nothing else: neither a task, nor a connection, nor a buffer.
/// Whoever reads slowly holds up nobody, and falls back to reading from the store.
pub struct EventCursor {
    follower: Follower,
}

/// What a cursor finds.
#[derive(Debug)]
pub enum Found {
    /// The next events that are wanted. It may be none of them, although the place has moved on.
    Events(Vec<Arc<Frame>>),
    /// Events after the place are no longer kept, or cannot be read, and were missed; the log goes on with this `pos`.
    Gap {
        /// The oldest `pos` after the gap.
        oldest: u64,
    },
    /// The place is of another log: it is ahead of this one, or the end of the one before was lost in a failover. This
    /// one begins with this `pos`.
    Reset {
        /// The oldest `pos` that is kept.
        oldest: u64,
    },
}

impl EventCursor {
    pub(crate) fn new(follower: Follower) -> Self {
        Self { follower }
    }
    /// The place: everything up to this `pos` was found, or is not wanted.
    #[must_use]
    pub fn pos(&self) -> u64 {
        self.follower.cursor
    }
    /// The id of the log that the place is in. It becomes another one with [`Found::Reset`].
    #[must_use]
    pub fn generation(&self) -> Arc<str> {
        self.follower.generation.clone()
    }
    /// What is wanted.
    #[must_use]
    pub fn filter(&self) -> &EventFilter {
        &self.follower.filter
    }
    /// What there is after the place, at most so many events; none if there is nothing yet.
    ///
    /// # Errors
    /// If the store fails, or has been closed.
    pub async fn look(&mut self, at_most: usize) -> Result<Option<Found>> {
        self.follower.look(at_most).await
    }
    /// Waits until there may be something after the place. Answers false when the queue has been closed.
    pub async fn grown(&mut self) -> bool {
        self.follower.grown().await
    }
}
