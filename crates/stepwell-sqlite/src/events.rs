//! The event log, as it is read.

use rusqlite::{OptionalExtension, Row, params};
use stepwell_core::{
    Event, JobId, Result, Timestamp,
    event::{Draft, EventFilter, Packed},
    limits,
    store::EventPage,
};

use crate::{error, head::Head, read::Reader, sql::sql, tables::row};

/// What a filter can tell from a row's numbers, before its text is looked at.
struct Sieve {
    mask: u32,
    kind: Option<i64>,
    queue: Option<i64>,
}

impl Sieve {
    fn passes(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        Ok(self.mask & row.get::<_, u32>(8)? != 0
            && self.kind.is_none_or(|kind| row.get(3) == Ok(kind))
            && self.queue.is_none_or(|queue| row.get(4) == Ok(queue)))
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
        let sieve = Sieve { mask: filter.mask(), kind, queue };
        let Self { conn, dictionary } = self;
        let mut read = || {
            let mut statement = conn.prepare_cached(sql!("event", "after"))?;
            let limit = i64::try_from(limit.clamp(1, limits::PAGE_MAX)).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![i64::try_from(after).unwrap_or(i64::MAX), limit])?;
            let (mut packed, mut next) = (Vec::new(), after);
            while let Some(row) = rows.next()? {
                next = row.get::<_, i64>(0)?.cast_unsigned();
                if sieve.passes(row)? {
                    packed.push(unpack(row, conn, dictionary)?.0);
                }
            }
            Ok((packed, next))
        };
        let (packed, next) = read().map_err(error::of("read the event log"))?;
        let events = packed.into_iter().flat_map(Packed::expand);
        let events = events.filter(|event| event.pos > after && filter.matches(event)).collect();
        Ok(EventPage { events, next, floor: head.floor_pos, head: head.next_pos - 1 })
    }

    /// The events of one job, found by walking back from its last one: no index has to be kept for it.
    pub(crate) fn history(&mut self, id: JobId, after_seq: u64) -> Result<Vec<Event>> {
        let Self { conn, dictionary } = self;
        let mut walk = || {
            let mut last = conn.prepare_cached(sql!("event", "last_of"))?;
            let mut pos: i64 =
                last.query_row([&id.as_bytes()[..]], |row| row.get(0)).optional()?.unwrap_or(0);
            let mut statement = conn.prepare_cached(sql!("event", "at"))?;
            let mut found = Vec::new();
            while pos > 0 {
                let step = statement.query_row([pos], |row| unpack(row, conn, dictionary)).optional()?;
                // The rest was removed by retention.
                let Some((packed, prev_pos)) = step else { break };
                pos = prev_pos;
                if packed.last_job_seq <= after_seq {
                    break;
                }
                found.push(packed);
            }
            Ok(found)
        };
        let found: Vec<Packed> = walk().map_err(error::of("read a job's history"))?;
        let events = found.into_iter().rev().flat_map(Packed::expand);
        Ok(events.filter(|event| event.job_seq > after_seq).collect())
    }
}

/// Decodes a row of the log, and where the job's row before it stands.
fn unpack(
    row: &Row<'_>,
    conn: &rusqlite::Connection,
    dictionary: &mut crate::dictionary::Dictionary,
) -> rusqlite::Result<(Packed, i64)> {
    let drafts: Vec<Draft> = row::json(10, row.get_ref(10)?.as_str()?)?;
    let packed = Packed {
        last_pos: row.get::<_, i64>(0)?.cast_unsigned(),
        job: JobId::from_bytes(row.get(2)?),
        kind: dictionary.name(conn, row.get(3)?)?,
        queue: dictionary.name(conn, row.get(4)?)?,
        last_job_seq: row.get::<_, i64>(5)?.cast_unsigned(),
        run: row.get(6)?,
        at: Timestamp::from_micros(row.get(7)?),
        drafts,
    };
    Ok((packed, row.get(9)?))
}
