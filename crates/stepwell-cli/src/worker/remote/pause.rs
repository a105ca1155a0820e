//! The time between two tries of a call.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double. Those of different workers differ, so that not all of them come back together.
pub(super) struct Pause {
    next: Duration,
}

impl Pause {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }
    /// Waits a while, and at least as long as was asked for.
    pub(super) async fn wait(&mut self, at_least: Duration) {
        let spread = 0.75 + f64::from(std::process::id() % 64) / 128.0;
        let pause = self.next.mul_f64(spread).max(at_least);
        self.next = (self.next * 2).min(LONGEST);
        tokio::time::sleep(pause).await;
    }
}
