//! Where a test lets the process die.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the places at which something became durable while a job ran, and names one of them as the last one that the
/// process lives to see.
#[derive(Debug)]
pub(crate) struct CrashPlan {
    passed: AtomicUsize,
    dies_behind: AtomicUsize,
}

impl Default for CrashPlan {
    fn default() -> Self {
        Self { passed: AtomicUsize::new(0), dies_behind: AtomicUsize::new(usize::MAX) }
    }
}

impl CrashPlan {
    pub(crate) fn die_behind(&self, place: usize) {
        self.dies_behind.store(place, Ordering::SeqCst);
    }
    /// Passes a place. Answers whether the process dies behind it.
    pub(crate) fn pass(&self) -> bool {
        self.passed.fetch_add(1, Ordering::SeqCst) == self.dies_behind.load(Ordering::SeqCst)
    }
    pub(crate) fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}
