//! What has ended, and which events can go.

use foldhash::HashMap;
use stepwell_core::{JobState, Result, Timestamp, event::EventType, store::Row};

use crate::{
    ledger::{Ledger, Tail, get},
    pending::OPEN,
    sql::sql,
};

use super::claim::count;

/// Positions of the log that one pass of retention walks. It bounds how long the pass takes.
const WALK_MAX: u64 = 10_000;

/// The end of a run, as the log tells it.
struct Ended {
    pos: u64,
    at: Timestamp,
    run: i32,
    /// The job's key, if it was still as it ended then.
    key: Option<i64>,
}

impl Ledger {
    pub(super) fn count_state(&mut self, state: JobState) -> Result<u64> {
        const COUNT: &str = "count jobs";
        self.write_counters()?;
        let row = self.query_opt(COUNT, sql!("meta", "count_of_state"), &[&(state as i16)])?;
        let n: i64 = row.map_or(Ok(0), |row| get(&row, 0, COUNT))?;
        Ok(u64::try_from(n).unwrap_or(0))
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
        let rows = self.rows("find ended jobs", statement, &[&limit])?;
        let wanted = |(nth, row): &(u64, Row)| {
            *nth < excess || row.job.finished_at.is_some_and(|finished| finished <= cutoff)
        };
        Ok((0..).zip(rows).take_while(wanted).map(|(_, row)| row).collect())
    }

    /// Completed jobs have no index by their end: ten million of them would pay for it at every completion. The log
    /// is in that order already, but for those that ended at one instant, so it is walked from where the last pass
    /// stood, up to the first job that is to be kept.
    fn walk_completed(&mut self, cutoff: Timestamp, excess: u64, limit: usize) -> Result<Vec<Row>> {
        self.flush()?;
        let tail = self.tail()?;
        let end = (tail.walk_pos + WALK_MAX).min(self.numbered()?);
        let ends = self.ends_between(tail.walk_pos, end)?;
        let still_there = ends.into_iter().filter_map(|ended| Some((ended.key?, ended)));
        // A row that cannot be decoded would hold up the walk for ever. Once it is met, the walk passes it.
        let mut still_there: Vec<_> = still_there.filter(|(key, _)| !self.damaged.contains(*key)).collect();
        // Everything before the first job that is still there is done with. The job itself may be refused, because a
        // durable reader has not passed it, and is looked at again.
        let passed = still_there.first().map_or(end, |(_, first)| first.pos - 1);
        still_there.sort_by_key(|(key, ended)| (ended.at, *key));
        let going =
            (0_u64..).zip(still_there).take_while(|(nth, (_, ended))| *nth < excess || ended.at <= cutoff);
        let going: Vec<(i64, Ended)> = going.take(limit).map(|(_, ended)| ended).collect();
        if passed > tail.walk_pos {
            self.write_tail(Tail { walk_pos: passed, ..tail })?;
        }
        let keys: Vec<i64> = going.iter().map(|(key, _)| *key).collect();
        let rows = self.rows("read a job", sql!("job", "lock_by_keys"), &[&keys])?;
        let mut rows: HashMap<i64, Row> = rows.into_iter().map(|row| (row.key, row)).collect();
        // Somebody may have set one going again before it was locked.
        let as_it_ended = |(key, ended): (i64, Ended)| {
            let row = rows.remove(&key)?;
            let same = row.job.state == JobState::Completed
                && row.job.finished_at == Some(ended.at)
                && super::row::signed(row.job.run) == ended.run;
            same.then_some(row)
        };
        Ok(going.into_iter().filter_map(as_it_ended).collect())
    }

    fn ends_between(&mut self, after: u64, end: u64) -> Result<Vec<Ended>> {
        const WALK: &str = "walk the log";
        let mask = i64::from(EventType::Completed.bit());
        let rows =
            self.query(WALK, sql!("event", "walk"), &[&after.cast_signed(), &end.cast_signed(), &mask])?;
        let ended = |row: &tokio_postgres::Row| {
            let (at, run): (i64, i32) = (get(row, 1, WALK)?, get(row, 2, WALK)?);
            let key: Option<i64> = get(row, 3, WALK)?;
            let still_so = get::<Option<i16>>(row, 4, WALK)? == Some(JobState::Completed as i16)
                && get::<Option<i64>>(row, 5, WALK)? == Some(at)
                && get::<Option<i32>>(row, 6, WALK)? == Some(run);
            Ok(Ended {
                pos: get::<i64>(row, 0, WALK)?.cast_unsigned(),
                at: Timestamp::from_micros(at),
                run,
                key: key.filter(|_| still_so),
            })
        };
        rows.iter().map(ended).collect()
    }

    pub(super) fn find_last_pos(&mut self, row: &Row) -> Result<u64> {
        const FIND: &str = "find a job's last event";
        let held = self.known.jobs.get(&row.job.id).and_then(Option::as_ref);
        let Some((batch, upto)) = held.map(|held| held.last) else { return Ok(u64::MAX) };
        if batch == OPEN {
            return Ok(u64::MAX);
        }
        match self.query_opt(FIND, sql!("event", "pos_of"), &[&batch, &upto])? {
            Some(row) => Ok(get::<Option<i64>>(&row, 0, FIND)?.map_or(u64::MAX, i64::cast_unsigned)),
            // Retention has removed it, so everybody has read it.
            None => Ok(0),
        }
    }

    pub(super) fn find_lowest_cursor(&mut self) -> Result<Option<u64>> {
        const READ: &str = "read the cursors of the log";
        if let Some(lowest) = self.known.lowest_cursor {
            return Ok(lowest);
        }
        let row = self.query_opt(READ, sql!("event", "lowest_cursor"), &[])?;
        let pos = row.map_or(Ok(None), |row| get::<Option<i64>>(&row, 0, READ))?;
        let lowest = pos.map(i64::cast_unsigned);
        self.known.lowest_cursor = Some(lowest);
        Ok(lowest)
    }

    /// The last `pos` that was given.
    pub(super) fn numbered(&mut self) -> Result<u64> {
        const READ: &str = "read the head of the log";
        let row = self.query_opt(READ, sql!("meta", "head"), &[])?;
        Ok(row.map_or(Ok(1), |row| get::<i64>(&row, 0, READ))?.cast_unsigned().saturating_sub(1))
    }

    fn tail(&mut self) -> Result<Tail> {
        const READ: &str = "read the tail of the log";
        if let Some(tail) = self.known.tail {
            return Ok(tail);
        }
        let row = self.query_opt(READ, sql!("meta", "lock_tail"), &[])?;
        let missing = || stepwell_core::Error::fatal("the log has no tail; restore a backup");
        let row = row.ok_or_else(missing)?;
        let pos = |column| get::<i64>(&row, column, READ).map(i64::cast_unsigned);
        let tail = Tail { walk_pos: pos(0)?, floor_pos: pos(1)? };
        self.known.tail = Some(tail);
        Ok(tail)
    }
    fn write_tail(&mut self, tail: Tail) -> Result<()> {
        self.wrote = true;
        self.known.tail = Some(tail);
        let (walk, floor) = (tail.walk_pos.cast_signed(), tail.floor_pos.cast_signed());
        self.execute("write the tail of the log", sql!("meta", "write_tail"), &[&walk, &floor]).map(drop)
    }

    pub(super) fn delete_events(&mut self, cutoff: Timestamp, count_max: u64, limit: usize) -> Result<usize> {
        const REMOVE: &str = "remove events";
        self.flush()?;
        let tail = self.tail()?;
        let bound = self.find_lowest_cursor()?.unwrap_or(u64::MAX).min(tail.walk_pos);
        let head = self.numbered()? + self.appended;
        let (mut whole, mut part, mut gone, mut floor) = (Vec::new(), None, 0, tail.floor_pos);
        for row in self.query(REMOVE, sql!("event", "oldest"), &[&count(limit)])? {
            let pos = get::<i64>(&row, 4, REMOVE)?.cast_unsigned();
            let at = Timestamp::from_micros(get(&row, 5, REMOVE)?);
            if pos > bound || (at > cutoff && head - pos < count_max) {
                break;
            }
            (gone, floor) = (gone + 1, pos + 1);
            let batch: (i64, i32) = (get(&row, 0, REMOVE)?, get(&row, 1, REMOVE)?);
            part = match get::<bool>(&row, 3, REMOVE)? {
                true => {
                    whole.push(batch);
                    None
                }
                false => Some((batch, get::<i32>(&row, 2, REMOVE)?)),
            };
        }
        if gone == 0 {
            return Ok(0);
        }
        let seqs: Vec<i64> = whole.iter().map(|(seq, _)| *seq).collect();
        let days: Vec<i32> = whole.iter().map(|(_, day)| *day).collect();
        if !whole.is_empty() {
            self.execute(REMOVE, sql!("event", "prune"), &[&days, &seqs, &i32::MAX])?;
            self.execute(REMOVE, sql!("event", "prune_batches"), &[&seqs])?;
        }
        if let Some(((seq, day), upto)) = part {
            self.execute(REMOVE, sql!("event", "prune"), &[&vec![day], &vec![seq], &upto])?;
        }
        self.write_tail(Tail { floor_pos: floor, ..tail })?;
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use stepwell_postgres_rig::Database;

    use super::*;
    use crate::{Postgres, PostgresOptions};

    #[test]
    fn a_pass_of_retention_ends_where_its_window_does() {
        let database = Database::create().unwrap();
        drop(Postgres::open(&PostgresOptions::new(database.url(), [7; 16])).unwrap());
        database.query("SELECT stepwell.open_day(1)").unwrap();
        let walk = sql!("event", "walk").replace("$1", "0").replace("$2", "10000").replace("$3", "1");
        let explain = format!("SET enable_seqscan = off; EXPLAIN {walk}");
        let plan: Vec<String> = database.query(&explain).unwrap().into_iter().flatten().flatten().collect();
        let by_index = |line: &String| line.contains("Index Cond") && line.contains("last_pos <=");
        assert!(plan.iter().any(by_index), "{plan:#?}");
    }
}
