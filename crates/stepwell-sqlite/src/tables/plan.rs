//! Plans, queues and sessions.

use std::sync::Arc;

use foldhash::HashSet;
use rusqlite::{OptionalExtension, params};
use stepwell_core::{Name, PlanSpec, Result, SessionId, Timestamp, job::PlanRef, queue::Queue};

use crate::{error, ledger::Ledger, sql::sql};

use super::row;

/// Kinds whose newest plan is kept in memory, and those that have none. Whoever makes up a kind for each job must not
/// fill the memory with them.
const PLANS_MAX: usize = 1_024;

impl Ledger {
    pub(super) fn find_newest_plan(&mut self, kind: &Name) -> Result<Option<(Arc<PlanSpec>, PlanRef)>> {
        if let Some(plan) = self.plans.get(kind) {
            return Ok(plan.clone());
        }
        let plan = match self.dictionary.find(&self.conn, kind)? {
            Some(number) => newest_plan(&self.conn, number).map_err(error::of("read a plan"))?,
            None => None,
        };
        let plan = plan.map(|(spec, plan_ref)| (Arc::new(spec), plan_ref));
        if self.plans.len() >= PLANS_MAX {
            self.plans.clear();
        }
        self.plans.insert(kind.clone(), plan.clone());
        Ok(plan)
    }

    pub(super) fn find_plans(&mut self, kind: &Name) -> Result<Vec<(String, u64)>> {
        let Some(kind) = self.dictionary.find(&self.conn, kind)? else {
            return Ok(Vec::new());
        };
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("plan", "all"))?;
            let plans = statement
                .query_map([kind], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?;
            plans.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("read the plans of a kind"))
    }

    pub(super) fn store_plan(&mut self, spec: &PlanSpec, plan_ref: &PlanRef) -> Result<()> {
        self.wrote = true;
        self.plans.remove(&spec.kind);
        let kind = self.number_of(&spec.kind)?;
        let text = serde_json::to_string(spec).map_err(stepwell_core::Error::encode)?;
        let put = || {
            let mut statement = self.conn.prepare_cached(sql!("plan", "put"))?;
            statement.execute(params![kind, plan_ref.hash, plan_ref.generation.cast_signed(), text])
        };
        put().map(drop).map_err(error::of("store a plan"))
    }

    pub(super) fn is_worked(&mut self, kind: &Name, generation: u64) -> Result<bool> {
        let sessions = crate::session::live(&self.conn).map_err(error::of("read the sessions"))?;
        Ok(sessions.iter().any(|session| session.kinds.iter().any(|(k, g)| k == kind && *g == generation)))
    }

    pub(super) fn find_queue(&mut self, name: &Name) -> Result<Option<Queue>> {
        match self.dictionary.find(&self.conn, name)? {
            Some(number) => queue(&self.conn, number, name).map_err(error::of("read a queue")),
            None => Ok(None),
        }
    }

    pub(super) fn store_queue(&mut self, queue: &Queue) -> Result<()> {
        self.wrote = true;
        let name = self.number_of(&queue.name)?;
        let put = || {
            let mut statement = self.conn.prepare_cached(sql!("plan", "put_queue"))?;
            let paused_at = queue.paused_at.map(Timestamp::as_micros);
            statement.execute(params![name, paused_at, queue.paused_reason, queue.limit])
        };
        put().map_err(error::of("store a queue"))?;
        self.limited = None;
        // A queue that goes on may have ready jobs.
        self.change.ready |= queue.paused_at.is_none();
        Ok(())
    }

    pub(super) fn count_running(&mut self, queue: &Name) -> Result<u64> {
        let Some(number) = self.dictionary.find(&self.conn, queue)? else { return Ok(0) };
        let stored = running(&self.conn, number).map_err(error::of("count running jobs"))?;
        Ok(stored.saturating_add_signed(self.counters.running(number)))
    }

    /// Whether only so many jobs of a queue may run at once.
    pub(super) fn is_limited(&mut self, queue: i64) -> Result<bool> {
        if let Some(limited) = &self.limited {
            return Ok(limited.contains(&queue));
        }
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("plan", "limited"))?;
            statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<HashSet<i64>>>()
        };
        let limited = read().map_err(error::of("read the queues"))?;
        Ok(self.limited.insert(limited).contains(&queue))
    }

    pub(super) fn find_session(&mut self, session: SessionId) -> Result<bool> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("session", "is_alive"))?;
            statement.query_row(params![&session.as_bytes()[..]], |row| row.get(0))
        };
        read().map_err(error::of("look up a session"))
    }
}

/// The newest plan of a kind.
pub(crate) fn newest_plan(
    conn: &rusqlite::Connection,
    kind: i64,
) -> rusqlite::Result<Option<(PlanSpec, PlanRef)>> {
    let read = |row: &rusqlite::Row<'_>| {
        let spec = row::json(0, row.get_ref(0)?.as_str()?)?;
        Ok((spec, PlanRef { hash: row.get(1)?, generation: row.get::<_, i64>(2)?.cast_unsigned() }))
    };
    conn.prepare_cached(sql!("plan", "newest"))?.query_row([kind], read).optional()
}

/// What an operator has set for a queue.
pub(crate) fn queue(
    conn: &rusqlite::Connection,
    number: i64,
    name: &Name,
) -> rusqlite::Result<Option<Queue>> {
    let read = |row: &rusqlite::Row<'_>| set_of_queue(row, name.clone());
    conn.prepare_cached(sql!("plan", "queue"))?.query_row([number], read).optional()
}

/// Decodes what an operator has set.
pub(crate) fn set_of_queue(row: &rusqlite::Row<'_>, name: Name) -> rusqlite::Result<Queue> {
    let paused_at = row.get::<_, Option<i64>>(0)?.map(Timestamp::from_micros);
    Ok(Queue { name, paused_at, paused_reason: row.get(1)?, limit: row.get(2)? })
}

/// Jobs of a queue that sessions own, as the counters have it.
pub(crate) fn running(conn: &rusqlite::Connection, queue: i64) -> rusqlite::Result<u64> {
    let mut statement = conn.prepare_cached(sql!("meta", "running_in_queue"))?;
    let running = statement.query_row([queue], |row| row.get::<_, i64>(0))?;
    Ok(u64::try_from(running).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use stepwell_core::Clock;

    use super::*;
    use crate::live::Live;

    #[test]
    fn kinds_that_were_asked_for_once_do_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(std::time::UNIX_EPOCH);
        let live = Live::open(&dir.path().join("a.db-live"), &clock).unwrap();
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        let mut ledger = Ledger::new(conn, clock, Arc::new(live));
        for n in 0..3 * PLANS_MAX {
            assert!(ledger.find_newest_plan(&format!("kind-{n}").into()).unwrap().is_none());
            assert!(ledger.plans.len() <= PLANS_MAX);
        }
    }
}
