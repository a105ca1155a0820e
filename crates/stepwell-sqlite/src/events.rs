//! The event log, as it is read.

use std::collections::VecDeque;

use rusqlite::{OptionalExtension, Row, params};
use stepwell_core::{
    Event, JobId, Result, Timestamp,
    event::{Draft, EventFilter, Packed},
    limits,
    store::EventPage,
};

use crate::{damaged, error, head::Head, read::Reader, sql::sql, tables::row};

/// What a filter can tell from a row's numbers, before its text is looked at.
struct Sieve {
    mask: u32,
    kind: Option<i64>,
    queue: Option<i64>,
    job: Option<JobId>,
}

impl Sieve {
    fn passes(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        Ok(self.mask & row.get::<_, u32>(8)? != 0
            && self.kind.is_none_or(|kind| row.get(3) == Ok(kind))
            && self.queue.is_none_or(|queue| row.get(4) == Ok(queue))
            && self
                .job
                .is_none_or(|job| row.get_ref(2).is_ok_and(|id| id.as_blob() == Ok(&job.as_bytes()[..]))))
    }
}

impl Reader {
    /// Events after a `pos`. At most `limit` stored rows are looked at.
    pub(crate) fn events(&mut self, after: u64, limit: usize, filter: &EventFilter) -> Result<EventPage> {
        let head = Head::read(&self.conn)?;
        let known = |reader: &mut Self, name: &Option<_>| match name {
            Some(name) => reader.dictionary.find(&reader.conn, name).map(|id| Some(id.unwrap_or(-1))),
            None => Ok(None),
        };
        let (kind, queue) = (known(self, &filter.kind)?, known(self, &filter.queue)?);
        let sieve = Sieve { mask: filter.mask(), kind, queue, job: filter.job };
        let Self { conn, dictionary, damaged, .. } = self;
        let mut read = || {
            let mut statement = conn.prepare_cached(sql!("event", "after"))?;
            let limit = i64::try_from(limit.clamp(1, limits::PAGE_MAX)).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![i64::try_from(after).unwrap_or(i64::MAX), limit])?;
            let (mut packed, mut next, mut is_damaged) = (Vec::new(), after, false);
            while let Some(row) = rows.next()? {
                let wanted = match sieve.passes(row) {
                    Ok(true) => unpack(row, conn, dictionary).map(Some),
                    passes => passes.map(|_| None),
                };
                match wanted {
                    Ok(found) => packed.extend(found),
                    Err(failure) if damaged::is_of_row(&failure) => {
                        // It has a page of its own, so that whoever reads on is told where the gap is.
                        is_damaged = next == after;
                        if !is_damaged {
                            break;
                        }
                        damaged.set_aside_event(row, &failure)?;
                        next = row.get::<_, i64>(0)?.cast_unsigned();
                        break;
                    }
                    Err(failure) => return Err(failure),
                }
                next = row.get::<_, i64>(0)?.cast_unsigned();
            }
            Ok((packed, next, is_damaged))
        };
        let (packed, next, is_damaged) = read().map_err(error::of("read the event log"))?;
        let events = packed.into_iter().flat_map(Packed::expand);
        let events = events.filter(|event| event.pos > after && filter.matches(event)).collect();
        Ok(EventPage { events, next, floor: head.floor_pos, head: head.next_pos - 1, is_damaged })
    }

    /// The events of one job, found by walking back from its last one: no index has to be kept for it. On the way only
    /// places are kept, and of these no more than what is asked for. What cannot be read is left out: the numbers of
    /// the others within the job say so.
    pub(crate) fn history(&mut self, id: JobId, after: u64, limit: usize) -> Result<Vec<Event>> {
        let Self { conn, dictionary, damaged, .. } = self;
        let limit = limit.clamp(1, limits::PAGE_MAX);
        let first = i64::try_from(after).unwrap_or(i64::MAX);
        let walk = || {
            let mut last = conn.prepare_cached(sql!("event", "last_of"))?;
            let mut pos: i64 =
                last.query_row([&id.as_bytes()[..]], |row| row.get(0)).optional()?.unwrap_or(0);
            let mut before = conn.prepare_cached(sql!("event", "before"))?;
            let mut places = VecDeque::new();
            while pos > first {
                // The rest was removed by retention.
                let Some(earlier) = before.query_row([pos], |row| row.get(0)).optional()? else { break };
                places.push_front(pos);
                places.truncate(limit);
                pos = earlier;
            }
            Ok(places)
        };
        let places = walk().map_err(error::of("read a job's history"))?;
        let read = || {
            let mut statement = conn.prepare_cached(sql!("event", "at"))?;
            let mut found = Vec::with_capacity(places.len());
            for place in places {
                let read = |row: &Row<'_>| match unpack(row, conn, dictionary) {
                    Ok(packed) => Ok(Some(packed)),
                    Err(failure) if damaged::is_of_row(&failure) => {
                        damaged.set_aside_event(row, &failure).map(|()| None)
                    }
                    Err(failure) => Err(failure),
                };
                found.extend(statement.query_row([place], read)?);
            }
            Ok(found)
        };
        let found = read().map_err(error::of("read a job's history"))?;
        Ok(found.into_iter().flat_map(Packed::expand).filter(|event| event.pos > after).collect())
    }
}

/// Decodes a row of the log.
fn unpack(
    row: &Row<'_>,
    conn: &rusqlite::Connection,
    dictionary: &mut crate::dictionary::Dictionary,
) -> rusqlite::Result<Packed> {
    let drafts: Vec<Draft> = row::json(10, row.get_ref(10)?.as_str()?)?;
    let n: i64 = row.get(1)?;
    if usize::try_from(n) != Ok(drafts.len()) {
        // They would be taken for events of other places.
        return Err(rusqlite::Error::IntegralValueOutOfRange(1, n));
    }
    Ok(Packed {
        last_pos: row.get::<_, i64>(0)?.cast_unsigned(),
        job: JobId::from_bytes(row.get(2)?),
        kind: dictionary.name(conn, row.get(3)?)?,
        queue: dictionary.name(conn, row.get(4)?)?,
        last_job_seq: row.get::<_, i64>(5)?.cast_unsigned(),
        run: row.get(6)?,
        at: Timestamp::from_micros(row.get(7)?),
        drafts,
    })
}
