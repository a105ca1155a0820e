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
    /// Woken when a slot becomes free that a claim has missed.
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
    /// Whether a claim left the queue out, because there was no free slot. Of the others, the claim found out that
    /// there is nothing more to do, and a slot that becomes free there changes nothing.
    missed: bool,
}

/// Who may go on when a slot has become free.
enum Waiting {
    Claims,
    LaneClaims,
    Nobody,
}

impl Slots {
    fn new(limit: usize, lane: bool) -> Self {
        Self { limit, used: 0, replaced: 0, lane, missed: false }
    }
    fn free(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }
    fn give_back(&mut self) -> Waiting {
        self.used = self.used.saturating_sub(1);
        match self.lane {
            true => Waiting::LaneClaims,
            false if self.free() > 0 && std::mem::take(&mut self.missed) => Waiting::Claims,
            false => Waiting::Nobody,
        }
    }
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
        let slots = |(queue, limit): (&Name, &usize)| (queue.clone(), Slots::new(*limit, false));
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

    /// The free slots, queue by queue, for a claim.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let mut state = self.lock();
        let free = |(queue, slots): (&Name, &mut Slots)| {
            let at_most = slots.free();
            slots.missed = at_most == 0;
            (at_most > 0 && !slots.lane).then(|| Lane { queue: queue.clone(), at_most })
        };
        state.slots.iter_mut().filter_map(free).collect()
    }
    /// The free slots of a queue that comes and goes. It comes with the first question.
    #[cfg(feature = "webhooks")]
    pub(crate) fn free_in_lane(&self, queue: &Name, limit: usize) -> usize {
        let mut state = self.lock();
        if !state.slots.contains_key(queue) {
            state.slots.insert(queue.clone(), Slots::new(limit, true));
        }
        state.slots.get(queue).map_or(0, Slots::free)
    }
    /// A queue goes, once nothing of it is under way.
    #[cfg(feature = "webhooks")]
    pub(crate) fn close_lane(&self, queue: &Name) {
        let mut state = self.lock();
        if state.slots.get(queue).is_some_and(|slots| slots.lane && slots.used == 0 && slots.replaced == 0) {
            state.slots.remove(queue);
        }
    }
    fn tell(&self, waiting: Waiting) {
        match waiting {
            Waiting::Claims => self.freed.notify_one(),
            Waiting::LaneClaims => self.lane_freed.notify_one(),
            Waiting::Nobody => {}
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
            let waiting = slots.get_mut(&entry.queue).map_or(Waiting::Nobody, Slots::give_back);
            drop(state);
            self.tell(waiting);
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
        let mut waiting = Waiting::Nobody;
        if let Some(slots) = state.slots.get_mut(&entry.queue) {
            match entry.slot {
                Slot::Taken => waiting = slots.give_back(),
                Slot::Replaced => slots.replaced = slots.replaced.saturating_sub(1),
                Slot::Free => {}
            }
        }
        let last = state.flights.is_empty();
        drop(state);
        self.tell(waiting);
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
            slots.replaced += 1;
            let (phase, waiting) = (entry.phase.clone(), slots.give_back());
            drop(state);
            self.tell(waiting);
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
    /// Whether a job's handler has finished, and the outcome is on its way into the store.
    pub(crate) fn is_recording(&self, id: JobId, epoch: u64) -> bool {
        self.lock().flights.get(&(id, epoch)).is_some_and(|entry| entry.recording)
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
