//! What runs in this process, for the live view.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stepwell::JobId;

/// The files that are worked on here and now.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<BTreeMap<JobId, Working>>>);

/// A file that is worked on.
#[derive(Clone, Debug)]
pub(super) struct Working {
    pub(super) path: String,
    pub(super) phase: &'static str,
}

/// Takes the file off the board when the phase is over, however it ends.
pub(super) struct Entered<'b>(&'b Board, JobId);

impl Board {
    pub(super) fn enter(&self, job: JobId, path: &str, phase: &'static str) -> Entered<'_> {
        self.lock().insert(job, Working { path: path.to_owned(), phase });
        Entered(self, job)
    }
    /// The first `most` that run, and how many there are.
    pub(super) fn running(&self, most: usize) -> (Vec<Working>, usize) {
        let board = self.lock();
        (board.values().take(most).cloned().collect(), board.len())
    }
    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Working>> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}
