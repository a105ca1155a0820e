//! What runs jobs, until it is shut down.

use std::{fmt, sync::Arc, time::Duration};

use stepwell_core::{JobId, Timestamp};

use crate::{
    client::Stepwell,
    engine::{Engine, Shutdown},
};

/// Jobs run while this is alive. Dropping it stops them at the next phase boundary, and leaves the queue open.
#[must_use = "dropping this stops the workers at the next phase boundary"]
pub struct Workers {
    engine: Arc<Engine>,
    _stepwell: Stepwell,
}

impl Workers {
    pub(crate) fn start(stepwell: Stepwell) -> Self {
        stepwell.engine.start();
        Self { engine: stepwell.engine.clone(), _stepwell: stepwell }
    }

    /// Claims nothing more, waits for running phases to reach a boundary, gives their jobs back, and closes the queue.
    ///
    /// A phase that is still running after `grace` is asked to stop, and dropped a moment later. May be called in any
    /// state and more than once; a later call never lengthens an earlier one's time.
    ///
    /// # Errors
    /// [`ShutdownTimeout`] if a phase was still running after `grace`. Everything is closed all the same: the phase was
    /// told to stop, and its job will run again.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), ShutdownTimeout> {
        self.engine.shutdown(Shutdown::within(grace)).await
    }
    /// Claims nothing more, and waits for running phases to reach a boundary, for `grace` at most. The queue stays
    /// open: what still asks something of it, such as a server that is ending too, is answered. Call
    /// [`shutdown`](Self::shutdown) afterwards, with what is left of the time.
    ///
    /// Answers whether nothing runs any more.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.engine.drain(grace).await
    }
    /// Resolves when somebody wants this process to end: by [`Stepwell::want`], from whatever process on the same
    /// store. Nothing more is claimed from then on. What follows is up to the application: most often
    /// [`shutdown`](Self::shutdown), and the end.
    pub async fn terminated(&self) {
        self.engine.terminated().await;
    }
    /// How many jobs run now.
    pub fn running(&self) -> usize {
        self.engine.flights.running()
    }
    /// Waits until nothing runs here and there is nothing to claim, and answers when the next job is due, as far as is
    /// known here. A worker that drains claims nothing, and is not waited for.
    pub async fn idle(&self) -> Option<Timestamp> {
        self.engine.idle().await
    }
    /// How many handlers do not stop although their jobs have gone on without them: asynchronous ones that never reach
    /// an `await`, and blocking ones that do not look at [`Ctx::is_cancelled`](crate::Ctx::is_cancelled). Each holds a
    /// thread; the way out is to mend the handler and to restart the process.
    pub fn stuck(&self) -> usize {
        self.engine.flights.stuck() + self.engine.pool.abandoned()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.engine.stop_claiming();
    }
}

/// Phases were still running when the grace period of a shutdown was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownTimeout {
    /// Jobs whose phase was dropped, or ended without a store that would record it in time. They run again.
    pub dropped: Vec<(JobId, String)>,
    /// Jobs whose phase could not be stopped. They were given back, too; what such a handler still does can no longer
    /// change its job.
    pub stuck: Vec<(JobId, String)>,
}

impl fmt::Display for ShutdownTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to drain the workers within the grace period")?;
        for (what, jobs) in [("stopped", &self.dropped), ("could not stop", &self.stuck)] {
            for (nth, (job, phase)) in jobs.iter().enumerate() {
                let lead = if nth == 0 { format!("; {what} ") } else { ", ".to_owned() };
                write!(f, "{lead}phase `{phase}` of job {job}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ShutdownTimeout {}
