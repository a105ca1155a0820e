//! T10 to T12: how a job is stopped.

use std::time::Duration;

use serde_json::json;

use crate::{
    event::EventType,
    job::{Job, JobState, Reason},
    phase::PhaseState,
    time::Timestamp,
};

use super::{
    leave,
    transition::{Draughtsman, Reject, Transition},
};

pub(super) fn request(job: &Job, grace: Duration, now: Timestamp) -> Result<Transition, Reject> {
    let mut draft = Draughtsman::of(job);
    match job.state {
        JobState::Pending => {
            draft.job.cancel_requested_at = Some(now);
            Ok(finish(draft, Reason::Requested, now))
        }
        JobState::Running => {
            draft.job.state = JobState::Cancelling;
            draft.job.cancel_requested_at = Some(now);
            draft.job.cancel_deadline = Some(now + grace);
            draft.say(EventType::Cancelling, None);
            Ok(draft.done())
        }
        JobState::Cancelling | JobState::Completed | JobState::Failed | JobState::Cancelled => {
            Err(Reject::NoChange)
        }
    }
}

pub(super) fn acknowledge(job: &Job, now: Timestamp) -> Result<Transition, Reject> {
    match job.state {
        JobState::Cancelling => Ok(finish(Draughtsman::of(job), Reason::Requested, now)),
        state => Err(Reject::WrongState { action: "acknowledge the cancellation of", state }),
    }
}

pub(super) fn force(job: &Job, now: Timestamp) -> Result<Transition, Reject> {
    let late = job.cancel_deadline.is_some_and(|deadline| deadline <= now);
    match job.state {
        JobState::Cancelling if late => Ok(finish(Draughtsman::of(job), Reason::Forced, now)),
        state => Err(Reject::WrongState { action: "force the cancellation of", state }),
    }
}

/// Closes the open phases and the job in one step, with one event.
pub(super) fn finish(mut draft: Draughtsman, reason: Reason, now: Timestamp) -> Transition {
    for open in draft.job.phases.iter_mut().filter(|phase| !phase.is_closed()) {
        // An operator may set the job going again, and the phase must then know that it left something half done.
        open.interrupted |= open.state == PhaseState::Running;
        open.state = PhaseState::Cancelled;
        open.finished_at = Some(now);
    }
    leave::close(&mut draft.job, JobState::Cancelled, Some(reason), now);
    let forced = (reason == Reason::Forced).then(|| json!({ "forced": true }));
    draft.say(EventType::Cancelled, forced);
    draft.done()
}
