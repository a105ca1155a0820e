//! How a transition becomes rows.

use std::cmp::Reverse;

use stepwell_core::{
    Error, Job, JobState, Json, Result, limits,
    machine::{LogLine, Transition, Write},
    store::Row,
};

use crate::{
    events,
    state::{State, Tx},
};

pub(crate) fn insert(tx: &mut Tx<'_>, transition: Transition, payload: &Json) -> Result<()> {
    let Transition { job, events, writes, .. } = transition;
    if tx.state.keys.contains(&job.id) {
        let problem = format!("is taken: a job {} exists already; make a new one", job.id);
        return Err(Error::invalid("id", problem));
    }
    let key = tx.state.meta.next_key;
    tx.state.meta.next_key += 1;
    let last_event_pos = events::append(tx, key, &job, events, 0);
    let row = Row { key, last_event_pos, job };
    tx.state.keys.insert(row.job.id, key);
    tx.state.payloads.insert(key, payload.clone());
    if let Some(unique) = &row.job.unique_key {
        tx.state.holders.insert((row.job.kind.clone(), unique.clone(), key), ());
    }
    link(tx, &row);
    tx.state.jobs.insert(key, row);
    for write in writes {
        store(tx.state, key, write);
    }
    Ok(())
}

pub(crate) fn save(tx: &mut Tx<'_>, before: &Row, transition: Transition) {
    let Transition { job, events, writes, removed } = transition;
    let key = before.key;
    unlink(tx.state, before);
    let last_event_pos = events::append(tx, key, &job, events, before.last_event_pos);
    if removed {
        return remove(tx.state, key, &job);
    }
    if before.frees_place(&job) {
        // Others may have been kept from running by its queue's limit.
        tx.change.ready |= tx.state.queues.get(&before.job.queue).is_some_and(|queue| queue.limit.is_some());
    }
    let row = Row { key, last_event_pos, job };
    link(tx, &row);
    tx.state.jobs.insert(key, row);
    for write in writes {
        store(tx.state, key, write);
    }
}

/// Everything of the job but its events.
fn remove(state: &mut State, key: i64, job: &Job) {
    state.jobs.remove(&key);
    state.keys.remove(&job.id);
    state.payloads.remove(&key);
    if let Some(unique) = &job.unique_key {
        state.holders.remove(&(job.kind.clone(), unique.clone(), key));
    }
    // The empty name is the least one, and no phase has it.
    state.results.remove_range((key, "".into())..(key + 1, "".into()));
    state.archive.remove_range((key, "".into(), 0)..(key + 1, "".into(), 0));
    state.checkpoints.remove_range((key, "".into())..(key + 1, "".into()));
    state.elements.remove_range((key, "".into(), 0)..(key + 1, "".into(), 0));
    state.log.remove_range((key, 0)..=(key, u64::MAX));
    state.histories.remove_range((key, 0)..=(key, u64::MAX));
}

fn store(state: &mut State, key: i64, write: Write) {
    match write {
        Write::Result { phase, result } => state.results.insert((key, phase), result),
        Write::Archive { phase, run, inline } => {
            let apart = state.results.remove(&(key, phase.clone())).cloned();
            if let Some(result) = inline.or(apart) {
                state.archive.insert((key, phase, run), result);
            }
        }
        Write::Checkpoint { phase, value: Some(value) } => state.checkpoints.insert((key, phase), value),
        Write::Checkpoint { phase, value: None } => {
            state.checkpoints.remove(&(key, phase));
        }
        Write::Element { phase, index, input_hash, result } => {
            let element = stepwell_core::store::Element { index, input_hash, result };
            state.elements.insert((key, phase, index), element);
        }
        Write::DropElements { phase } => {
            state.elements.remove_range((key, phase.clone(), 0)..=(key, phase, u32::MAX));
        }
        Write::Log(lines) => append_log(state, key, lines),
        Write::Payload(payload) => state.payloads.insert(key, payload),
        // Tags and attributes are looked for in the rows themselves.
        Write::Reindex => {}
    }
}

fn append_log(state: &mut State, key: i64, lines: Vec<LogLine>) {
    let kept = || (key, 0)..=(key, u64::MAX);
    let last = state.log.range(kept()).next_back().map_or(0, |((_, n), _)| *n);
    let mut next = last;
    for line in lines {
        next += 1;
        state.log.insert((key, next), line);
    }
    let oldest = (next + 1).saturating_sub(limits::LOG_LINES_MAX as u64);
    state.log.remove_range((key, 0)..(key, oldest));
}

/// Puts a row into every index that its state asks for, and says what somebody may wait for.
fn link(tx: &mut Tx<'_>, row: &Row) {
    let (job, key, state) = (&row.job, row.key, &mut *tx.state);
    match job.state {
        JobState::Pending => {
            if job.available_at <= tx.now {
                state.ready.insert(ready_key(row), ());
                tx.change.ready = true;
            } else {
                state.waiting.insert((job.available_at, key), ());
                let due = tx.change.due.map_or(job.available_at, |due| due.min(job.available_at));
                tx.change.due = Some(due);
            }
            if let Some(at) = job.expires_at {
                state.expiring.insert((at, key), ());
            }
        }
        JobState::Running | JobState::Cancelling => {
            if let Some(lease) = job.lease {
                state.owned.insert((lease.session, key), ());
            }
            if job.state == JobState::Cancelling
                && let Some(at) = job.cancel_deadline
            {
                state.cancelling.insert((at, key), ());
                tx.change.cancelling = true;
            }
        }
        ended => {
            state.ended.insert((ended, job.finished_at.unwrap_or_default(), key), ());
        }
    }
    if !job.state.is_terminal()
        && let Some(unique) = &job.unique_key
    {
        state.live.insert((job.kind.clone(), unique.clone()), key);
    }
    state.count(job, 1);
}

/// The opposite of [`link`], for a row as it was stored.
fn unlink(state: &mut State, row: &Row) {
    let (job, key) = (&row.job, row.key);
    match job.state {
        JobState::Pending => {
            state.ready.remove(&ready_key(row));
            state.waiting.remove(&(job.available_at, key));
            if let Some(at) = job.expires_at {
                state.expiring.remove(&(at, key));
            }
        }
        JobState::Running | JobState::Cancelling => {
            if let Some(lease) = job.lease {
                state.owned.remove(&(lease.session, key));
            }
            if let Some(at) = job.cancel_deadline {
                state.cancelling.remove(&(at, key));
            }
        }
        ended => {
            state.ended.remove(&(ended, job.finished_at.unwrap_or_default(), key));
        }
    }
    if !job.state.is_terminal()
        && let Some(unique) = &job.unique_key
    {
        state.live.remove(&(job.kind.clone(), unique.clone()));
    }
    state.count(job, -1);
}

pub(crate) fn ready_key(row: &Row) -> crate::state::ReadyKey {
    let job = &row.job;
    (job.queue.clone(), job.kind.clone(), Reverse(job.priority), job.available_at, row.key)
}
