//! T4 to T6: what an owner does to the running phase.

use serde::Serialize;

use crate::{
    event::EventType,
    job::{Job, JobState, Progress, Reason},
    json::Json,
    limits,
    name::Name,
    phase::{PhaseState, Recorded},
    time::Timestamp,
};

use super::{
    cancel, command,
    command::LogLine,
    leave,
    transition::{Draughtsman, Reject, Transition, Write},
};

/// What the start of a phase says.
#[derive(Serialize)]
struct Begun {
    #[serde(rename = "try")]
    tries: u32,
}

/// What the end of a phase says.
#[derive(Serialize)]
struct Ended<'a> {
    bytes: usize,
    hash: &'a str,
}

pub(super) fn start(job: &Job, now: Timestamp) -> Result<Transition, Reject> {
    start_on(job.clone(), now)
}

/// The same on a copy that nobody needs any more.
pub(super) fn start_on(job: Job, now: Timestamp) -> Result<Transition, Reject> {
    if job.state != JobState::Running || job.running_phase().is_some() {
        return Err(Reject::WrongState { action: "start a phase of", state: job.state });
    }
    let mut draft = Draughtsman::on(job);
    let Some(phase) = draft.job.phases.iter_mut().find(|phase| phase.state == PhaseState::Pending) else {
        // A new plan ended before the job's position: there is nothing left to do.
        return Ok(finish_completed(draft, now));
    };
    phase.state = PhaseState::Running;
    phase.tries = phase.tries.saturating_add(1);
    phase.started_at = Some(now);
    phase.finished_at = None;
    let (name, tries) = (phase.name.clone(), phase.tries);
    draft.say_as(EventType::PhaseStarted, Some(&name), &Begun { tries });
    Ok(draft.done())
}

pub(super) fn save_checkpoint(job: &Job, phase: &Name, value: &Json) -> Result<Transition, Reject> {
    check_value("checkpoint", value, limits::CHECKPOINT_BYTES_MAX, limits::JSON_DEPTH_MAX)?;
    let at = running(job, phase)?;
    let mut draft = Draughtsman::of(job);
    draft.job.phases[at].checkpoint = true;
    let stored = draft.job.phases[at].stored_name().clone();
    draft.write(Write::Checkpoint { phase: stored, value: Some(value.clone()) });
    Ok(draft.done())
}

pub(super) fn annotate(
    job: &Job,
    progress: Option<&Progress>,
    lines: &[LogLine],
) -> Result<Transition, Reject> {
    let mut draft = Draughtsman::of(job);
    if let Some(progress) = progress {
        let mut progress = progress.clone();
        if let Some(note) = &mut progress.note {
            truncate(note, limits::NOTE_BYTES_MAX);
        }
        let phase = job.running_phase().map(|phase| phase.name.clone());
        let data = serde_json::to_value(&progress).ok();
        match &phase {
            Some(phase) => draft.say_of(EventType::Progress, phase, data),
            None => draft.say(EventType::Progress, data),
        }
        draft.job.details.progress = Some(progress);
    }
    if !lines.is_empty() {
        let mut lines = lines.to_vec();
        lines.iter_mut().for_each(|line| truncate(&mut line.text, limits::LOG_LINE_BYTES_MAX));
        draft.write(Write::Log(lines));
    }
    Ok(draft.done())
}

pub(super) fn end_element(
    job: &Job,
    phase: &Name,
    index: u32,
    input_hash: &str,
    result: &Json,
) -> Result<Transition, Reject> {
    if job.state != JobState::Running {
        return Err(Reject::WrongState { action: "record an element of", state: job.state });
    }
    check_value("element's result", result, limits::RESULT_BYTES_MAX, limits::JSON_DEPTH_MAX)?;
    let at = running(job, phase)?;
    let mut draft = Draughtsman::of(job);
    // An element's end is a sign of life, like a phase's.
    draft.job.crashes = 1;
    let stored = draft.job.phases[at].stored_name().clone();
    draft.write(Write::Element {
        phase: stored,
        index,
        input_hash: input_hash.to_owned(),
        result: result.clone(),
    });
    Ok(draft.done())
}

pub(super) fn complete(job: &Job, phase: &Name, result: &Json, now: Timestamp) -> Result<Transition, Reject> {
    // It may be the list of what elements came to, which is one level more.
    check_value("result", result, limits::COLLECTED_BYTES_MAX, limits::JSON_DEPTH_MAX + 1)?;
    let at = running(job, phase)?;
    let mut draft = Draughtsman::of(job);
    let recorded = Recorded::of(result);
    let ended = &mut draft.job.phases[at];
    ended.state = PhaseState::Completed;
    ended.interrupted = false;
    ended.error = None;
    ended.finished_at = Some(now);
    let stored = ended.stored_name().clone();
    let had_checkpoint = std::mem::take(&mut ended.checkpoint);
    if recorded.inline.is_none() {
        draft.writes.push(Write::Result { phase: stored.clone(), result: result.clone() });
    }
    draft.say_as(
        EventType::PhaseCompleted,
        Some(phase),
        &Ended { bytes: recorded.bytes, hash: &recorded.hash },
    );
    draft.job.phases[at].result = Some(recorded);
    if had_checkpoint {
        draft.write(Write::Checkpoint { phase: stored.clone(), value: None });
    }
    draft.write(Write::DropElements { phase: stored });
    draft.job.crashes = 1;
    draft.job.details.progress = None;

    let next = draft.job.next_phase().map(|next| draft.job.queue_of(next).clone());
    Ok(match next {
        None => finish_completed(draft, now),
        Some(_) if draft.job.state == JobState::Cancelling => cancel::finish(draft, Reason::Requested, now),
        Some(queue) if queue != draft.job.queue => {
            leave::give_up_lease(&mut draft.job, Reason::HandedOver, now);
            draft.job.crashes = 0;
            draft.job.queue = queue;
            draft.done()
        }
        Some(_) => draft.done(),
    })
}

fn finish_completed(mut draft: Draughtsman, now: Timestamp) -> Transition {
    leave::close(&mut draft.job, JobState::Completed, None, now);
    draft.say(EventType::Completed, None);
    draft.done()
}

/// The position of the running phase, if it is the one that the command is about.
pub(super) fn running(job: &Job, phase: &str) -> Result<usize, Reject> {
    let is_it =
        |candidate: &crate::Phase| candidate.state == PhaseState::Running && &*candidate.name == phase;
    job.phases.iter().position(is_it).ok_or(Reject::NotRunning)
}

fn check_value(field: &'static str, value: &Json, limit: usize, levels: usize) -> Result<(), Reject> {
    if value.bytes() > limit {
        let problem =
            format!("is {} bytes long, the limit is {limit}; store the data elsewhere", value.bytes());
        return Err(Reject::Invalid { field: field.into(), problem });
    }
    match value.problem(levels) {
        Some(problem) => Err(Reject::Invalid { field: field.into(), problem }),
        None => Ok(()),
    }
}

/// Cuts a text at a character's boundary.
pub(super) fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

pub(super) use command::check_payload;
