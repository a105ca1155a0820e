//! Who may do what, and commands in sequence.

use crate::{
    job::{Job, JobState},
    lease::Fence,
};

use super::{
    cancel, claim,
    command::{Claim, Command, Context},
    leave, operate, phase, recover,
    transition::{Reject, Transition},
};

/// Decides what a command does to a job.
///
/// `job` is the row as the store has locked it. Pure and total: no command panics, whatever the row.
///
/// # Errors
/// Why nothing changes.
pub fn apply(job: &Job, fence: Fence, command: &Command, context: &Context) -> Result<Transition, Reject> {
    admit(job, fence, command)?;
    match command {
        Command::Claim(claim) => claim::claim(job, claim, context.now),
        Command::StartPhase => phase::start(job, context.now),
        Command::SaveCheckpoint { phase, value } => phase::save_checkpoint(job, phase, value),
        Command::Annotate { progress, lines } => phase::annotate(job, progress.as_ref(), lines),
        Command::EndElement { phase, index, input_hash, result } => {
            phase::end_element(job, phase, *index, input_hash, result)
        }
        Command::CompletePhase { phase, result } => phase::complete(job, phase, result, context.now),
        Command::FailPhase { phase, error, verdict, retry, jitter } => {
            leave::fail(job, phase, error, *verdict, retry, *jitter, context.now)
        }
        Command::Snooze { delay } => leave::snooze(job, *delay, context.now),
        Command::Release => leave::release(job, context.now),
        Command::AcknowledgeCancel => cancel::acknowledge(job, context.now),
        Command::Cancel { grace } => cancel::request(job, *grace, context.now),
        Command::ForceCancel => cancel::force(job, context.now),
        Command::LoseLease { node, jitter } => recover::lose_lease(job, node, *jitter, context.now),
        Command::Expire => recover::expire(job, context.now),
        Command::Retry { from, rerun, payload } => {
            operate::retry(job, from, *rerun, payload.as_ref(), context)
        }
        Command::Edit(edit) => operate::edit(job, edit, context.now),
        Command::Delete => operate::delete(job, context.held),
        Command::RecordWebhook { delivered, data } => Ok(operate::record_webhook(job, *delivered, data)),
    }
}

/// Decides on several commands of one writer as if they were one: all events in one row, all changes in one commit.
///
/// The first command decides whether anything happens. A further one is dropped if the job no longer runs: when a
/// cancellation came in between, "end this phase and start the next" must not start it.
///
/// # Errors
/// Why nothing changes.
pub fn apply_all(
    job: &Job,
    fence: Fence,
    commands: &[Command],
    context: &Context,
) -> Result<Transition, Reject> {
    let mut commands = commands.iter();
    let first = commands.next().ok_or(Reject::NoChange)?;
    let mut whole = apply(job, fence, first, context)?;
    for command in commands {
        let goes_on = match whole.job.state {
            JobState::Running => true,
            // What a handler had to say is recorded although it was asked to stop, and whoever gives the job back
            // has stopped. Only nothing new begins.
            JobState::Cancelling => !matches!(command, Command::StartPhase),
            _ => false,
        };
        if !goes_on {
            break;
        }
        let next = match command {
            // The most frequent one, on the copy that the one before has made.
            Command::StartPhase => {
                admit(&whole.job, fence, command)?;
                phase::start_on(whole.job, context.now)?
            }
            _ => apply(&whole.job, fence, command, context)?,
        };
        whole.events.extend(next.events);
        whole.writes.extend(next.writes);
        whole = Transition { job: next.job, removed: whole.removed | next.removed, ..whole };
    }
    Ok(whole)
}

/// Checks the fence. An owner's command needs an owner's fence, and the reaper's needs the reaper's.
fn admit(job: &Job, fence: Fence, command: &Command) -> Result<(), Reject> {
    let allowed = match command {
        Command::StartPhase
        | Command::SaveCheckpoint { .. }
        | Command::Annotate { .. }
        | Command::EndElement { .. }
        | Command::CompletePhase { .. }
        | Command::FailPhase { .. }
        | Command::Snooze { .. }
        | Command::AcknowledgeCancel
        | Command::Release => match fence {
            Fence::Owner { epoch, token } => job.is_owned_by(epoch, token),
            _ => false,
        },
        Command::ForceCancel | Command::LoseLease { .. } => match fence {
            Fence::Reaper { epoch, session } => {
                job.state.is_owned()
                    && job.epoch == epoch
                    && job.lease.is_some_and(|lease| lease.session == session)
            }
            _ => false,
        },
        Command::Claim(_)
        | Command::Cancel { .. }
        | Command::Retry { .. }
        | Command::Expire
        | Command::Delete
        | Command::Edit(_)
        | Command::RecordWebhook { .. } => match fence {
            Fence::Version(version) if version != job.version => {
                return Err(Reject::VersionMismatch(job.version));
            }
            Fence::Version(_) | Fence::None => true,
            // Whoever shows what an owner or a reaper shows means it, whatever is asked for: a zombie's cancel would
            // otherwise stop its successor.
            Fence::Owner { epoch, token } => job.is_owned_by(epoch, token),
            Fence::Reaper { .. } => false,
        },
    };
    if allowed { Ok(()) } else { Err(Reject::LeaseLost) }
}

/// Decides on a claim, and on the start of the first due phase with it.
///
/// The job is running afterwards; or it has moved to the queue where its next phase runs; or it is completed, because
/// the worker's plan ends before the job's position.
///
/// # Errors
/// If the job cannot be claimed now.
pub fn claim_and_start(job: &Job, claim: &Claim, context: &Context) -> Result<Transition, Reject> {
    let Transition { job, mut events, mut writes, removed } = claim::claim(job, claim, context.now)?;
    if job.state != JobState::Running {
        return Ok(Transition { job, events, writes, removed });
    }
    // Whoever has just claimed the job owns it.
    let started = phase::start_on(job, context.now)?;
    events.extend(started.events);
    writes.extend(started.writes);
    Ok(Transition { job: started.job, events, writes, removed })
}
