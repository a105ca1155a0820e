//! The wait of `--slow`.

use std::time::Duration;

use stepwell::{Ctx, PhaseResult};
use tokio::runtime::Handle;

/// Stretches phases, so that there is time to interrupt them.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    by: Duration,
    runtime: Handle,
}

impl Slow {
    /// To be called on the runtime that the waits are timed by.
    pub(super) fn by(by: Duration) -> Self {
        Self { by, runtime: Handle::current() }
    }

    /// Waits, unless the phase is asked to stop.
    pub(super) async fn wait<J>(&self, cx: &Ctx<J>) -> PhaseResult<()> {
        if self.by.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(self.by) => Ok(()),
            () = cx.cancelled() => Err("it was asked to stop".into()),
        }
    }
    /// The same for a phase that blocks.
    pub(super) fn wait_blocking<J>(&self, cx: &Ctx<J>) -> PhaseResult<()> {
        if self.by.is_zero() { Ok(()) } else { self.runtime.block_on(self.wait(cx)) }
    }
}
