//! Which jobs the handlers saw, how often, and how long each had waited.
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use crate::{Payload, Samples, monotonic_ns};

#[derive(Debug)]
pub struct Ledger {
    seen: Box<[AtomicU8]>,
    waits_ns: Box<[AtomicU64]>,
    handled: AtomicU64,
    first_ns: AtomicU64,
}

impl Ledger {
    /// A ledger of the jobs `0..jobs`.
    #[must_use]
    pub fn new(jobs: u64) -> Self {
        Self {
            seen: (0..jobs).map(|_| AtomicU8::new(0)).collect(),
            waits_ns: (0..jobs).map(|_| AtomicU64::new(0)).collect(),
            handled: AtomicU64::new(0),
            first_ns: AtomicU64::new(0),
        }
    }

    /// To be called by every handler of a job's last phase.
    pub fn handle(&self, payload: &Payload) {
        let now = monotonic_ns();
        // Jobs outside the range were put into the file to be in the way, not to be counted.
        if let Some(seen) = self.seen.get(payload.id as usize)
            && seen.fetch_add(1, Relaxed) == 0
        {
            self.waits_ns[payload.id as usize].store(now.saturating_sub(payload.begun_ns), Relaxed);
        }
        if self.handled.fetch_add(1, Relaxed) == 0 {
            self.first_ns.store(now, Relaxed);
        }
    }

    pub fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }
    /// When the first handler began, on the machine's monotonic clock; 0 if none has.
    pub fn first_ns(&self) -> u64 {
        self.first_ns.load(Relaxed)
    }
    /// Jobs that no handler saw.
    pub fn lost(&self) -> u64 {
        self.seen.iter().filter(|seen| seen.load(Relaxed) == 0).count() as u64
    }
    /// Jobs that a handler saw more than once.
    pub fn repeated(&self) -> u64 {
        self.seen.iter().filter(|seen| seen.load(Relaxed) > 1).count() as u64
    }
    /// From the beginning of the enqueue call to the beginning of the handler.
    pub fn waits_ms(&self) -> Samples {
        let handled = self.waits_ns.iter().zip(&self.seen).filter(|(_, seen)| seen.load(Relaxed) > 0);
        handled.map(|(wait, _)| wait.load(Relaxed) as f64 / 1e6).collect()
    }
}
