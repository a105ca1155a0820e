//! The jobs under way in this process, and the slots that they take.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::{HashMap, HashMapExt};
use stepwell_core::{JobId, Name, lease::Fence, store::Lane};
use tokio::sync::Notify;

use super::stop::{Stop, Why};

/// The jobs under way, and the slots that they take.
pub(crate) struct Flights {
    state: Mutex<State>,
    /// Woken when a slot becomes free.
    pub(crate) freed: Notify,
    /// Woken when a slot of a lane becomes free.
    pub(crate) lane_freed: Notify,
    /// Woken when the last flight has landed.
    pub(crate) landed: Notify,
}

/// A job that is about to take off.
pub(super) struct Departure {
    pub(super) id: JobId,
    pub(super) epoch: u64,
    pub(super) queue: Name,
    pub(super) fence: Fence,
    pub(super) phase: Name,
    pub(super) stop: Arc<Stop>,
}

struct State {
    flights: HashMap<(JobId, u64), Entry>,
    slots: BTreeMap<Name, Slots>,
}

struct Slots {
    limit: usize,
    used: usize,
    /// Slots that were given up for handlers which do not stop. At most as many as there are slots.
    replaced: usize,
    /// Whether the queue is one that comes and goes, with claims of its own.
    lane: bool,
}

struct Entry {
    queue: Name,
    fence: Fence,
    phase: Name,
    stop: Arc<Stop>,
    slot: Slot,
    /// Whether it is writing its end: then it is neither lost nor stuck, whatever the store's rows say.
    recording: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Slot {
    Taken,
    /// Given back before the flight landed, since its handler has finished.
    Free,
    /// Given up, because the handler does not stop.
    Replaced,
}

impl Flights {
    pub(crate) fn new(queues: &BTreeMap<Name, usize>) -> Self {
        let slots = |(queue, limit): (&Name, &usize)| {
            (queue.clone(), Slots { limit: *limit, used: 0, replaced: 0, lane: false })
        };
        let state = State { flights: HashMap::new(), slots: queues.iter().map(slots).collect() };
        Self {
            state: Mutex::new(state),
            freed: Notify::new(),
            lane_freed: Notify::new(),
            landed: Notify::new(),
        }
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The free slots, queue by queue.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let state = self.lock();
        let free = |(queue, slots): (&Name, &Slots)| {
            let at_most = slots.limit.saturating_sub(slots.used);
            (at_most > 0 && !slots.lane).then(|| Lane { queue: queue.clone(), at_most })
        };
        state.slots.iter().filter_map(free).collect()
    }
    /// The free slots of a queue that comes and goes. It comes with the first question.
    #[cfg(feature = "webhooks")]
    pub(crate) fn free_in_lane(&self, queue: &Name, limit: usize) -> usize {
        let mut state = self.lock();
        if !state.slots.contains_key(queue) {
            state.slots.insert(queue.clone(), Slots { limit, used: 0, replaced: 0, lane: true });
        }
        state.slots.get(queue).map_or(0, |slots| slots.limit.saturating_sub(slots.used))
    }
    /// A queue goes, once nothing of it is under way.
    #[cfg(feature = "webhooks")]
    pub(crate) fn close_lane(&self, queue: &Name) {
        let mut state = self.lock();
        if state.slots.get(queue).is_some_and(|slots| slots.lane && slots.used == 0 && slots.replaced == 0) {
            state.slots.remove(queue);
        }
    }
    fn tell_freed(&self, lane: bool) {
        match lane {
            true => self.lane_freed.notify_one(),
            false => self.freed.notify_one(),
        }
    }
    /// Takes slots for jobs that were claimed.
    pub(super) fn depart(&self, departures: impl Iterator<Item = Departure>) {
        let mut state = self.lock();
        for Departure { id, epoch, queue, fence, phase, stop } in departures {
            if let Some(slots) = state.slots.get_mut(&queue) {
                slots.used += 1;
            }
            let entry = Entry { queue, fence, phase, stop, slot: Slot::Taken, recording: false };
            state.flights.insert((id, epoch), entry);
        }
    }
    /// The flight has gone on to another phase.
    pub(crate) fn entered(&self, id: JobId, epoch: u64, phase: &Name) {
        if let Some(entry) = self.lock().flights.get_mut(&(id, epoch)) {
            entry.phase = phase.clone();
            entry.recording = false;
        }
    }
    /// The handler has finished, and its outcome is on its way into the store. If that ends the job, its slot is free:
    /// whatever is claimed for it is decided after the end, in the same order in which the two were sent.
    pub(crate) fn recording(&self, id: JobId, epoch: u64, ends_job: bool) {
        let mut state = self.lock();
        let State { flights, slots } = &mut *state;
        let Some(entry) = flights.get_mut(&(id, epoch)) else { return };
        entry.recording = true;
        if ends_job && entry.slot == Slot::Taken {
            entry.slot = Slot::Free;
            let mut lane = false;
            if let Some(slots) = slots.get_mut(&entry.queue) {
                slots.used = slots.used.saturating_sub(1);
                lane = slots.lane;
            }
            drop(state);
            self.tell_freed(lane);
        }
    }
    /// The outcome could not be written. The slot is taken again, over the limit if it must be, until it can.
    pub(crate) fn record_failed(&self, id: JobId, epoch: u64) {
        let mut state = self.lock();
        let State { flights, slots } = &mut *state;
        let Some(entry) = flights.get_mut(&(id, epoch)) else { return };
        if entry.slot == Slot::Free {
            entry.slot = Slot::Taken;
            if let Some(slots) = slots.get_mut(&entry.queue) {
                slots.used += 1;
            }
        }
    }
    /// The job has left this process.
    pub(crate) fn land(&self, id: JobId, epoch: u64) {
        let mut state = self.lock();
        let Some(entry) = state.flights.remove(&(id, epoch)) else { return };
        let mut lane = false;
        if let Some(slots) = state.slots.get_mut(&entry.queue) {
            lane = slots.lane;
            match entry.slot {
                Slot::Taken => slots.used = slots.used.saturating_sub(1),
                Slot::Replaced => slots.replaced = slots.replaced.saturating_sub(1),
                Slot::Free => {}
            }
        }
        let last = state.flights.is_empty();
        drop(state);
        if entry.slot == Slot::Taken {
            self.tell_freed(lane);
        }
        if last {
            self.landed.notify_waiters();
        }
    }

    /// Asks a job to stop, if this process runs it in this epoch.
    pub(crate) fn cancel(&self, id: JobId, epoch: u64) {
        if let Some(entry) = self.lock().flights.get(&(id, epoch)) {
            entry.stop.ask(Why::Cancelled);
        }
    }
    /// Asks every job to stop.
    pub(crate) fn ask_all(&self, why: Why) {
        for entry in self.lock().flights.values() {
            entry.stop.ask(why);
        }
    }
    /// A job that the store no longer counts as this process's: its handler must stop, and if it does not, its slot
    /// is replaced, within the bound. Answers with the phase if that happened now.
    pub(crate) fn lost(&self, id: JobId, epoch: u64) -> Option<Name> {
        let mut state = self.lock();
        let State { flights, slots } = &mut *state;
        let entry = flights.get_mut(&(id, epoch)).filter(|entry| !entry.recording)?;
        let was_asked = entry.stop.why() == Some(Why::Lost);
        entry.stop.ask(Why::Lost);
        let slots = slots.get_mut(&entry.queue)?;
        // It is asked first, and found not to have stopped at the next look.
        if was_asked && entry.slot == Slot::Taken && slots.replaced < slots.limit {
            entry.slot = Slot::Replaced;
            slots.used = slots.used.saturating_sub(1);
            slots.replaced += 1;
            let (phase, lane) = (entry.phase.clone(), slots.lane);
            drop(state);
            self.tell_freed(lane);
            return Some(phase);
        }
        None
    }

    /// The jobs under way, with their epochs, fences and phases.
    pub(crate) fn list(&self) -> Vec<(JobId, u64, Fence, Name)> {
        let state = self.lock();
        state
            .flights
            .iter()
            .map(|((id, epoch), entry)| (*id, *epoch, entry.fence, entry.phase.clone()))
            .collect()
    }
    /// How many jobs are under way.
    pub(crate) fn running(&self) -> usize {
        self.lock().flights.len()
    }
    /// How many handlers do not stop although their jobs have gone.
    pub(crate) fn stuck(&self) -> usize {
        self.lock().slots.values().map(|slots| slots.replaced).sum()
    }
}
