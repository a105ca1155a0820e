//! T12, T13, T16: what the reaper does.

use serde_json::json;

use crate::{
    event::EventType,
    job::{Job, JobState, Reason},
    phase::PhaseState,
    retry,
    time::Timestamp,
};

use super::{
    cancel,
    leave::{finish_failed, give_up_lease, put_back},
    transition::{Draughtsman, Reject, Transition},
};

pub(super) fn lose_lease(job: &Job, node: &str, jitter: f64, now: Timestamp) -> Result<Transition, Reject> {
    if job.state == JobState::Cancelling {
        return Ok(cancel::finish(Draughtsman::of(job), Reason::Forced, now));
    }
    let mut draft = Draughtsman::of(job);
    let running = job.running_phase();
    let data = json!({
        "node": node,
        "try": running.map(|phase| phase.tries),
        "checkpoint": running.is_some_and(|phase| phase.checkpoint),
        "crashes": job.crashes,
    });
    match running {
        Some(phase) => draft.say_of(EventType::Interrupted, &phase.name, Some(data)),
        None => draft.say(EventType::Interrupted, Some(data)),
    }
    if job.crashes >= job.max_crashes {
        let message = match running {
            Some(phase) => format!(
                "its worker died {} times in a row, last on {node} in try {} of phase `{}`",
                job.crashes, phase.tries, phase.name
            ),
            None => format!("its worker died {} times in a row, last on {node}", job.crashes),
        };
        let phase = running.map(|phase| phase.name.clone());
        for open in draft.job.phases.iter_mut().filter(|phase| phase.state == PhaseState::Running) {
            open.state = PhaseState::Failed;
            open.interrupted = true;
            open.error = Some(message.clone());
            open.finished_at = Some(now);
        }
        return Ok(finish_failed(draft, Reason::Poisoned, phase, message, now));
    }
    for phase in draft.job.phases.iter_mut().filter(|phase| phase.state == PhaseState::Running) {
        phase.interrupted = true;
    }
    put_back(&mut draft.job, true);
    give_up_lease(&mut draft.job, Reason::Interrupted, now + retry::crash_delay(job.crashes, jitter));
    Ok(draft.done())
}

pub(super) fn expire(job: &Job, now: Timestamp) -> Result<Transition, Reject> {
    match job.expires_at {
        Some(at) if at <= now && job.state == JobState::Pending => {
            let message = "it expired before a worker took it".to_owned();
            Ok(finish_failed(Draughtsman::of(job), Reason::Expired, None, message, now))
        }
        _ => Err(Reject::WrongState { action: "expire", state: job.state }),
    }
}
