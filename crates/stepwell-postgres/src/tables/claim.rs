//! Which jobs are ready, owned, late.

use std::cmp::Reverse;

use stepwell_core::{
    JobId, Name, Result, SessionId, Timestamp,
    store::Row,
    unique::{Holder, Holders},
};
use tokio_postgres::Row as PgRow;
use uuid::Uuid;

use crate::{
    ledger::{Ledger, get},
    sql::sql,
};

impl Ledger {
    pub(super) fn find_holders(&mut self, kind: &Name, key: &str) -> Result<Holders> {
        let Some(kind) = self.find_name(kind)? else { return Ok(Holders::default()) };
        let wanted = (kind, key.to_owned());
        if let Some(holders) = self.known.holders.get(&wanted) {
            return Ok(*holders);
        }
        self.flush()?;
        let (kinds, keys) = (vec![kind], vec![key]);
        let row = self.query_opt("look up a unique key", sql!("job", "holders"), &[&kinds, &keys])?;
        let holders = row.map_or(Ok(Holders::default()), |row| holders(&row))?;
        self.known.holders.insert(wanted, holders);
        Ok(holders)
    }

    pub(super) fn has_tag(&mut self, kind: &Name, tag: &Name) -> Result<bool> {
        const LOOK: &str = "look up a tag";
        let Some(kind) = self.find_name(kind)? else { return Ok(false) };
        self.flush()?;
        let row = self.query_opt(LOOK, sql!("beside", "has_tag"), &[&kind, &&**tag])?;
        row.map_or(Ok(false), |row| get(&row, 0, LOOK))
    }

    pub(super) fn stage_due(&mut self, now: Timestamp, limit: usize) -> Result<usize> {
        self.flush()?;
        if self.first_waiting()?.is_none_or(|due| due > now) {
            return Ok(0);
        }
        self.wrote = true;
        let staged =
            self.execute("stage waiting jobs", sql!("claim", "stage"), &[&now.as_micros(), &count(limit)])?;
        self.change.ready |= staged > 0;
        Ok(usize::try_from(staged).unwrap_or(usize::MAX))
    }

    pub(super) fn first_waiting(&mut self) -> Result<Option<Timestamp>> {
        const FIND: &str = "find the next waiting job";
        self.flush()?;
        let row = self.query_opt(FIND, sql!("claim", "next_due"), &[])?;
        let due = row.map_or(Ok(None), |row| get::<Option<i64>>(&row, 0, FIND))?;
        Ok(due.map(Timestamp::from_micros))
    }

    /// Locks the first of each kind, as many of each as are among the first of all, so that jobs of kinds that the
    /// worker does not know are never looked at, and none is locked that is not claimed.
    pub(super) fn find_ready(
        &mut self,
        queue: &Name,
        kinds: &[(Name, u64)],
        limit: usize,
    ) -> Result<Vec<Row>> {
        const FIND: &str = "find ready jobs";
        if limit == 0 {
            return Ok(Vec::new());
        }
        let Some(queue) = self.find_name(queue)? else { return Ok(Vec::new()) };
        let mut lanes = Vec::with_capacity(kinds.len());
        for (kind, generation) in kinds {
            if let Some(kind) = self.find_name(kind)? {
                lanes.push((kind, generation.cast_signed()));
            }
        }
        self.flush()?;
        let now = self.now.as_micros();
        let mut limits = vec![count(limit); lanes.len()];
        if lanes.len() > 1 {
            let kinds: Vec<i32> = lanes.iter().map(|(kind, _)| *kind).collect();
            let generations: Vec<i64> = lanes.iter().map(|(_, generation)| *generation).collect();
            let params: [crate::connection::Param<'_>; 5] =
                [&queue, &kinds, &generations, &now, &count(limit)];
            limits.fill(0);
            for row in self.query(FIND, sql!("claim", "peek"), &params)? {
                let kind: i32 = get(&row, 0, FIND)?;
                if let Some(nth) = kinds.iter().position(|known| *known == kind) {
                    limits[nth] = get(&row, 1, FIND)?;
                }
            }
        }
        let mut found = Vec::new();
        for ((kind, generation), limit) in lanes.into_iter().zip(limits).filter(|(_, limit)| *limit > 0) {
            // Those that are set aside stand in the way of nobody.
            let limit = limit.saturating_add(count(self.damaged.len()));
            let rows =
                self.query(FIND, sql!("claim", "ready"), &[&queue, &kind, &generation, &now, &limit])?;
            found.extend(self.keep_rows(FIND, &rows)?);
        }
        found.sort_by_key(|row| (Reverse(row.job.priority), row.job.available_at, row.key));
        found.truncate(limit);
        self.read_payloads(&found)?;
        Ok(found)
    }

    pub(super) fn find_owned(&mut self, session: SessionId, limit: usize) -> Result<Vec<Row>> {
        let limit = self.looking_past(limit);
        self.rows("find the jobs of a session", sql!("claim", "lock_owned"), &[&Uuid::from(session), &limit])
    }

    pub(super) fn find_expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        let limit = self.looking_past(limit);
        self.rows("find expired jobs", sql!("claim", "expired"), &[&now.as_micros(), &limit])
    }

    pub(super) fn find_overdue(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        let limit = self.looking_past(limit);
        self.rows("find late cancellations", sql!("claim", "overdue"), &[&now.as_micros(), &limit])
    }

    /// A limit on rows of which those that are set aside do not count.
    pub(super) fn looking_past(&self, limit: usize) -> i64 {
        count(limit.saturating_add(self.damaged.len()))
    }
}

/// Decodes who holds a unique key.
pub(crate) fn holders(row: &PgRow) -> Result<Holders> {
    const LOOK: &str = "look up a unique key";
    let live = get::<Option<Uuid>>(row, 1, LOOK)?.map(JobId::from);
    let newest = match get::<Option<Uuid>>(row, 2, LOOK)? {
        Some(id) => {
            Some(Holder { id: JobId::from(id), enqueued_at: Timestamp::from_micros(get(row, 3, LOOK)?) })
        }
        None => None,
    };
    Ok(Holders { live, newest })
}

/// A limit as PostgreSQL takes it.
pub(crate) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
