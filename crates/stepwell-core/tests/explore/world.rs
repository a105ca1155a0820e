//! One state of the exploration: the job's row, two workers, the reaper's memory. What makes two states the same is
//! decided here.

use stepwell_core::{
    Job, JobState, Phase, PhaseState, SessionId, Timestamp, Token,
    job::{Failure, Reason},
    lease::{Fence, Lease},
};

use super::scope::{NOW, Scope, TICK};

/// The row's epoch in every canonical state: only distances matter.
const EPOCH: u64 = 1_000;
/// The token of the present lease in every canonical state.
const CURRENT: u8 = 1;
/// The token that the next claim brings.
pub(crate) const FRESH: u8 = 9;
/// The session of a process that is no more.
const GONE: u8 = 3;
const NONE: u8 = 255;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct World {
    /// The row; none once it is deleted.
    pub(crate) job: Option<Job>,
    pub(crate) slots: [Slot; 2],
    /// What the reaper remembers of a row whose owner it found dead. Another reaper may act in between.
    pub(crate) sighting: Option<Sighting>,
    /// Who really owns the job: the slot whose claim was the last one. The machine does not know it.
    pub(crate) owner: Option<u8>,
    /// How far the row's epoch has moved since the backup was taken, while that can still be told.
    pub(crate) since_backup: Option<u8>,
}

/// A worker process. Its session is named after the slot, and after a crash the old session is `GONE`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Slot {
    /// What it believes to own. It is kept when the lease is lost: nobody tells a zombie.
    pub(crate) fence: Option<(u64, Token)>,
    /// Whether the store holds its session for dead, although the process may live.
    pub(crate) dead: bool,
    /// The plan that it was built with.
    pub(crate) plan: u8,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) epoch: u64,
    pub(crate) session: SessionId,
}

impl Sighting {
    pub(crate) fn of(job: &Job) -> Option<Self> {
        job.lease.map(|lease| Self { epoch: job.epoch, session: lease.session })
    }
}

pub(crate) fn token(byte: u8) -> Token {
    Token::from_bytes([byte; 16])
}
fn session(byte: u8) -> SessionId {
    SessionId::from_bytes([byte; 16])
}
pub(crate) fn session_of(slot: usize) -> SessionId {
    session(if slot == 0 { 1 } else { 2 })
}

impl World {
    pub(crate) fn first(scope: &Scope) -> Self {
        let mut world = Self {
            job: Some(scope.newborn.clone()),
            slots: [Slot::default(); 2],
            sighting: None,
            owner: None,
            since_backup: scope.restores.then_some(0),
        };
        world.make_canonical(scope);
        world
    }
    /// Whether the session of the row's lease is dead.
    pub(crate) fn is_lease_dead(&self) -> bool {
        let Some(lease) = self.job.as_ref().and_then(|job| job.lease) else {
            return false;
        };
        (0..2).all(|slot| lease.session != session_of(slot) || self.slots[slot].dead)
    }
    pub(crate) fn owner_fence(&self, slot: usize) -> Option<Fence> {
        self.slots[slot].fence.map(|(epoch, token)| Fence::Owner { epoch, token })
    }
    /// The process in this slot is gone, and another one starts in its place.
    pub(crate) fn crash(&mut self, slot: usize) {
        let (old, plan) = (session_of(slot), self.slots[slot].plan);
        self.slots[slot] = Slot { plan, ..Slot::default() };
        if self.owner == u8::try_from(slot).ok() {
            self.owner = None;
        }
        if let Some(lease) = self.job.as_mut().and_then(|job| job.lease.as_mut())
            && lease.session == old
        {
            lease.session = session(GONE);
        }
        if let Some(sighting) = &mut self.sighting
            && sighting.session == old
        {
            sighting.session = session(GONE);
        }
    }
    pub(crate) fn has_future(&self) -> bool {
        let Some(job) = &self.job else { return false };
        [Some(job.available_at), job.expires_at, job.cancel_deadline].into_iter().flatten().any(|at| at > NOW)
    }
    /// A tick passes: everything that lies ahead comes closer.
    pub(crate) fn tick(&mut self) {
        if let Some(job) = &mut self.job {
            let times = [Some(&mut job.available_at), job.expires_at.as_mut(), job.cancel_deadline.as_mut()];
            times.into_iter().flatten().filter(|at| **at > NOW).for_each(|at| *at = *at - TICK);
        }
    }

    /// Forgets what no decision can depend on, so that states merge. Everything else is kept, and
    /// [`decode`](Self::decode) shows that nothing was lost by accident.
    ///
    /// Forgotten are the version and the next number of an event (only that they rise is checked, at each
    /// transition), absolute epochs and times, errors, progress, bytes of results, when phases began and ended, the
    /// reason, attempts beyond a bound, how often a result was discarded, and which of the two workers is which.
    pub(crate) fn make_canonical(&mut self, scope: &Scope) {
        let Some(job) = &mut self.job else {
            self.slots = [Slot::default(); 2];
            (self.sighting, self.owner, self.since_backup) = (None, None, None);
            return;
        };
        let leased = |slot: usize| job.lease.is_some_and(|lease| lease.session == session_of(slot));
        let key = |slot: usize| {
            let Slot { fence, dead, plan } = self.slots[slot];
            let lag =
                fence.map(|(epoch, _)| i64::try_from(epoch).unwrap() - i64::try_from(job.epoch).unwrap());
            let seen = self.sighting.is_some_and(|sighting| sighting.session == session_of(slot));
            (plan, leased(slot), lag.map(|lag| lag.max(-scope.lag_told)), dead && leased(slot), seen)
        };
        if key(0) > key(1) {
            // Nothing tells one worker from the other.
            self.slots.swap(0, 1);
            self.owner = self.owner.map(|slot| 1 - slot);
            let held = job.lease.as_mut().map(|lease| &mut lease.session);
            let seen = self.sighting.as_mut().map(|sighting| &mut sighting.session);
            for session in held.into_iter().chain(seen) {
                *session = if *session == session_of(0) {
                    session_of(1)
                } else if *session == session_of(1) {
                    session_of(0)
                } else {
                    *session
                };
            }
        }
        let epoch = job.epoch;
        let told = |other: u64| match other >= epoch {
            true => EPOCH + (other - epoch),
            false => EPOCH - (epoch - other).min(scope.lag_told.unsigned_abs()),
        };
        for (nth, slot) in (2..).zip(&mut self.slots) {
            if let Some((epoch, owned)) = &mut slot.fence {
                let current = job.lease.is_some_and(|lease| lease.token == *owned);
                *owned = token(if current { CURRENT } else { nth });
                *epoch = told(*epoch);
            }
        }
        for (nth, slot) in self.slots.iter_mut().enumerate() {
            // Death matters only as long as the job hangs on it.
            slot.dead &= job.lease.is_some_and(|lease| lease.session == session_of(nth));
        }
        if let Some(sighting) = &mut self.sighting {
            sighting.epoch = told(sighting.epoch);
        }
        if let Some(lease) = &mut job.lease {
            lease.token = token(CURRENT);
        }
        job.epoch = EPOCH;
        (job.version, job.next_seq) = (1, 1);
        job.attempt = job.attempt.min(scope.attempts_told);
        job.reason = reason(job.state);
        job.available_at = job.available_at.max(NOW);
        job.expires_at = job.expires_at.max(job.expires_at.map(|_| NOW));
        job.cancel_deadline = job.cancel_deadline.max(job.cancel_deadline.map(|_| NOW));
        job.cancel_requested_at = job.cancel_requested_at.map(|_| NOW);
        job.finished_at = job.finished_at.map(|_| NOW);
        job.details.progress = None;
        job.details.failure = failure(job.state);
        for phase in &mut job.phases {
            phase.result = phase.result.take().map(|_| scope.canonical_result(phase.stored_name()));
            phase.error = error(phase.state);
            phase.discarded = 0;
            (phase.started_at, phase.finished_at) = (None, None);
        }
    }

    /// A canonical state as a few dozen bytes.
    pub(crate) fn encode(&self, scope: &Scope, out: &mut Vec<u8>) {
        out.clear();
        let Some(job) = &self.job else {
            out.push(NONE);
            return;
        };
        let small = |n: u32| u8::try_from(n).unwrap();
        out.extend([job.state as u8, small(job.attempt), small(job.crashes), small(job.run)]);
        out.extend([&job.queue, &job.home_queue].map(|queue| scope.queue_index(queue).unwrap()));
        out.push(job.plan.as_ref().map_or(0, |plan| u8::try_from(plan.generation).unwrap()));
        out.extend([Some(job.available_at), job.expires_at, job.cancel_deadline].map(ticks));
        out.push(flags(&[
            job.cancel_requested_at.is_some(),
            job.finished_at.is_some(),
            job.details.webhook_sent,
            job.priority > 0,
            !job.details.attributes.is_empty(),
        ]));
        out.push(job.lease.map_or(0, |lease| lease.session.as_bytes()[0]));
        out.push(u8::try_from(job.phases.len()).unwrap());
        for phase in &job.phases {
            let stored = phase.stored_as.as_ref().map_or(NONE, |name| scope.name_index(name).unwrap());
            let queue = phase.queue.as_ref().map_or(NONE, |queue| scope.queue_index(queue).unwrap());
            out.extend([scope.name_index(&phase.name).unwrap(), stored, phase.state as u8, queue]);
            out.extend([small(phase.tries), small(phase.max_tries)]);
            out.push(flags(&[phase.result.is_some(), phase.checkpoint, phase.interrupted]));
        }
        for slot in &self.slots {
            out.push(flags(&[slot.dead, slot.fence.is_some_and(|(_, held)| held == token(CURRENT))]));
            out.push(slot.plan);
            out.push(slot.fence.map_or(NONE, |(epoch, _)| distance(epoch)));
        }
        out.push(self.sighting.map_or(NONE, |sighting| distance(sighting.epoch)));
        out.push(self.sighting.map_or(0, |sighting| sighting.session.as_bytes()[0]));
        out.extend([self.owner.unwrap_or(NONE), self.since_backup.unwrap_or(NONE)]);
    }

    pub(crate) fn decode(scope: &Scope, bytes: &[u8]) -> Self {
        let mut bytes = bytes.iter().copied();
        let mut next = || bytes.next().unwrap();
        let first = next();
        let mut world =
            Self { job: None, slots: [Slot::default(); 2], sighting: None, owner: None, since_backup: None };
        if first == NONE {
            return world;
        }
        let mut job = scope.newborn.clone();
        (job.version, job.next_seq, job.epoch) = (1, 1, EPOCH);
        job.state = JobState::ALL[usize::from(first)];
        job.reason = reason(job.state);
        (job.attempt, job.crashes, job.run) = (next().into(), next().into(), next().into());
        job.queue = scope.queues[usize::from(next())].clone();
        job.home_queue = scope.queues[usize::from(next())].clone();
        job.plan = usize::from(next()).checked_sub(1).map(|at| scope.plans[at].1.clone());
        job.available_at = at_tick(next()).unwrap();
        (job.expires_at, job.cancel_deadline) = (at_tick(next()), at_tick(next()));
        let noted = next();
        let is = |bit: u8| noted & (1 << bit) != 0;
        job.cancel_requested_at = is(0).then_some(NOW);
        job.finished_at = is(1).then_some(NOW);
        job.details.failure = failure(job.state);
        job.details.webhook_sent = is(2);
        job.priority = is(3).into();
        job.details.attributes = is(4).then(|| ("key".into(), "value".into())).into_iter().collect();
        let holder = next();
        job.lease = (holder != 0).then(|| Lease { session: session(holder), token: token(CURRENT) });
        job.phases = (0..next()).map(|_| decode_phase(scope, &mut next)).collect();
        for (nth, slot) in (2..).zip(&mut world.slots) {
            let noted = next();
            slot.dead = noted & 1 != 0;
            slot.plan = next();
            let held = token(if noted & 2 != 0 { CURRENT } else { nth });
            slot.fence = at_distance(next()).map(|epoch| (epoch, held));
        }
        let (epoch, seen) = (at_distance(next()), next());
        world.sighting = epoch.map(|epoch| Sighting { epoch, session: session(seen) });
        (world.owner, world.since_backup) = (some(next()), some(next()));
        world.job = Some(job);
        world
    }
}

fn decode_phase(scope: &Scope, next: &mut impl FnMut() -> u8) -> Phase {
    let name = scope.names[usize::from(next())].clone();
    let stored = some(next()).map(|at| scope.names[usize::from(at)].clone());
    let state = PHASE_STATES[usize::from(next())];
    let queue = some(next()).map(|at| scope.queues[usize::from(at)].clone());
    let mut phase = Phase::pending(name, 0, queue);
    (phase.stored_as, phase.state) = (stored, state);
    (phase.tries, phase.max_tries) = (next().into(), next().into());
    let noted = next();
    let is = |bit: u8| noted & (1 << bit) != 0;
    phase.result = is(0).then(|| scope.canonical_result(phase.stored_name()));
    (phase.checkpoint, phase.interrupted) = (is(1), is(2));
    phase.error = error(state);
    phase
}

const PHASE_STATES: [PhaseState; 6] = [
    PhaseState::Pending,
    PhaseState::Running,
    PhaseState::Completed,
    PhaseState::Failed,
    PhaseState::Cancelled,
    PhaseState::Skipped,
];

/// An ended job has one, whichever it is.
fn reason(state: JobState) -> Option<Reason> {
    match state {
        JobState::Failed => Some(Reason::Permanent),
        JobState::Cancelled => Some(Reason::Requested),
        _ => None,
    }
}
fn failure(state: JobState) -> Option<Failure> {
    (state == JobState::Failed).then(|| Failure { phase: None, message: String::new() })
}
fn error(state: PhaseState) -> Option<String> {
    (state == PhaseState::Failed).then(String::new)
}
fn some(byte: u8) -> Option<u8> {
    Some(byte).filter(|byte| *byte != NONE)
}
fn flags(set: &[bool]) -> u8 {
    set.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag))
}
fn ticks(at: Option<Timestamp>) -> u8 {
    at.map_or(NONE, |at| u8::try_from(at.since(NOW).as_secs()).unwrap())
}
fn at_tick(byte: u8) -> Option<Timestamp> {
    some(byte).map(|ticks| NOW + TICK * ticks.into())
}
fn distance(epoch: u64) -> u8 {
    u8::try_from(epoch + 100 - EPOCH).unwrap()
}
fn at_distance(byte: u8) -> Option<u64> {
    some(byte).map(|distance| EPOCH + u64::from(distance) - 100)
}
