//! How long a store goes on once it is told to close.

use std::{sync::OnceLock, time::Duration};

use stepwell_core::time::Stopwatch;

/// What is queued when the store is told to close is still written, if that is possible in this time: a database that
/// does not answer, or a queue that takes longer, does not hold up the end of a process.
const TIME: Duration = Duration::from_millis(500);

/// Whether the store closes, and since when.
#[derive(Debug, Default)]
pub(crate) struct Closing(OnceLock<Stopwatch>);

impl Closing {
    pub(crate) fn begin(&self) {
        self.0.get_or_init(Stopwatch::start);
    }
    /// Whether nothing more may be begun, or waited for.
    pub(crate) fn is_over(&self) -> bool {
        self.0.get().is_some_and(|since| since.elapsed() >= TIME)
    }
}
