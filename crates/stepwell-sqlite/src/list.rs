//! Pages of jobs.

use rusqlite::{Params, params};
use stepwell_core::{
    Job, JobState, Result, limits,
    store::{JobFilter, Order, Page, PageRequest, Row},
};

use crate::{
    damaged::is_of_row,
    error,
    read::Reader,
    sql::sql,
    tables::row::{self, Stored},
};

impl Reader {
    /// A page of jobs. It looks at a bounded number of rows, whatever the filter.
    pub(crate) fn list(&mut self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        if let Some(keys) = self.few_keys(filter, page)? {
            return self.by_keys(&keys, filter, page);
        }
        let newest = page.order == Order::NewestFirst;
        let after = page.after.unwrap_or(if newest { i64::MAX } else { i64::MIN });
        match (&filter.tag, &filter.attribute, newest) {
            (Some(tag), _, true) => {
                self.scan(sql!("list", "tag_newest_first"), params![after, tag], filter, page)
            }
            (Some(tag), _, false) => {
                self.scan(sql!("list", "tag_oldest_first"), params![after, tag], filter, page)
            }
            (None, Some((key, value)), true) => {
                self.scan(sql!("list", "attribute_newest_first"), params![after, key, value], filter, page)
            }
            (None, Some((key, value)), false) => {
                self.scan(sql!("list", "attribute_oldest_first"), params![after, key, value], filter, page)
            }
            (None, None, true) => self.scan(sql!("list", "newest_first"), params![after], filter, page),
            (None, None, false) => self.scan(sql!("list", "oldest_first"), params![after], filter, page),
        }
    }

    /// Looks at rows in the order of the list until the page is full, or enough were looked at.
    fn scan(
        &mut self,
        statement: &'static str,
        params: impl Params,
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>> {
        let kind = match &filter.kind {
            Some(kind) => Some(self.dictionary.find(&self.conn, kind)?.unwrap_or(-1)),
            None => None,
        };
        let queue = match &filter.queue {
            Some(queue) => Some(self.dictionary.find(&self.conn, queue)?.unwrap_or(-1)),
            None => None,
        };
        let state = filter.state.map(|state| state as i64);
        let Self { conn, dictionary, damaged } = self;
        let scan = || {
            let mut statement = conn.prepare_cached(statement)?;
            let mut rows = statement.query(params)?;
            let (mut items, mut scanned, mut last) = (Vec::new(), 0, None);
            while let Some(row) = rows.next()? {
                if items.len() >= page.limit() || scanned >= limits::LIST_SCAN_MAX {
                    return Ok(Page { items, next: last });
                }
                scanned += 1;
                last = Some(row.get(0)?);
                // Whole rows are decoded only if the numbers fit.
                let fits = kind.is_none_or(|kind| row.get(2) == Ok(kind))
                    && queue.is_none_or(|queue| row.get(3) == Ok(queue))
                    && state.is_none_or(|state| row.get(13) == Ok(state));
                if fits {
                    match row::decode(row, conn, dictionary) {
                        Ok(Stored { row: Row { job, .. }, .. }) if filter.matches(&job) => items.push(job),
                        Ok(_) => {}
                        Err(failure) if is_of_row(&failure) => damaged.set_aside(row, &failure)?,
                        Err(failure) => return Err(failure),
                    }
                }
            }
            Ok(Page { items, next: None })
        };
        scan().map_err(error::of("list jobs"))
    }

    /// The keys of all jobs that can match, in the order of the list, if an index has them and they are few. Five
    /// failed
    /// jobs among ten million completed ones are found at once.
    fn few_keys(&mut self, filter: &JobFilter, page: &PageRequest) -> Result<Option<Vec<i64>>> {
        let mut keys = match (&filter.unique_key, filter.state) {
            (Some(key), _) => self.keys(sql!("list", "unique"), params![key])?,
            (None, _) if filter.tag.is_some() || filter.attribute.is_some() => return Ok(None),
            (None, Some(state)) => {
                let statement = match state {
                    JobState::Failed => sql!("list", "failed"),
                    JobState::Cancelled => sql!("list", "cancelled"),
                    JobState::Running | JobState::Cancelling => sql!("list", "owned"),
                    JobState::Pending => sql!("list", "pending"),
                    JobState::Completed => return Ok(None),
                };
                let total: u64 =
                    self.counts()?.iter().filter(|count| count.state == state).map(|count| count.n).sum();
                if total > limits::LIST_SCAN_MAX as u64 {
                    return Ok(None);
                }
                self.keys(statement, [])?
            }
            (None, None) => return Ok(None),
        };
        keys.sort_unstable();
        if page.order == Order::NewestFirst {
            keys.reverse();
        }
        if let Some(after) = page.after {
            keys.retain(|key| if page.order == Order::NewestFirst { *key < after } else { *key > after });
        }
        Ok(Some(keys))
    }

    fn keys(&self, statement: &'static str, params: impl Params) -> Result<Vec<i64>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(statement)?;
            let keys = statement.query_map(params, |row| row.get(0))?;
            keys.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("list jobs"))
    }

    fn by_keys(&mut self, keys: &[i64], filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        let (mut items, mut last) = (Vec::new(), None);
        for (scanned, key) in keys.iter().enumerate() {
            if items.len() >= page.limit() || scanned >= limits::LIST_SCAN_MAX {
                return Ok(Page { items, next: last });
            }
            last = Some(*key);
            let found = self.rows("read a job", sql!("job", "by_key"), params![key])?;
            items.extend(found.into_iter().map(|stored| stored.row.job).filter(|job| filter.matches(job)));
        }
        Ok(Page { items, next: None })
    }
}
