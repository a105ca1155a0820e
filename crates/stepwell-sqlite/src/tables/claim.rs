//! Which jobs are ready, owned, late.

use rusqlite::{OptionalExtension, Rows, fallible_streaming_iterator::FallibleStreamingIterator, params};
use stepwell_core::{
    JobId, Name, Result, SessionId, Timestamp,
    store::Row,
    unique::{Holder, Holders},
};

use crate::{damaged::is_of_row, error, ledger::Ledger, sql::sql};

use super::row;

/// In which order ready jobs are claimed: higher priority first, then the earlier time, then the smaller key.
type Place = (std::cmp::Reverse<i64>, i64, i64);

impl Ledger {
    pub(super) fn find_job(&mut self, id: JobId) -> Result<Option<Row>> {
        if let Some(cached) = self.cache.take(id) {
            if cached.elements {
                self.elements.insert(cached.row.key);
            }
            return Ok(Some(cached.row));
        }
        self.flush()?;
        self.row(sql!("job", "by_uuid"), params![&id.as_bytes()[..]])
    }

    pub(super) fn find_holders(&mut self, kind: &Name, key: &str) -> Result<Holders> {
        let Some(kind) = self.dictionary.find(&self.conn, kind)? else {
            return Ok(Holders::default());
        };
        let find = || {
            let mut live = self.conn.prepare_cached(sql!("job", "live_holder"))?;
            let live = live.query_row(params![kind, key], |row| row.get(0)).optional()?;
            let mut newest = self.conn.prepare_cached(sql!("job", "newest_holder"))?;
            let newest = newest.query_row(params![kind, key], |row| {
                let id = JobId::from_bytes(row.get(0)?);
                Ok(Holder { id, enqueued_at: Timestamp::from_micros(row.get(1)?) })
            });
            Ok(Holders { live: live.map(JobId::from_bytes), newest: newest.optional()? })
        };
        find().map_err(error::of("look up a unique key"))
    }

    pub(super) fn has_tag(&mut self, kind: &Name, tag: &Name) -> Result<bool> {
        let Some(kind) = self.dictionary.find(&self.conn, kind)? else { return Ok(false) };
        let find = || {
            let mut statement = self.conn.prepare_cached(sql!("beside", "has_tag"))?;
            statement.query_row(params![kind, tag], |row| row.get(0))
        };
        find().map_err(error::of("look up a tag"))
    }

    pub(super) fn stage_due(&mut self, now: Timestamp, limit: usize) -> Result<usize> {
        if self.first_waiting()?.is_none_or(|due| due > now) {
            return Ok(0);
        }
        self.wrote = true;
        let stage = || {
            self.conn.prepare_cached(sql!("claim", "stage"))?.execute(params![now.as_micros(), count(limit)])
        };
        let staged = stage().map_err(error::of("stage waiting jobs"))?;
        self.change.ready |= staged > 0;
        Ok(staged)
    }

    pub(super) fn first_waiting(&mut self) -> Result<Option<Timestamp>> {
        let read = || self.conn.prepare_cached(sql!("claim", "next_due"))?.query_row([], |row| row.get(0));
        let due: Option<i64> = read().map_err(error::of("find the next waiting job"))?;
        Ok(due.map(Timestamp::from_micros))
    }

    /// Merges one range of the index per kind, so that jobs of kinds that the worker does not know are never looked at.
    pub(super) fn find_ready(
        &mut self,
        queue: &Name,
        kinds: &[(Name, u64)],
        limit: usize,
    ) -> Result<Vec<Row>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let Some(queue) = self.dictionary.find(&self.conn, queue)? else {
            return Ok(Vec::new());
        };
        let mut lanes = Vec::with_capacity(kinds.len());
        for (kind, generation) in kinds {
            if let Some(kind) = self.dictionary.find(&self.conn, kind)? {
                lanes.push((kind, generation.cast_signed()));
            }
        }
        let Self { conn, dictionary, elements, payloads, damaged, now, .. } = self;
        let mut merge = || -> rusqlite::Result<Vec<Row>> {
            let mut statements = Vec::with_capacity(lanes.len());
            for _ in &lanes {
                statements.push(conn.prepare_cached(sql!("claim", "ready"))?);
            }
            let mut cursors = Vec::with_capacity(lanes.len());
            for (statement, (kind, generation)) in statements.iter_mut().zip(&lanes) {
                let mut rows = statement.query(params![queue, kind, generation, now.as_micros()])?;
                if let Some(place) = advance(&mut rows)? {
                    cursors.push((place, rows));
                }
            }
            let mut found = Vec::new();
            while found.len() < limit {
                let first = (0..cursors.len()).min_by_key(|nth| cursors[*nth].0);
                let Some(nth) = first else { break };
                if let Some(row) = cursors[nth].1.get() {
                    match row::decode_with_payload(row, conn, dictionary) {
                        Ok((stored, payload)) => {
                            payloads.insert(stored.row.key, payload);
                            if stored.elements {
                                elements.insert(stored.row.key);
                            }
                            found.push(stored.row);
                        }
                        Err(failure) if is_of_row(&failure) => damaged.set_aside(row, &failure)?,
                        Err(failure) => return Err(failure),
                    }
                }
                match advance(&mut cursors[nth].1)? {
                    Some(place) => cursors[nth].0 = place,
                    None => drop(cursors.swap_remove(nth)),
                }
            }
            Ok(found)
        };
        merge().map_err(error::of("find ready jobs"))
    }

    pub(super) fn find_owned(&mut self, session: SessionId, limit: usize) -> Result<Vec<Row>> {
        let Some(n) = self.dictionary.number(&self.conn, session)? else {
            return Ok(Vec::new());
        };
        let limit = self.looking_past(limit);
        self.rows("find the jobs of a session", sql!("claim", "owned"), params![n, limit])
    }

    pub(super) fn find_expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        let limit = self.looking_past(limit);
        self.rows("find expired jobs", sql!("claim", "expired"), params![now.as_micros(), limit])
    }

    pub(super) fn find_overdue(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        let limit = self.looking_past(limit);
        self.rows("find late cancellations", sql!("claim", "overdue"), params![now.as_micros(), limit])
    }

    /// A limit on rows of which those that are set aside do not count.
    pub(super) fn looking_past(&self, limit: usize) -> i64 {
        count(limit.saturating_add(self.damaged.len()))
    }
}

/// Moves a cursor on, and answers with the place of the row that it stands on now.
fn advance(rows: &mut Rows<'_>) -> rusqlite::Result<Option<Place>> {
    rows.advance()?;
    match rows.get() {
        Some(row) => {
            // A place that is no number is that of a damaged row, which is set aside when it is decoded.
            let number = |column| row.get(column).unwrap_or_default();
            Ok(Some((std::cmp::Reverse(number(5)), number(8), row.get(0)?)))
        }
        None => Ok(None),
    }
}

/// A limit as SQLite takes it.
pub(super) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, StatementStatus, params};

    use super::*;

    #[test]
    fn the_search_for_ready_jobs_is_compiled_once() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        for now in 1..20_i64 {
            let mut ready = conn.prepare_cached(sql!("claim", "ready")).unwrap();
            let mut rows = ready.query(params![now % 3, now % 2, now / 5, now]).unwrap();
            assert!(rows.next().unwrap().is_none());
        }
        let ready = conn.prepare_cached(sql!("claim", "ready")).unwrap();
        assert_eq!(ready.get_status(StatementStatus::Run), 19);
        assert_eq!(ready.get_status(StatementStatus::RePrepare), 0);
    }
}
