//! Plans, queues and sessions.

use std::sync::Arc;

use stepwell_core::{
    Error, Name, PlanSpec, Result, SessionId, Timestamp,
    job::PlanRef,
    queue::{Queue, QueueChange},
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    ledger::{Ledger, get},
    session,
    sql::sql,
};

const READ_PLAN: &str = "read a plan";
const READ_PLANS: &str = "read the plans of a kind";
const READ_QUEUE: &str = "read a queue";

impl Ledger {
    pub(super) fn find_newest_plan(&mut self, kind: &Name) -> Result<Option<(Arc<PlanSpec>, PlanRef)>> {
        if let Some(plan) = self.known.plans.get(kind) {
            return Ok(plan.clone());
        }
        let row = match self.find_name(kind)? {
            Some(number) => self.query_opt(READ_PLAN, sql!("plan", "newest"), &[&vec![number]])?,
            None => None,
        };
        self.keep_plan(kind, row.as_ref())?;
        Ok(self.known.plans.get(kind).cloned().flatten())
    }
    /// Keeps the newest plan of a kind for the rest of the transaction.
    pub(crate) fn keep_plan(&mut self, kind: &Name, row: Option<&Row>) -> Result<()> {
        let plan = match row {
            Some(row) => {
                let hash: Name = get::<&str>(row, 1, READ_PLAN)?.into();
                let spec = self.spec(kind, get(row, 0, READ_PLAN)?, &hash)?;
                let generation = get::<i64>(row, 2, READ_PLAN)?.cast_unsigned();
                spec.map(|spec| (spec, PlanRef { hash, generation }))
            }
            None => None,
        };
        self.known.plans.insert(kind.clone(), plan);
        Ok(())
    }

    pub(super) fn find_plans(&mut self, kind: &Name) -> Result<Vec<(String, u64)>> {
        let number = self.number_of(kind)?;
        self.query(READ_PLANS, sql!("plan", "lock"), &[&i64::from(number)])?;
        let rows = self.query(READ_PLANS, sql!("plan", "all"), &[&number])?;
        rows.iter()
            .map(|row| Ok((get(row, 0, READ_PLANS)?, get::<i64>(row, 1, READ_PLANS)?.cast_unsigned())))
            .collect()
    }

    pub(super) fn store_plan(&mut self, spec: &PlanSpec, plan_ref: &PlanRef) -> Result<()> {
        self.wrote = true;
        self.known.plans.remove(&spec.kind);
        let kind = self.number_of(&spec.kind)?;
        for phase in &spec.phases {
            // An application that completes a phase in its own transaction would give the name a number there, and
            // everybody else who needs it would wait for the commit.
            self.number_of(&phase.name)?;
        }
        let text = serde_json::to_string(spec).map_err(Error::encode)?;
        self.specs.remove(&(spec.kind.clone(), plan_ref.hash.clone()));
        let generation = plan_ref.generation.cast_signed();
        self.execute("store a plan", sql!("plan", "put"), &[&kind, &&*plan_ref.hash, &generation, &text])
            .map(drop)
    }

    pub(super) fn is_worked(&mut self, kind: &Name, generation: u64) -> Result<bool> {
        let rows = self.query(session::READ, sql!("session", "live"), &[])?;
        let sessions = session::decode_all(&rows)?;
        Ok(sessions.iter().any(|session| session.kinds.iter().any(|(k, g)| k == kind && *g == generation)))
    }

    pub(super) fn find_queue(&mut self, name: &Name) -> Result<Option<Queue>> {
        if let Some(queue) = self.known.queues.get(name) {
            return Ok(queue.clone());
        }
        let Some(number) = self.find_name(name)? else { return Ok(None) };
        let locked = self.query(READ_QUEUE, sql!("plan", "lock_limited"), &[&vec![number]])?;
        let found = self.query(READ_QUEUE, sql!("plan", "queue"), &[&number])?;
        self.keep_queues(std::slice::from_ref(name), &locked, &found)?;
        Ok(self.known.queues.get(name).cloned().flatten())
    }
    /// Keeps what is set for queues for the rest of the transaction, and from which of those with a limit nobody else
    /// claims in the meantime.
    pub(crate) fn keep_queues(&mut self, names: &[Name], locked: &[Row], found: &[Row]) -> Result<()> {
        for row in locked {
            self.known.claimable.insert(get(row, 0, READ_QUEUE)?);
        }
        for name in names {
            let number = self.find_name(name)?;
            let of_name = |row: &&Row| row.try_get(3).is_ok_and(|of: i32| Some(of) == number);
            let set = found.iter().find(of_name).map(|row| queue(row, name.clone())).transpose()?;
            self.known.queues.insert(name.clone(), set);
        }
        Ok(())
    }

    pub(super) fn count_running(&mut self, queue: &Name) -> Result<Option<u64>> {
        const COUNT: &str = "count running jobs";
        let number = self.find_name(queue)?.filter(|number| self.known.claimable.contains(number));
        let Some(number) = number else { return Ok(None) };
        // Read after the lock, in a statement of its own: whatever others have claimed is committed, and seen.
        let row = self.query_opt(COUNT, sql!("meta", "running_in_queue"), &[&number])?;
        let stored = row.map_or(Ok(0), |row| get::<i64>(&row, 0, COUNT))?;
        Ok(Some(u64::try_from(stored + self.counters.running(number)).unwrap_or(0)))
    }

    /// Lets nobody else change a queue until the transaction has ended; and nobody claim, if less may run from then on.
    pub(crate) fn hold_queues(&mut self, change: &QueueChange) -> Result<()> {
        let hold = match change {
            QueueChange::Limit(Some(_)) => sql!("plan", "hold_claims"),
            _ => sql!("plan", "hold_changes"),
        };
        let held = self.conn.run_file(hold);
        held.map_err(|failure| self.failed("lock the queues", failure))?;
        self.known.queues.clear();
        Ok(())
    }

    pub(super) fn store_queue(&mut self, queue: &Queue) -> Result<()> {
        self.wrote = true;
        self.known.queues.remove(&queue.name);
        let name = self.number_of(&queue.name)?;
        let paused_at = queue.paused_at.map(Timestamp::as_micros);
        let limit = queue.limit.map(u32::cast_signed);
        let params: [crate::connection::Param<'_>; 4] = [&name, &paused_at, &queue.paused_reason, &limit];
        self.execute("store a queue", sql!("plan", "put_queue"), &params)?;
        // A queue that goes on may have ready jobs.
        self.change.ready |= queue.paused_at.is_none();
        Ok(())
    }

    pub(super) fn find_session(&mut self, session: SessionId) -> Result<bool> {
        let row =
            self.query_opt("look up a session", sql!("session", "is_alive"), &[&Uuid::from(session)])?;
        Ok(row.is_some())
    }
}

/// What an operator has set for a queue.
pub(crate) fn queue(row: &Row, name: Name) -> Result<Queue> {
    let paused_at = get::<Option<i64>>(row, 0, READ_QUEUE)?.map(Timestamp::from_micros);
    let limit = get::<Option<i32>>(row, 2, READ_QUEUE)?.map(i32::cast_unsigned);
    Ok(Queue { name, paused_at, paused_reason: get(row, 1, READ_QUEUE)?, limit })
}
