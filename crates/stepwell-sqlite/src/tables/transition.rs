//! Storing a new job, and a change to one.

use rusqlite::params;
use stepwell_core::{
    Error, Job, JobState, Json, Result, Timestamp,
    event::{self, Draft},
    job::Details,
    machine::Transition,
    store::Row,
};

use crate::{
    cache::Cached,
    error,
    ledger::{Ledger, extent},
    pending::{Event, Insert, Update},
    sql::sql,
};

use super::row;

impl Ledger {
    pub(super) fn insert_job(&mut self, transition: Transition, payload: &Json) -> Result<()> {
        let Transition { job, events, .. } = transition;
        let kind = self.number_of(&job.kind)?;
        let queue = self.number_of(&job.queue)?;
        let home_queue = self.number_of(&job.home_queue)?;
        let plan = self.plan_number(&job)?;
        let key = self.head.next_job_key;
        let last_pos = self.head.next_pos + events.len() as u64 - 1;
        let ready = readiness(&job, self.now);
        if self.gathering && is_fresh(&job) {
            self.wrote = true;
            self.head.next_job_key = key + 1;
            let phases = self.pending.phases(&job.phases)?;
            self.pending.insert(Insert {
                numbers: [
                    key,
                    kind,
                    queue,
                    home_queue,
                    job.priority.into(),
                    job.max_crashes.into(),
                    job.enqueued_at.as_micros(),
                    job.available_at.as_micros(),
                    i64::from(ready == Some(true)),
                    job.version.cast_signed(),
                    job.next_seq.cast_signed(),
                    last_pos.cast_signed(),
                ],
                plan: plan.zip(generation(&job)),
                uuid: *job.id.as_bytes(),
                phases,
                payload: payload.clone(),
            });
            return self.end_insert(key, &job, (kind, queue), ready, events);
        }
        let details = details_text(&job.details)?;
        let mut buffer = self.take_buffer();
        let insert = |phases: &str| {
            self.conn.prepare_cached(sql!("job", "insert"))?.execute(params![
                key,
                &job.id.as_bytes()[..],
                kind,
                queue,
                home_queue,
                job.priority,
                job.max_crashes,
                job.enqueued_at.as_micros(),
                job.available_at.as_micros(),
                micros(job.expires_at),
                job.unique_key,
                live_key(&job),
                ready,
                job.state as u8,
                row::reason_number(job.reason),
                job.version.cast_signed(),
                job.run,
                job.attempt,
                job.crashes,
                job.epoch.cast_signed(),
                plan,
                generation(&job),
                job.next_seq.cast_signed(),
                last_pos.cast_signed(),
                details,
                phases,
            ])
        };
        let inserted = Self::encode_phases(&mut buffer, &job.phases).map(insert);
        self.give_buffer(buffer);
        // This is the first write, but for a new name. SQLite undoes a statement that fails, so that a refused id
        // leaves nothing behind.
        inserted?.map_err(|failure| match error::is_constraint(&failure) {
            true => {
                Error::invalid("id", format!("is taken: a job {} exists already; make a new one", job.id))
            }
            false => error::from("store a job", failure),
        })?;
        self.wrote = true;
        self.head.next_job_key = key + 1;
        let insert = || {
            self.conn
                .prepare_cached(sql!("beside", "insert_payload"))?
                .execute(params![key, payload.as_str()])
        };
        insert().map_err(error::of("store a payload"))?;
        self.insert_index(key, &job.details)?;
        self.end_insert(key, &job, (kind, queue), ready, events)
    }

    fn end_insert(
        &mut self,
        key: i64,
        job: &Job,
        (kind, queue): (i64, i64),
        ready: Option<bool>,
        events: Vec<Draft>,
    ) -> Result<()> {
        self.append(key, 0, job, (kind, queue), events)?;
        self.counters.add(queue, kind, job.state, 1);
        self.note(job, ready);
        self.flush_if_due()
    }

    pub(super) fn save_job(&mut self, before: &Row, transition: Transition) -> Result<()> {
        let Transition { job, events, writes, removed } = transition;
        self.wrote = true;
        let kind = self.number_of(&job.kind)?;
        let queue = self.number_of(&job.queue)?;
        let last_event_pos = match events.len() as u64 {
            0 => before.last_event_pos,
            n => self.head.next_pos + n - 1,
        };
        let ready = readiness(&job, self.now);
        let had_elements = self.elements.contains(&before.key);
        for write in writes {
            self.write_beside(before.key, &before.job, &job, write)?;
        }
        match removed {
            true => {
                self.flush()?;
                self.delete_job(before)?;
            }
            false => self.update(before, &job, queue, ready, last_event_pos)?,
        }
        self.append(before.key, before.last_event_pos, &job, (kind, queue), events)?;
        self.flush_if_due()?;
        self.count(before, &job, (kind, queue), removed)?;
        self.note(&job, ready);

        let elements = self.elements.contains(&before.key);
        if elements != had_elements && !removed {
            let set = || {
                self.conn.prepare_cached(sql!("job", "set_elements"))?.execute(params![before.key, elements])
            };
            set().map_err(error::of("store a job"))?;
        }
        if job.lease.is_some() && !removed {
            self.cache.put(Cached { row: Row { key: before.key, last_event_pos, job }, elements });
        } else {
            self.cache.take(job.id);
        }
        Ok(())
    }

    /// Writes the columns that changed, with the narrowest statement that has them.
    fn update(
        &mut self,
        before: &Row,
        job: &Job,
        queue: i64,
        ready: Option<bool>,
        last_pos: u64,
    ) -> Result<()> {
        let shape = Shape::of(&before.job, job);
        if shape == Shape::Whole {
            // What was decided before about this job comes first.
            self.flush()?;
            return self.update_whole(before.key, job, queue, ready, last_pos);
        }
        let phases = self.pending.phases(&job.phases)?;
        let (key, version, crashes) = (before.key, job.version.cast_signed(), job.crashes.into());
        let (state, epoch) = (i64::from(job.state as u8), job.epoch.cast_signed());
        let (next_seq, last_pos) = (job.next_seq.cast_signed(), last_pos.cast_signed());
        let reason = row::reason_number(job.reason);
        let update = match shape {
            Shape::GoOn => Update::GoOn { numbers: [key, version, crashes, next_seq, last_pos], phases },
            Shape::Begin => Update::Begin {
                numbers: [key, state, version, job.attempt.into(), crashes, epoch, next_seq, last_pos],
                reason,
                session: self.session_number(job)?,
                token: job.lease.map(|lease| *lease.token.as_bytes()),
                plan: self.plan_number(job)?.zip(generation(job)),
                phases,
            },
            Shape::End | Shape::Whole => Update::End {
                numbers: [key, state, version, crashes, epoch, next_seq, last_pos],
                reason,
                finished_at: micros(job.finished_at),
                phases,
            },
        };
        self.pending.update(update);
        Ok(())
    }

    fn update_whole(
        &mut self,
        key: i64,
        job: &Job,
        queue: i64,
        ready: Option<bool>,
        last_pos: u64,
    ) -> Result<()> {
        let session = self.session_number(job)?;
        let plan = self.plan_number(job)?;
        let home_queue = self.number_of(&job.home_queue)?;
        let token = job.lease.as_ref().map(|lease| &lease.token.as_bytes()[..]);
        let ended_as = |state| if job.state == state { micros(job.finished_at) } else { None };
        let details = details_text(&job.details)?;
        let mut buffer = self.take_buffer();
        let update = |phases: &str| {
            self.conn.prepare_cached(sql!("job", "update"))?.execute(params![
                key,
                queue,
                home_queue,
                job.priority,
                job.available_at.as_micros(),
                micros(job.expires_at),
                live_key(job),
                ready,
                job.state as u8,
                row::reason_number(job.reason),
                job.version.cast_signed(),
                job.run,
                job.attempt,
                job.crashes,
                job.epoch.cast_signed(),
                session,
                token,
                plan,
                generation(job),
                micros(job.cancel_requested_at),
                micros(job.cancel_deadline),
                micros(job.finished_at),
                ended_as(JobState::Failed),
                ended_as(JobState::Cancelled),
                job.next_seq.cast_signed(),
                last_pos.cast_signed(),
                details,
                phases,
            ])
        };
        let updated = Self::encode_phases(&mut buffer, &job.phases).map(update);
        self.give_buffer(buffer);
        updated?.map(drop).map_err(error::of("store a job"))
    }

    /// Appends what a transition said, as one row.
    fn append(
        &mut self,
        key: i64,
        prev_pos: u64,
        job: &Job,
        (kind, queue): (i64, i64),
        events: Vec<Draft>,
    ) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let (last_seq, n) = extent(&events, job.next_seq);
        let last_pos = self.head.next_pos + events.len() as u64 - 1;
        let types = event::mask(&events);
        let data = self.pending.drafts(events)?;
        self.pending.append(Event {
            numbers: [
                last_pos.cast_signed(),
                n,
                key,
                kind,
                queue,
                last_seq,
                job.run.into(),
                self.now.as_micros(),
                types.into(),
                prev_pos.cast_signed(),
            ],
            uuid: *job.id.as_bytes(),
            data,
        });
        self.head.next_pos = last_pos + 1;
        self.change.events = true;
        Ok(())
    }

    fn count(&mut self, before: &Row, job: &Job, (kind, queue): (i64, i64), removed: bool) -> Result<()> {
        if !removed && before.job.state == job.state && before.job.queue == job.queue {
            return Ok(());
        }
        let old_queue = self.number_of(&before.job.queue)?;
        if before.frees_place(job) {
            // Others may have been kept from running by its queue's limit.
            self.change.ready |= self.is_limited(old_queue)?;
        }
        self.counters.add(old_queue, kind, before.job.state, -1);
        if !removed {
            self.counters.add(queue, kind, job.state, 1);
        }
        Ok(())
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

    fn session_number(&mut self, job: &Job) -> Result<Option<i64>> {
        let Some(lease) = &job.lease else { return Ok(None) };
        let n = self.dictionary.number(&self.conn, lease.session)?;
        n.map(Some).ok_or_else(Error::lease_lost)
    }

    fn plan_number(&mut self, job: &Job) -> Result<Option<i64>> {
        match &job.plan {
            Some(plan) => self.number_of(&plan.hash).map(Some),
            None => Ok(None),
        }
    }
}

/// Whether a new job is as most of them are.
fn is_fresh(job: &Job) -> bool {
    job.unique_key.is_none()
        && job.expires_at.is_none()
        && job.state == JobState::Pending
        && job.reason.is_none()
        && (job.run, job.attempt, job.crashes, job.epoch) == (1, 0, 0, 0)
        && job.details == Details::default()
}

/// Which statement writes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// The lease stays: a phase ended, and the next one began.
    GoOn,
    /// A lease was taken.
    Begin,
    /// The lease went, and the job with it ended as most jobs do.
    End,
    /// Anything else.
    Whole,
}

impl Shape {
    fn of(before: &Job, after: &Job) -> Self {
        let keeps_rest = before.run == after.run
            && before.queue == after.queue
            && before.available_at == after.available_at
            && before.cancel_requested_at == after.cancel_requested_at
            && before.cancel_deadline == after.cancel_deadline
            && before.priority == after.priority
            && before.expires_at == after.expires_at
            && before.home_queue == after.home_queue
            && before.details == after.details;
        if !keeps_rest {
            return Self::Whole;
        }
        let keeps_plan = before.plan == after.plan;
        let keeps_lease = before.lease == after.lease && before.state == after.state;
        let same_end = before.finished_at == after.finished_at;
        if keeps_lease && before.lease.is_some() && keeps_plan && same_end && before.attempt == after.attempt
        {
            // The reason and the epoch stand still for as long as the lease does.
            return Self::GoOn;
        }
        if before.state == JobState::Pending && after.lease.is_some() && same_end {
            return Self::Begin;
        }
        let ended = before.lease.is_some() && after.state == JobState::Completed;
        if ended && after.unique_key.is_none() && keeps_plan && before.attempt == after.attempt {
            return Self::End;
        }
        Self::Whole
    }
}

/// Whether a job is ready, or waits for its time; none if it does neither.
fn readiness(job: &Job, now: Timestamp) -> Option<bool> {
    (job.state == JobState::Pending).then(|| job.is_ready(now))
}

fn live_key(job: &Job) -> Option<&str> {
    job.unique_key.as_deref().filter(|_| !job.state.is_terminal())
}

fn generation(job: &Job) -> Option<i64> {
    job.plan.as_ref().map(|plan| plan.generation.cast_signed())
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}

fn details_text(details: &Details) -> Result<Option<String>> {
    match *details == Details::default() {
        true => Ok(None),
        false => serde_json::to_string(details).map(Some).map_err(Error::encode),
    }
}
