//! Storing a new job, and a change to one.

use stepwell_core::{
    Error, Job, JobState, Json, Result, Timestamp,
    event::{self, Draft},
    machine::Transition,
    store::Row,
    unique::Holder,
};
use uuid::Uuid;

use crate::{
    ledger::{Ledger, taken},
    pending::Event,
};

use super::row::{Held, Link, Names};

impl Ledger {
    pub(super) fn insert_job(&mut self, transition: Transition, payload: &Json) -> Result<()> {
        let Transition { job, events, .. } = transition;
        if self.known.jobs.get(&job.id).is_some_and(Option::is_some) {
            return Err(taken(job.id));
        }
        let names = Names {
            kind: self.number_of(&job.kind)?,
            queue: self.number_of(&job.queue)?,
            home_queue: self.number_of(&job.home_queue)?,
            plan: self.plan_number(&job)?,
        };
        let key = self.take_key()?;
        self.wrote = true;
        let ready = readiness(&job, self.now);
        self.pending.payloads.push((key, payload.clone()));
        self.index(key, &job);
        let last = self.append(key, (0, 0), &job, names, events)?;
        self.counters.add(names.queue, names.kind, job.state, 1);
        self.note(&job, ready);
        self.note_holder(None, Some(&job), names.kind);
        let row = Row { key, last_event_pos: u64::MAX, job };
        let held = Held { names, last, elements: false, ready, dirty: true, new: true, row };
        self.known.jobs.insert(held.row.job.id, Some(held));
        self.flush_if_due()
    }

    pub(super) fn save_job(&mut self, before: &Row, transition: Transition) -> Result<()> {
        let Transition { job, events, writes, removed } = transition;
        self.wrote = true;
        let id = job.id;
        let held = self.known.jobs.get(&id).and_then(Option::as_ref);
        if removed && (held.is_some_and(|held| held.dirty) || !self.pending.has_nothing_beside()) {
            self.flush()?;
        }
        let gone = || Error::fatal("a job was changed that is not locked; this is a defect of Stepwell");
        let mut held = self.known.jobs.remove(&id).flatten().ok_or_else(gone)?;
        let old = held.names;
        if job.queue != before.job.queue {
            held.names.queue = self.number_of(&job.queue)?;
        }
        if job.home_queue != before.job.home_queue {
            held.names.home_queue = self.number_of(&job.home_queue)?;
        }
        if job.plan != before.job.plan {
            held.names.plan = self.plan_number(&job)?;
        }
        for write in writes {
            self.write_beside(&mut held, &job, write)?;
        }
        held.last = self.append(before.key, held.last, &job, held.names, events)?;
        held.ready = readiness(&job, self.now);
        self.note(&job, held.ready);
        self.note_holder(Some(&before.job), (!removed).then_some(&job), old.kind);
        if before.frees_place(&job) {
            // Others may have been kept from running by its queue's limit.
            self.change.ready |= self.limited.contains(&old.queue);
        }
        if removed || before.job.state != job.state || old.queue != held.names.queue {
            self.counters.add(old.queue, old.kind, before.job.state, -1);
            if !removed {
                self.counters.add(held.names.queue, old.kind, job.state, 1);
            }
        }
        if removed {
            self.pending.deleted.push(before.key);
            self.known.jobs.insert(id, None);
        } else {
            held.row.job = job;
            held.dirty = true;
            self.known.jobs.insert(id, Some(held));
        }
        self.flush_if_due()
    }

    /// Appends what a transition said, as one row. Answers where the job's last events stand from now on.
    fn append(&mut self, key: i64, prev: Link, job: &Job, names: Names, events: Vec<Draft>) -> Result<Link> {
        if events.is_empty() {
            return Ok(prev);
        }
        let (n, types) = (i32::try_from(events.len()).unwrap_or(i32::MAX), event::mask(&events));
        let data = self.pending.drafts(events)?;
        self.change.events = true;
        Ok(self.pending.append(Event {
            n,
            key,
            uuid: Uuid::from(job.id),
            kind: names.kind,
            queue: names.queue,
            last_job_seq: job.next_seq.cast_signed() - 1,
            run: job.run,
            at: self.now.as_micros(),
            types,
            prev,
            data,
        }))
    }

    /// Keeps what is known of a unique key's holders true.
    fn note_holder(&mut self, before: Option<&Job>, after: Option<&Job>, kind: i32) {
        let Some(key) = before.or(after).and_then(|job| job.unique_key.as_ref()) else { return };
        let key = (kind, key.clone());
        let Some(after) = after else {
            // Who the newest one is now, only the database knows.
            self.known.holders.remove(&key);
            return;
        };
        let Some(holders) = self.known.holders.get_mut(&key) else { return };
        if before.is_none() {
            holders.newest = Some(Holder { id: after.id, enqueued_at: after.enqueued_at });
        }
        if !after.state.is_terminal() {
            holders.live = Some(after.id);
        } else if holders.live == Some(after.id) {
            holders.live = None;
        }
    }

    /// Notes what somebody may wait for.
    fn note(&mut self, job: &Job, ready: Option<bool>) {
        match ready {
            Some(true) => self.change.ready = true,
            Some(false) => {
                let due = self.change.due.map_or(job.available_at, |due| due.min(job.available_at));
                self.change.due = Some(due);
            }
            None => self.change.cancelling |= job.state == JobState::Cancelling,
        }
    }

    fn plan_number(&mut self, job: &Job) -> Result<Option<i32>> {
        match &job.plan {
            Some(plan) => self.number_of(&plan.hash).map(Some),
            None => Ok(None),
        }
    }
}

/// Whether a job is ready, or waits for its time; none if it does neither.
fn readiness(job: &Job, now: Timestamp) -> Option<bool> {
    (job.state == JobState::Pending).then(|| job.is_ready(now))
}
