//! T15, T17, T18, T19: what operators, retention and webhooks do.

use serde_json::json;

use crate::{
    event::{EventType, is_internal},
    job::{Job, JobState, Reason},
    json::Json,
    name::Name,
    phase::PhaseState,
    time::Timestamp,
};

use super::{
    command::{Context, Edit, RetryFrom},
    phase::check_payload,
    transition::{Draughtsman, Reject, Transition, Write},
};

pub(super) fn retry(
    job: &Job,
    from: &RetryFrom,
    rerun: bool,
    payload: Option<&Json>,
    context: &Context,
) -> Result<Transition, Reject> {
    let action = if rerun { "rerun" } else { "retry" };
    let repeatable = match job.state {
        JobState::Failed | JobState::Cancelled => true,
        // Of a completed job no phase is unfinished.
        JobState::Completed => rerun && *from != RetryFrom::Unfinished,
        JobState::Pending | JobState::Running | JobState::Cancelling => false,
    };
    if !repeatable {
        return Err(Reject::WrongState { action, state: job.state });
    }
    if let Some(holder) = context.unique_holder {
        return Err(Reject::UniqueTaken(holder));
    }
    keep_as_made(job, [("payload", payload.is_some())])?;
    if let Some(payload) = payload {
        check_payload(payload).map_err(|error| Reject::refused(&error))?;
    }
    let first_reset = match from {
        RetryFrom::Unfinished => job.phases.len(),
        RetryFrom::Start => 0,
        RetryFrom::Phase(name) => position_of(job, name)?,
    };

    let mut draft = Draughtsman::of(job);
    let mut writes = Vec::new();
    for (position, phase) in draft.job.phases.iter_mut().enumerate() {
        let reset = position >= first_reset;
        if phase.state == PhaseState::Completed && !reset {
            continue;
        }
        let stored = phase.stored_name().clone();
        if let Some(recorded) = phase.result.take() {
            writes.push(Write::Archive { phase: stored.clone(), run: job.run, inline: recorded.inline });
            phase.discarded = phase.discarded.saturating_add(1);
        }
        if reset {
            if std::mem::take(&mut phase.checkpoint) {
                writes.push(Write::Checkpoint { phase: stored.clone(), value: None });
            }
            writes.push(Write::DropElements { phase: stored });
            phase.interrupted = false;
        }
        phase.state = PhaseState::Pending;
        phase.tries = 0;
        phase.error = None;
        phase.started_at = None;
        phase.finished_at = None;
    }
    // What ran and keeps its result stands first: (C|S)* P*.
    draft.job.phases.sort_by_key(|phase| phase.state != PhaseState::Completed);
    draft.writes = writes;
    if let Some(payload) = payload {
        draft.write(Write::Payload(payload.clone()));
    }

    let row = &mut draft.job;
    row.state = JobState::Pending;
    row.reason = Some(Reason::Retried);
    row.run = row.run.saturating_add(1);
    row.attempt = 0;
    row.crashes = 0;
    row.epoch = row.epoch.saturating_add(1);
    row.available_at = context.now;
    row.expires_at = None;
    row.cancel_requested_at = None;
    row.cancel_deadline = None;
    row.finished_at = None;
    row.details.failure = None;
    row.details.progress = None;
    row.details.webhook_sent = false;
    if let Some(queue) = row.next_phase().map(|phase| row.queue_of(phase).clone()) {
        row.queue = queue;
    }
    let data = match from {
        RetryFrom::Unfinished => json!({ "from": "unfinished" }),
        RetryFrom::Start => json!({ "from": "start" }),
        RetryFrom::Phase(phase) => json!({ "from": "phase", "phase": phase }),
    };
    draft.say(EventType::Retried, Some(data));
    Ok(draft.done())
}

/// What a job of Stepwell's own carries is what was decided when it was made, and nobody's to change: of a delivery
/// this is the body that is signed, and where it goes.
fn keep_as_made<const N: usize>(job: &Job, changes: [(&str, bool); N]) -> Result<(), Reject> {
    match changes.into_iter().find(|(_, is_changed)| *is_changed && is_internal(&job.kind)) {
        Some((field, _)) => Err(Reject::Invalid {
            field: field.into(),
            problem: "cannot be changed of Stepwell's own jobs".into(),
        }),
        None => Ok(()),
    }
}

fn position_of(job: &Job, name: &Name) -> Result<usize, Reject> {
    job.phases.iter().position(|phase| phase.name == *name).ok_or_else(|| {
        let known: Vec<&str> = job.phases.iter().map(|phase| &*phase.name).collect();
        let problem = format!("`{name}` is not one of the job's phases: {}", known.join(", "));
        Reject::Invalid { field: "phase".into(), problem }
    })
}

pub(super) fn edit(job: &Job, edit: &Edit, now: Timestamp) -> Result<Transition, Reject> {
    if job.state != JobState::Pending {
        return Err(Reject::WrongState { action: "edit", state: job.state });
    }
    // Here, and not only at the door: what breaks a limit must not get into a store, whoever asks.
    edit.check().map_err(|error| Reject::refused(&error))?;
    let changes = [
        ("payload", edit.payload.is_some()),
        ("queue", edit.queue.is_some()),
        ("tags", edit.tags.is_some()),
        ("attributes", edit.attributes.is_some()),
    ];
    keep_as_made(job, changes)?;
    let mut draft = Draughtsman::of(job);
    let mut changed = serde_json::Map::new();
    if let Some(payload) = &edit.payload {
        draft.write(Write::Payload(payload.clone()));
        changed.insert("payload".into(), true.into());
    }
    if let Some(priority) = edit.priority {
        draft.job.priority = priority;
        changed.insert("priority".into(), priority.into());
    }
    if let Some(queue) = &edit.queue {
        draft.job.home_queue = queue.clone();
        let next = draft.job.next_phase().map(|phase| draft.job.queue_of(phase).clone());
        draft.job.queue = next.unwrap_or_else(|| queue.clone());
        changed.insert("queue".into(), (&**queue).into());
    }
    if let Some(when) = edit.when {
        draft.job.available_at = when.resolve(now);
        changed.insert("availableAt".into(), draft.job.available_at.as_micros().into());
    }
    if let Some(tags) = &edit.tags {
        draft.job.details.tags.clone_from(tags);
        draft.job.details.tags.sort();
        draft.job.details.tags.dedup();
        changed.insert("tags".into(), true.into());
    }
    if let Some(attributes) = &edit.attributes {
        draft.job.details.attributes.clone_from(attributes);
        changed.insert("attributes".into(), true.into());
    }
    if edit.tags.is_some() || edit.attributes.is_some() {
        draft.write(Write::Reindex);
    }
    draft.say(EventType::Edited, Some(changed.into()));
    Ok(draft.done())
}

pub(super) fn delete(job: &Job, held: bool) -> Result<Transition, Reject> {
    if !job.state.is_terminal() {
        return Err(Reject::WrongState { action: "delete", state: job.state });
    }
    if held {
        return Err(Reject::Held);
    }
    let mut draft = Draughtsman::of(job);
    draft.say(EventType::Deleted, Some(json!({ "deletedJobId": job.id })));
    Ok(Transition { removed: true, ..draft.done() })
}

pub(super) fn record_webhook(job: &Job, delivered: bool, data: &Json) -> Transition {
    let mut draft = Draughtsman::of(job);
    let ty = if delivered { EventType::WebhookDelivered } else { EventType::WebhookFailed };
    // A job that goes on was retried since: what was delivered is the end of an earlier run, and this one's is still
    // due.
    draft.job.details.webhook_sent |= delivered && job.state.is_terminal();
    draft.say_json(ty, data.clone());
    draft.done()
}
