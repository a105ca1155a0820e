//! Queues, as operators set them.

use crate::{name::Name, time::Timestamp};

/// What an operator has set for a queue. A queue that nobody set anything for has no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: Name,
    /// When it was paused, if it is.
    pub paused_at: Option<Timestamp>,
    /// Why, in the operator's words.
    pub paused_reason: Option<String>,
}
