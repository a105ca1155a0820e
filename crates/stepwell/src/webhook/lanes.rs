//! Which queues of deliveries are worth asking for work.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use stepwell_core::{Name, Timestamp};
use tokio::sync::Notify;

/// Queues that one claim asks: however many endpoints wait, a claim stays short for everybody else who writes.
pub(crate) const LANES_AT_ONCE: usize = 64;

/// The queues that hold deliveries which wait, as far as is known here.
#[derive(Default)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    /// Woken when there may be a delivery to claim.
    wake: Notify,
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<Name, Lane>,
    /// The lane after which the next claim begins, so that all have their turn.
    after: Option<Name>,
    /// Counts the looks at what waits in the store.
    looks: u64,
}

#[derive(Clone, Copy, Default)]
struct Lane {
    /// The look at or after which it was last known to hold something.
    seen: u64,
    /// The receiver asked for a pause until then.
    held_until: Option<Timestamp>,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Deliveries have been put into a queue.
    pub(super) fn open<'q>(&self, queues: impl IntoIterator<Item = &'q Name>) {
        {
            let mut state = self.lock();
            let looks = state.looks;
            for queue in queues {
                state.lanes.entry(queue.clone()).or_default().seen = looks;
            }
        }
        self.wake.notify_one();
    }
    /// Asks nothing of a queue until a time: its receiver wants it so.
    pub(super) fn hold(&self, queue: &Name, until: Timestamp) {
        let mut state = self.lock();
        let looks = state.looks;
        let lane = state.lanes.entry(queue.clone()).or_default();
        lane.seen = looks;
        lane.held_until = lane.held_until.max(Some(until));
    }
    /// Asks a queue again, whatever its receiver wanted: an operator wants to know how it does now.
    pub(super) fn release(&self, queue: &Name) {
        if let Some(lane) = self.lock().lanes.get_mut(queue) {
            lane.held_until = None;
        }
        self.open([queue]);
    }
    /// Resolves when deliveries have been put into a queue since the last time.
    pub(crate) async fn opened(&self) {
        self.wake.notified().await;
    }
    /// Begins a look at what waits in the store.
    pub(crate) fn begin_look(&self) -> u64 {
        let mut state = self.lock();
        state.looks += 1;
        state.looks
    }
    /// Ends it: what was not found, and has not been put there since, is no longer asked. Answers with those queues.
    /// That a receiver wants a pause is remembered although nothing waits for it at this moment.
    pub(crate) fn end_look(&self, look: u64, waiting: &[Name], now: Timestamp) -> Vec<Name> {
        let mut state = self.lock();
        for queue in waiting {
            state.lanes.entry(queue.clone()).or_default().seen = look;
        }
        let is_gone = |lane: &Lane| lane.seen < look && lane.held_until.is_none_or(|until| until <= now);
        let gone: Vec<Name> =
            state.lanes.iter().filter(|(_, lane)| is_gone(lane)).map(|(queue, _)| queue.clone()).collect();
        state.lanes.retain(|_, lane| !is_gone(lane));
        gone
    }
    /// The next queues to ask, each in its turn.
    pub(crate) fn next(&self, now: Timestamp) -> Vec<Name> {
        let mut state = self.lock();
        let open = |lane: &Lane| lane.held_until.is_none_or(|until| until <= now);
        let names: Vec<Name> =
            state.lanes.iter().filter(|(_, lane)| open(lane)).map(|(queue, _)| queue.clone()).collect();
        let first = match &state.after {
            Some(after) => names.partition_point(|name| name <= after),
            None => 0,
        };
        let next: Vec<Name> =
            names[first..].iter().chain(&names[..first]).take(LANES_AT_ONCE).cloned().collect();
        state.after = next.last().cloned();
        next
    }
    /// How many queues there are to ask.
    pub(crate) fn len(&self) -> usize {
        self.lock().lanes.len()
    }
    /// When the first held queue may be asked again.
    pub(crate) fn held_for(&self, now: Timestamp) -> Option<Duration> {
        let state = self.lock();
        state
            .lanes
            .values()
            .filter_map(|lane| lane.held_until)
            .filter(|until| *until > now)
            .min()
            .map(|at| at.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Name {
        format!("q{n:04}").into()
    }

    #[test]
    fn every_lane_has_its_turn() {
        let lanes = Lanes::default();
        let names: Vec<Name> = (0..200).map(name).collect();
        lanes.open(&names);
        let now = Timestamp::from_micros(0);
        let mut asked = std::collections::BTreeSet::new();
        for _ in 0..4 {
            let next = lanes.next(now);
            assert!(next.len() <= LANES_AT_ONCE);
            asked.extend(next);
        }
        assert_eq!(asked.len(), 200);
    }

    #[test]
    fn a_held_lane_is_passed_over_until_its_time() {
        let lanes = Lanes::default();
        let (one, other) = (name(1), name(2));
        lanes.open([&one, &other]);
        lanes.hold(&one, Timestamp::from_micros(50));
        assert_eq!(lanes.next(Timestamp::from_micros(49)), [other]);
        assert_eq!(lanes.held_for(Timestamp::from_micros(20)), Some(Duration::from_micros(30)));
        assert_eq!(lanes.next(Timestamp::from_micros(50)).len(), 2);
    }

    #[test]
    fn a_pause_is_remembered_although_nothing_waits_for_a_moment() {
        let lanes = Lanes::default();
        let at = Timestamp::from_micros;
        lanes.hold(&name(1), at(50));
        let look = lanes.begin_look();
        assert_eq!(lanes.end_look(look, &[], at(10)), []);
        lanes.open([&name(1)]);
        assert_eq!(lanes.next(at(20)), []);
        let look = lanes.begin_look();
        assert_eq!(lanes.end_look(look, &[], at(50)), [name(1)], "it is over");
    }

    #[test]
    fn an_operator_ends_a_pause() {
        let lanes = Lanes::default();
        lanes.hold(&name(1), Timestamp::from_micros(50));
        lanes.release(&name(1));
        assert_eq!(lanes.next(Timestamp::from_micros(0)), [name(1)]);
        lanes.release(&name(2));
        assert_eq!(lanes.next(Timestamp::from_micros(0)), [name(2), name(1)]);
    }

    #[test]
    fn a_look_closes_what_is_empty_but_nothing_that_was_filled_meanwhile() {
        let lanes = Lanes::default();
        let (stays, goes, comes) = (name(1), name(2), name(3));
        lanes.open([&stays, &goes]);
        let look = lanes.begin_look();
        lanes.open([&comes]);
        assert_eq!(lanes.end_look(look, std::slice::from_ref(&stays), Timestamp::from_micros(0)), [goes]);
        assert_eq!(lanes.next(Timestamp::from_micros(0)), [stays, comes]);
    }
}
