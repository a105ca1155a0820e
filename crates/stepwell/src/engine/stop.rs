//! How a running phase is told to stop.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// Why a phase must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// Its job was cancelled.
    Cancelled = 1,
    /// The process shuts down, and the time for finishing is over.
    Drained = 2,
    /// The lease was lost. Nothing may be written any more.
    Lost = 3,
}

/// One job's signal. It only ever gets more urgent.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    why: AtomicU8,
    /// What the handler sees.
    pub(crate) asked: CancellationToken,
    /// Fired again when the reason changes.
    hurried: tokio::sync::Notify,
}

impl Stop {
    pub(crate) fn ask(&self, why: Why) {
        self.why.fetch_max(why as u8, Ordering::AcqRel);
        self.asked.cancel();
        self.hurried.notify_waiters();
    }
    pub(crate) fn why(&self) -> Option<Why> {
        match self.why.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Why::Cancelled),
            2 => Some(Why::Drained),
            _ => Some(Why::Lost),
        }
    }
    /// Resolves when the phase has been asked to stop and its time for that is over.
    pub(crate) async fn run_out(&self, cancel_grace: Duration, abort_grace: Duration) {
        self.asked.cancelled().await;
        loop {
            let hurried = self.hurried.notified();
            let grace = match self.why() {
                Some(Why::Cancelled) => cancel_grace,
                Some(Why::Drained) => abort_grace,
                Some(Why::Lost) | None => return,
            };
            tokio::select! {
                () = tokio::time::sleep(grace) => return,
                () = hurried => {}
            }
        }
    }
}
