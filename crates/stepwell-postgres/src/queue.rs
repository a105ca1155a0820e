//! Operations that wait for a committer, whichever is free first.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stepwell_core::{Error, time::Stopwatch};

use crate::batch::Op;

/// Operations of one batch. More would make the first one wait for nothing.
const OPS_MAX: usize = 1_024;

/// Operations that wait at most: while the database is away, their number must not fill the memory.
const WAITING_MAX: usize = 100_000;

/// What waits, for all committers of a store.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    woken: Condvar,
    /// For those that pause: what is added must wake one that takes it, and not one of them.
    closing: Condvar,
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
        if waiting.ops.len() >= WAITING_MAX {
            drop(waiting);
            let why = "more wait than may; the database is away or too slow: try again later";
            op.settle(Some(&Error::busy(why, Duration::ZERO)));
        } else if !waiting.closed {
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
        self.closing.notify_all();
    }
    /// Waits a moment, but not beyond the closing of the store.
    pub(crate) fn pause(&self, at_most: Duration) {
        let waiting = self.lock();
        if !waiting.closed {
            drop(self.closing.wait_timeout(waiting, at_most));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{batch::Wants, ledger::Ledger};

    /// Counts how often it was answered that the store is busy.
    struct Nothing(Arc<AtomicUsize>);
    impl Op for Nothing {
        fn wants(&self, _: &mut Wants) {}
        fn run(&mut self, _: &mut Ledger) -> Option<Error> {
            None
        }
        fn settle(self: Box<Self>, failure: Option<&Error>) {
            self.0.fetch_add(usize::from(failure.is_some_and(Error::is_busy)), Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_pauses_takes_nobodys_turn() {
        let (queue, busy, taken) = (Queue::default(), Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| queue.pause(Duration::from_mins(1)));
            }
            scope.spawn(|| {
                while let Some(Taken { ops, .. }) = queue.take() {
                    taken.fetch_add(ops.len(), Ordering::SeqCst);
                }
            });
            // Again and again, so that the one that takes was surely asleep for some of them.
            let in_time = (1..1_000).all(|n| {
                queue.add(Box::new(Nothing(busy.clone())));
                let since = Stopwatch::start();
                while taken.load(Ordering::SeqCst) < n && since.elapsed() < Duration::from_secs(10) {
                    std::thread::yield_now();
                }
                taken.load(Ordering::SeqCst) >= n
            });
            queue.close();
            assert!(in_time, "the one that takes was not woken");
        });
    }

    #[test]
    fn more_than_may_wait_are_told_so() {
        let (queue, busy) = (Queue::default(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..WAITING_MAX + 3 {
            queue.add(Box::new(Nothing(busy.clone())));
        }
        assert_eq!(busy.load(Ordering::Relaxed), 3);
    }
}
