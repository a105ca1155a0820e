//! What has ended, and which events can go.

use rusqlite::params;
use stepwell_core::{JobState, Result, Timestamp, event::EventType, store::Row};

use crate::{error, ledger::Ledger, sql::sql};

use super::claim::count;

/// Positions of the log that one pass of retention walks. It bounds how long the pass holds the write lock.
const WALK_MAX: u64 = 10_000;

/// The end of a run, as the log tells it, and what the job is now.
struct Ended {
    pos: u64,
    at: Timestamp,
    /// The job's key, if it is still as it ended then.
    key: Option<i64>,
}

impl Ledger {
    pub(super) fn count_state(&mut self, state: JobState) -> Result<u64> {
        self.counters.flush(&self.conn)?;
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("meta", "count_of_state"))?;
            statement.query_row([state as u8], |row| row.get::<_, i64>(0))
        };
        read().map(|n| u64::try_from(n).unwrap_or(0)).map_err(error::of("count jobs"))
    }

    pub(super) fn find_ended(
        &mut self,
        state: JobState,
        cutoff: Timestamp,
        excess: u64,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let statement = match state {
            JobState::Failed => sql!("list", "failed_first"),
            JobState::Cancelled => sql!("list", "cancelled_first"),
            JobState::Completed => return self.walk_completed(cutoff, excess, limit),
            JobState::Pending | JobState::Running | JobState::Cancelling => return Ok(Vec::new()),
        };
        let limit = self.looking_past(limit);
        let rows = self.rows("find ended jobs", statement, params![limit])?;
        let wanted = |(nth, row): &(u64, Row)| {
            *nth < excess || row.job.finished_at.is_some_and(|finished| finished <= cutoff)
        };
        Ok((0..).zip(rows).take_while(wanted).map(|(_, row)| row).collect())
    }

    /// Completed jobs have no index by their end: ten million of them would pay for it at every completion. The log
    /// is in that order already, but for those that ended at one instant, so it is walked from where the last pass
    /// stood, up to the first job that is to be kept.
    fn walk_completed(&mut self, cutoff: Timestamp, excess: u64, limit: usize) -> Result<Vec<Row>> {
        let end = (self.head.walk_pos + WALK_MAX).min(self.head.next_pos.saturating_sub(1));
        let still_there = self.ends_until(end)?.into_iter().filter_map(|ended| Some((ended.key?, ended)));
        // A row that cannot be decoded would hold up the walk for ever. Once it is met, the walk passes it.
        let still_there = still_there.filter(|(key, _)| !self.damaged.contains(*key));
        let mut still_there: Vec<_> = still_there.collect();
        // Everything before the first job that is still there is done with. The job itself may be refused, because a
        // durable reader has not passed it, and is looked at again.
        let passed = still_there.first().map_or(end, |(_, first)| first.pos - 1);
        still_there.sort_by_key(|(key, ended)| (ended.at, *key));
        let going =
            (0_u64..).zip(still_there).take_while(|(nth, (_, ended))| *nth < excess || ended.at <= cutoff);
        let keys: Vec<i64> = going.take(limit).map(|(_, (key, _))| key).collect();
        if passed > self.head.walk_pos {
            self.wrote = true;
            self.head.walk_pos = passed;
        }
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            rows.append(&mut self.rows("read a job", sql!("job", "by_key"), params![key])?);
        }
        Ok(rows)
    }

    fn ends_until(&self, end: u64) -> Result<Vec<Ended>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("event", "walk"))?;
            let mask = EventType::Completed.bit();
            let rows = statement.query_map(
                params![self.head.walk_pos.cast_signed(), end.cast_signed(), mask],
                |row| {
                    let (at, run): (i64, i64) = (row.get(1)?, row.get(2)?);
                    // Of a damaged row they may be anything.
                    let still_so = row.get(4) == Ok(JobState::Completed as i64)
                        && row.get(5) == Ok(at)
                        && row.get(6) == Ok(run);
                    let key: Option<i64> = row.get(3)?;
                    Ok(Ended {
                        pos: row.get::<_, i64>(0)?.cast_unsigned(),
                        at: Timestamp::from_micros(at),
                        key: key.filter(|_| still_so),
                    })
                },
            )?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("walk the log"))
    }

    pub(super) fn find_lowest_cursor(&mut self) -> Result<Option<u64>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("event", "lowest_cursor"))?;
            statement.query_row([], |row| row.get::<_, Option<i64>>(0))
        };
        read().map(|pos| pos.map(i64::cast_unsigned)).map_err(error::of("read the cursors of the log"))
    }

    pub(super) fn delete_events(&mut self, cutoff: Timestamp, count_max: u64, limit: usize) -> Result<usize> {
        let bound = self.find_lowest_cursor()?.unwrap_or(u64::MAX).min(self.head.walk_pos);
        let head = self.head.next_pos - 1;
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("event", "oldest"))?;
            let rows = statement.query_map([count(limit)], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), Timestamp::from_micros(row.get(2)?)))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let oldest = read().map_err(error::of("read the oldest events"))?;
        let goes = |(last_pos, at): &(u64, Timestamp)| {
            *last_pos <= bound && (*at <= cutoff || head - last_pos >= count_max)
        };
        let going: Vec<_> = oldest.into_iter().take_while(goes).collect();
        let Some((last_pos, _)) = going.last() else {
            return Ok(0);
        };
        self.wrote = true;
        let delete = || self.conn.prepare_cached(sql!("event", "prune"))?.execute([last_pos.cast_signed()]);
        delete().map_err(error::of("remove events"))?;
        self.head.floor_pos = last_pos + 1;
        Ok(going.len())
    }
}
