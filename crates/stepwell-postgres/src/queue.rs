//! Operations that wait for a committer, whichever is free first.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stepwell_core::time::Stopwatch;

use crate::batch::Op;

/// Operations of one batch. More would make the first one wait for nothing.
const OPS_MAX: usize = 1_024;

/// What waits, for all committers of a store.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    woken: Condvar,
}

#[derive(Default)]
struct Waiting {
    ops: VecDeque<(Stopwatch, Box<dyn Op>)>,
    closed: bool,
}

/// What a committer takes.
pub(crate) struct Taken {
    pub(crate) ops: Vec<Box<dyn Op>>,
    /// How long the first of them has waited.
    pub(crate) since: Stopwatch,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic runs under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Lets an operation wait. In a closed store it is dropped, and whoever waits for it is told.
    pub(crate) fn add(&self, op: Box<dyn Op>) {
        let mut waiting = self.lock();
        if !waiting.closed {
            waiting.ops.push_back((Stopwatch::start(), op));
            drop(waiting);
            self.woken.notify_one();
        }
    }
    /// Takes whatever waits, or waits for something; none once the store is closed and everything was taken.
    pub(crate) fn take(&self) -> Option<Taken> {
        let mut waiting = self.lock();
        loop {
            let n = waiting.ops.len().min(OPS_MAX);
            if n > 0 {
                let mut since = Stopwatch::start();
                let taken = waiting.ops.drain(..n).enumerate().map(|(nth, (waited, op))| {
                    if nth == 0 {
                        since = waited;
                    }
                    op
                });
                let ops = taken.collect();
                return Some(Taken { ops, since });
            }
            if waiting.closed {
                return None;
            }
            waiting = self.woken.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
    /// Takes nothing in any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.woken.notify_all();
    }
    /// Waits a moment, but not beyond the closing of the store.
    pub(crate) fn pause(&self, at_most: Duration) {
        let waiting = self.lock();
        if !waiting.closed {
            drop(self.woken.wait_timeout(waiting, at_most));
        }
    }
}
