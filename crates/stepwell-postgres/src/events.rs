//! The event log, as it is read.

use stepwell_core::{
    Error, Event, JobId, Result, Timestamp,
    event::{Draft, EventFilter, Packed},
    limits,
    store::EventPage,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{dictionary::Dictionary, ledger::get, read::Reader, sql::sql, tables::row::name_of};

const READ: &str = "read the event log";

/// What a filter can tell from a row's numbers, before its text is looked at.
struct Sieve {
    mask: u32,
    kind: Option<i32>,
    queue: Option<i32>,
}

impl Sieve {
    fn passes(&self, row: &Row) -> Result<bool> {
        let types = u32::try_from(get::<i64>(row, 7, READ)?).unwrap_or(u32::MAX);
        Ok(self.mask & types != 0
            && self.kind.is_none_or(|kind| row.try_get(2).is_ok_and(|found: i32| found == kind))
            && self.queue.is_none_or(|queue| row.try_get(3).is_ok_and(|found: i32| found == queue)))
    }
}

impl Reader {
    /// Events after a `pos`. At most `limit` stored rows are looked at.
    pub(crate) fn events(&mut self, after: u64, limit: usize, filter: &EventFilter) -> Result<EventPage> {
        let (head, floor) = self.extent()?;
        let kind = filter.kind.as_ref().map(|kind| self.known(kind)).transpose()?;
        let queue = filter.queue.as_ref().map(|queue| self.known(queue)).transpose()?;
        let sieve = Sieve { mask: filter.mask(), kind, queue };
        let limit = i64::try_from(limit.clamp(1, limits::PAGE_MAX)).unwrap_or(i64::MAX);
        let first = i64::try_from(after).unwrap_or(i64::MAX);
        let rows = self.query(READ, sql!("event", "after"), &[&first, &limit])?;
        self.learn_names(&rows)?;
        let mut page = EventPage { next: after, floor, head, ..EventPage::default() };
        for row in &rows {
            let last_pos: i64 = get(row, 0, READ)?;
            if sieve.passes(row)? {
                match unpack(row, &self.dictionary) {
                    Ok(packed) => page
                        .events
                        .extend(packed.expand().filter(|event| event.pos > after && filter.matches(event))),
                    // It has a page of its own, so that whoever reads on is told where the gap is.
                    Err(_) if page.next > after => break,
                    Err(error) => {
                        self.damaged.set_aside_event(last_pos, &error);
                        (page.next, page.is_damaged) = (last_pos.cast_unsigned(), true);
                        break;
                    }
                }
            }
            page.next = last_pos.cast_unsigned();
        }
        Ok(page)
    }

    /// The events of one job.
    pub(crate) fn history(&mut self, id: JobId, after: u64, limit: usize) -> Result<Vec<Event>> {
        let limit = i64::try_from(limit.clamp(1, limits::PAGE_MAX)).unwrap_or(i64::MAX);
        let first = i64::try_from(after).unwrap_or(i64::MAX);
        let rows =
            self.query("read a job's history", sql!("event", "history"), &[&Uuid::from(id), &first, &limit])?;
        self.learn_names(&rows)?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            match unpack(row, &self.dictionary) {
                Ok(packed) => found.push(packed),
                // The numbers of the others within the job say that it is missing.
                Err(error) => self.damaged.set_aside_event(get(row, 0, READ)?, &error),
            }
        }
        Ok(found.into_iter().flat_map(Packed::expand).filter(|event| event.pos > after).collect())
    }

    /// The names that rows speak of.
    fn learn_names(&mut self, rows: &[Row]) -> Result<()> {
        let ids =
            rows.iter().flat_map(|row| [2, 3].into_iter().filter_map(|column| row.try_get(column).ok()));
        self.learn(ids.collect::<Vec<i32>>())
    }
    /// The last `pos` that was given, and the first that is kept.
    fn extent(&mut self) -> Result<(u64, u64)> {
        let row = self.query_opt(READ, sql!("meta", "log"), &[])?;
        let row = row.ok_or_else(|| Error::fatal("the log has no head; restore a backup"))?;
        let pos = |column| get::<i64>(&row, column, READ).map(i64::cast_unsigned);
        Ok((pos(0)?.saturating_sub(1), pos(1)?))
    }
}

/// Decodes a row of the log.
fn unpack(row: &Row, dictionary: &Dictionary) -> Result<Packed> {
    let drafts: Vec<Draft> = serde_json::from_str(get(row, 8, READ)?).map_err(Error::decode)?;
    Ok(Packed {
        last_pos: get::<i64>(row, 0, READ)?.cast_unsigned(),
        job: JobId::from(get::<Uuid>(row, 1, READ)?),
        kind: name_of(dictionary, get(row, 2, READ)?)?,
        queue: name_of(dictionary, get(row, 3, READ)?)?,
        last_job_seq: get::<i64>(row, 4, READ)?.cast_unsigned(),
        run: get::<i32>(row, 5, READ)?.cast_unsigned(),
        at: Timestamp::from_micros(get(row, 6, READ)?),
        drafts,
    })
}
