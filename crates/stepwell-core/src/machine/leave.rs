//! T8, T9, T14: how an owner lets go of a job.

use std::time::Duration;

use serde_json::json;

use crate::{
    event::EventType,
    job::{Failure, Job, JobState, Reason},
    limits,
    name::Name,
    phase::PhaseState,
    retry::Retry,
    time::Timestamp,
};

use super::{
    cancel,
    command::Verdict,
    phase::{running, truncate},
    transition::{Draughtsman, Reject, Transition},
};

pub(super) fn fail(
    job: &Job,
    phase: &Name,
    error: &str,
    verdict: Verdict,
    retry: &Retry,
    jitter: f64,
    now: Timestamp,
) -> Result<Transition, Reject> {
    let at = running(job, phase)?;
    if job.state == JobState::Cancelling {
        return cancel::acknowledge(job, now);
    }
    let mut error = error.to_owned();
    truncate(&mut error, limits::ERROR_BYTES_MAX);
    let mut draft = Draughtsman::of(job);
    let failed = &mut draft.job.phases[at];
    failed.error = Some(error.clone());
    let spent = failed.tries >= failed.max_tries;
    let delay = match verdict {
        Verdict::Permanent => None,
        _ if spent => None,
        Verdict::RetryIn(delay) => Some(delay.min(limits::DELAY_MAX)),
        Verdict::Retry => Some(retry.delay_after(failed.tries, jitter)),
    };
    let tries = failed.tries;
    let Some(delay) = delay else {
        failed.state = PhaseState::Failed;
        failed.finished_at = Some(now);
        draft.say_of(EventType::PhaseFailed, phase, Some(json!({ "error": error, "try": tries })));
        let reason = if verdict == Verdict::Permanent { Reason::Permanent } else { Reason::TriesSpent };
        return Ok(finish_failed(draft, reason, Some(phase.clone()), error, now));
    };
    failed.state = PhaseState::Pending;
    let retry_at = now + delay;
    let data = json!({ "error": error, "try": tries, "retryAt": retry_at });
    draft.say_of(EventType::PhaseFailed, phase, Some(data));
    draft.say(EventType::Retrying, Some(json!({ "availableAt": retry_at })));
    give_up_lease(&mut draft.job, Reason::Retrying, retry_at);
    draft.job.crashes = 0;
    Ok(draft.done())
}

pub(super) fn snooze(job: &Job, delay: Duration, now: Timestamp) -> Result<Transition, Reject> {
    if job.state == JobState::Cancelling {
        return cancel::acknowledge(job, now);
    }
    let mut draft = Draughtsman::of(job);
    let until = now + delay.min(limits::DELAY_MAX);
    draft.say(EventType::Snoozed, Some(json!({ "availableAt": until })));
    put_back(&mut draft.job, true);
    draft.job.attempt = draft.job.attempt.saturating_sub(1);
    draft.job.crashes = 0;
    give_up_lease(&mut draft.job, Reason::Snoozed, until);
    Ok(draft.done())
}

pub(super) fn release(job: &Job, now: Timestamp) -> Result<Transition, Reject> {
    if job.state == JobState::Cancelling {
        return cancel::acknowledge(job, now);
    }
    let mut draft = Draughtsman::of(job);
    let phase = job.running_phase().map(|phase| phase.name.clone());
    match &phase {
        Some(phase) => draft.say_of(EventType::Released, phase, None),
        None => draft.say(EventType::Released, None),
    }
    for phase in draft.job.phases.iter_mut().filter(|phase| phase.state == PhaseState::Running) {
        phase.interrupted = true;
    }
    put_back(&mut draft.job, true);
    draft.job.attempt = draft.job.attempt.saturating_sub(1);
    draft.job.crashes = draft.job.crashes.saturating_sub(1);
    give_up_lease(&mut draft.job, Reason::Released, now);
    Ok(draft.done())
}

/// The running phase, if there is one, is pending again. Whoever did not fail is not charged for the try.
pub(super) fn put_back(job: &mut Job, uncharged: bool) {
    for phase in job.phases.iter_mut().filter(|phase| phase.state == PhaseState::Running) {
        phase.state = PhaseState::Pending;
        if uncharged {
            phase.tries = phase.tries.saturating_sub(1);
        }
    }
}

/// The job is pending again, and its former owner can change nothing more.
pub(super) fn give_up_lease(job: &mut Job, reason: Reason, available_at: Timestamp) {
    job.state = JobState::Pending;
    job.reason = Some(reason);
    job.lease = None;
    job.epoch = job.epoch.saturating_add(1);
    job.available_at = available_at;
}

/// The job has ended. The caller says so in exactly one terminal event.
pub(super) fn close(job: &mut Job, state: JobState, reason: Option<Reason>, now: Timestamp) {
    job.state = state;
    job.reason = reason;
    job.lease = None;
    job.epoch = job.epoch.saturating_add(1);
    job.finished_at = Some(now);
    job.cancel_deadline = None;
}

pub(super) fn finish_failed(
    mut draft: Draughtsman,
    reason: Reason,
    phase: Option<Name>,
    message: String,
    now: Timestamp,
) -> Transition {
    for open in draft.job.phases.iter_mut().filter(|phase| !phase.is_closed()) {
        open.state = PhaseState::Skipped;
        open.finished_at = Some(now);
    }
    close(&mut draft.job, JobState::Failed, Some(reason), now);
    let data = json!({ "reason": reason, "error": message });
    match &phase {
        Some(phase) => draft.say_of(EventType::Failed, phase, Some(data)),
        None => draft.say(EventType::Failed, Some(data)),
    }
    draft.job.details.failure = Some(Failure { phase, message });
    draft.done()
}
