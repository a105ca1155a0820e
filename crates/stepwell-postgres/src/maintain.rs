//! One pass of maintenance, in steps of one operation each, so that none holds locks for long.

use std::time::Duration;

use stepwell_core::{Result, SessionId, limits, store::operations};

use crate::{
    ledger::{Ledger, get},
    session::{Known, Sessions},
    sql::sql,
};

/// How long it stays known what became of an inbox row, and an idempotency key of it counts.
const INBOX_KEPT: Duration = Duration::from_hours(7 * 24);

/// Jobs that one step moves.
pub(crate) const STEP_MAX: usize = limits::MAINTENANCE_BATCH_MAX;

/// Takes in what applications enqueued in their own transactions.
pub(crate) fn take_in(ledger: &mut Ledger) -> Result<usize> {
    ledger.step(|ledger| operations::take_in(ledger, ledger.now, STEP_MAX))
}

/// Sees to it that what was committed has its positions: a node may have been killed in between.
pub(crate) fn number(ledger: &mut Ledger) -> Result<()> {
    const LOOK: &str = "look for events without positions";
    let row = ledger.query_opt(LOOK, sql!("event", "is_behind"), &[])?;
    ledger.owes_numbers |= row.map_or(Ok(false), |row| get(&row, 0, LOOK))?;
    Ok(())
}

/// Finds sessions that are dead, marks them, and answers with all that are marked. A mark is final: a session that
/// was found dead claims nothing any more, even if its process wakes up.
pub(crate) fn find_dead(
    ledger: &mut Ledger,
    sessions: &Sessions,
    asking: Option<SessionId>,
) -> Result<Vec<Known>> {
    ledger.step(|ledger| {
        let mut dead = ledger.missing_sessions()?;
        for known in ledger.known_sessions()? {
            let may_live = !known.dead && Some(known.id) == asking;
            if may_live || (!known.dead && !sessions.is_stale(&known, ledger.now)) {
                continue;
            }
            if known.dead || ledger.bury(known.id, Some(known.expires_at))? {
                dead.push(known);
            }
        }
        Ok(dead)
    })
}

/// Takes jobs from a dead session, and removes it when it owns nothing any more. Answers with how many jobs it was, and
/// whether the session is gone.
pub(crate) fn reap(ledger: &mut Ledger, dead: &Known, jitter: f64) -> Result<(usize, bool)> {
    ledger.step(|ledger| {
        let reaped = operations::reap(ledger, dead.id, &dead.node, jitter, ledger.now, STEP_MAX)?;
        let gone = reaped < STEP_MAX && ledger.remove_session(dead.id)?;
        Ok((reaped, gone))
    })
}

/// Closes jobs that expired, and jobs that did not stop in time.
pub(crate) fn close_late(ledger: &mut Ledger) -> Result<(usize, usize)> {
    let expired = ledger.step(|ledger| operations::expire(ledger, ledger.now, STEP_MAX))?;
    let forced = ledger.step(|ledger| operations::force_cancels(ledger, ledger.now, STEP_MAX))?;
    Ok((expired, forced))
}

/// Forgets what became of inbox rows long ago.
pub(crate) fn prune_inbox(ledger: &mut Ledger) -> Result<u64> {
    let cutoff = (ledger.now - INBOX_KEPT).as_micros();
    let limit = i64::try_from(STEP_MAX).unwrap_or(i64::MAX);
    ledger.step(|ledger| {
        let pruned = ledger.execute("forget inbox rows", sql!("inbox", "prune_done"), &[&cutoff, &limit])?;
        ledger.wrote |= pruned > 0;
        Ok(pruned)
    })
}
