//! Phases whose end the application has committed together with rows of its own.
//!
//! It did so with one statement in its own transaction, fenced and on the locked row like every owner's write: the
//! result stands among the elements of the phase, at a place that no list reaches, under the epoch of the claim, and
//! the row says that there are elements. From that commit on the phase has ended, although the row has yet to say so.
//! Its owner is on its way to; if it dies before, whoever takes the job from it records the end first.

use crate::{
    error::Result,
    lease::Fence,
    machine::{self, Command, Context},
    time::Timestamp,
};

use super::tables::{Row, Tables};

/// The place among a phase's elements.
pub const INDEX: u32 = 0x7FFF_FFFF;

/// The end of the running phase, if the application has committed it in this claim.
fn end(tables: &mut impl Tables, row: &Row) -> Result<Option<Command>> {
    let Some(phase) = row.job.running_phase().filter(|_| row.job.lease.is_some()) else { return Ok(None) };
    let Some((epoch, result)) = tables.settled(row, phase.stored_name())? else { return Ok(None) };
    // What an earlier claim has left was overrun by a node that does not know of this.
    let is_of_this_claim = epoch == row.job.epoch.to_string();
    Ok(is_of_this_claim.then(|| Command::CompletePhase { phase: phase.name.clone(), result }))
}

/// What an owner means that ends its phase in whatever way: the end that the application has committed comes in its
/// place. None if there is no such end, and everything is meant as it was said.
pub(super) fn meant(
    tables: &mut impl Tables,
    row: &Row,
    fence: Fence,
    commands: &[Command],
) -> Result<Option<Vec<Command>>> {
    let Fence::Owner { epoch, token } = fence else { return Ok(None) };
    let ends = |command: &Command| {
        matches!(
            command,
            Command::CompletePhase { .. }
                | Command::FailPhase { .. }
                | Command::Snooze { .. }
                | Command::AcknowledgeCancel
                | Command::Release
        )
    };
    let Some(at) = commands.iter().position(ends).filter(|_| row.job.is_owned_by(epoch, token)) else {
        return Ok(None);
    };
    let Some(end) = end(tables, row)? else { return Ok(None) };
    let mut meant = commands.to_vec();
    match meant[at] {
        // The job is given back all the same.
        Command::Release => meant.insert(at, end),
        _ => meant[at] = end,
    }
    Ok(Some(meant))
}

/// Records the end of a phase before its job is taken from its owner. Answers with the row as it is then, and whether
/// it is another one.
pub(super) fn record(tables: &mut impl Tables, row: Row, now: Timestamp) -> Result<(Row, bool)> {
    let (Some(end), Some(fence)) = (end(tables, &row)?, row.job.owner_fence()) else {
        return Ok((row, false));
    };
    let context = Context { now, ..Context::default() };
    let Ok(transition) = machine::apply(&row.job, fence, &end, &context) else { return Ok((row, false)) };
    tables.save(&row, transition)?;
    let after = tables.job(row.job.id)?;
    Ok((after.unwrap_or(row), true))
}
