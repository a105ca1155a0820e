//! What every job carries: about as much as a small real one.
use serde::{Deserialize, Serialize};

use crate::monotonic_ns;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Payload {
    pub id: u64,
    /// When the caller began to enqueue, on the machine's monotonic clock.
    pub begun_ns: u64,
    pub to: String,
}

impl Payload {
    /// A job that is being enqueued now.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id, begun_ns: monotonic_ns(), to: "someone@example.com".into() }
    }
}
