//! What is wrong at the moment, for all connections.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    link::Direction,
    loss::{Losses, Tally},
};

/// The state of the network.
#[derive(Debug)]
pub(crate) struct Weather {
    now: Mutex<Conditions>,
    changed: Condvar,
}

#[derive(Debug)]
pub(crate) struct Conditions {
    /// Nothing passes in these directions.
    pub(crate) held: [bool; 2],
    /// New connections are reset.
    pub(crate) refuses: bool,
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    /// Each of these for one of the next connections: it ends after so many bytes in this direction.
    pub(crate) cuts: VecDeque<(Direction, u64)>,
    pub(crate) losses: Losses,
    pub(crate) tally: Tally,
}

impl Weather {
    pub(crate) fn new(seed: u64) -> Self {
        let now = Conditions {
            held: [false; 2],
            refuses: false,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            cuts: VecDeque::new(),
            losses: Losses::new(seed),
            tally: Tally::default(),
        };
        Self { now: Mutex::new(now), changed: Condvar::new() }
    }

    pub(crate) fn now(&self) -> MutexGuard<'_, Conditions> {
        // No invariant of it can be left half done.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and lets everybody look again.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Conditions) -> T) -> T {
        let outcome = change(&mut self.now());
        self.changed.notify_all();
        outcome
    }

    /// Waits as long as this is so.
    pub(crate) fn wait_while(&self, mut is_so: impl FnMut(&Conditions) -> bool) {
        let waited = self.changed.wait_while(self.now(), |now| is_so(now));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for as long as a message takes in this weather, or until `is_over`.
    pub(crate) fn wait_on_the_way(&self, is_over: impl FnMut() -> bool) {
        let time = {
            let mut now = self.now();
            let jitter = u64::try_from(now.jitter.as_micros()).unwrap_or(u64::MAX);
            now.delay + Duration::from_micros(if jitter == 0 { 0 } else { now.losses.below(jitter) })
        };
        self.wait_for(time, is_over);
    }

    /// Waits for so long, or until `is_over`.
    pub(crate) fn wait_for(&self, time: Duration, mut is_over: impl FnMut() -> bool) {
        if !time.is_zero() {
            let waited = self.changed.wait_timeout_while(self.now(), time, |_| !is_over());
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
