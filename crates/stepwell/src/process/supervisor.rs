//! Who hears what a child says.

use stepwell_core::{Json, Result, job::Progress};

use crate::{ctx::PhaseRun, phase_fn::BoxFuture};

/// Who hears what a child says while it runs, and says when it must stop: somebody who holds the phase's lease.
pub trait Supervisor: Send + Sync {
    /// The child says how far it has got.
    fn progress(&self, progress: Progress);
    /// The child says a line for the job's log.
    fn log(&self, line: String);
    /// The child wants a checkpoint stored. It is heard no further until that is done.
    ///
    /// # Errors
    /// A validation error ends the try: the child has said what can never be kept. Any other is told to operators, and
    /// the try goes on.
    fn save_checkpoint(&self, value: Json) -> BoxFuture<'_, Result<()>>;
    /// Resolves when the child must stop.
    fn stopped(&self) -> BoxFuture<'_, ()>;
}

impl Supervisor for PhaseRun {
    fn progress(&self, progress: Progress) {
        self.notes.progress(progress);
    }
    fn log(&self, line: String) {
        self.notes.log(&self.phase, line);
    }
    fn save_checkpoint(&self, value: Json) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::save_checkpoint(self, value))
    }
    fn stopped(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.cancelled.cancelled())
    }
}
