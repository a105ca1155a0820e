//! Pages of jobs.

use stepwell_core::{
    Job, JobState, Result, limits,
    store::{JobFilter, Order, Page, PageRequest},
};

use crate::{connection::Param, ledger::get, read::Reader, sql::sql};

const LIST: &str = "list jobs";
/// Rows that are fetched at once.
const CHUNK: usize = 1_000;

impl Reader {
    /// A page of jobs. It looks at a bounded number of rows, whatever the filter.
    pub(crate) fn list(&mut self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        if let Some(keys) = self.few_keys(filter, page)? {
            return self.by_keys(&keys, filter, page);
        }
        let newest = page.order == Order::NewestFirst;
        let statement = match (&filter.tag, &filter.attribute, newest) {
            (Some(_), _, true) => sql!("list", "tag_newest_first"),
            (Some(_), _, false) => sql!("list", "tag_oldest_first"),
            (None, Some(_), true) => sql!("list", "attribute_newest_first"),
            (None, Some(_), false) => sql!("list", "attribute_oldest_first"),
            (None, None, true) => sql!("list", "newest_first"),
            (None, None, false) => sql!("list", "oldest_first"),
        };
        let words: Vec<&str> = match (&filter.tag, &filter.attribute) {
            (Some(tag), _) => vec![tag],
            (None, Some((key, value))) => vec![key, value],
            (None, None) => Vec::new(),
        };
        self.scan(statement, &words, filter, page)
    }

    /// Looks at rows in the order of the list until the page is full, or enough were looked at.
    fn scan(
        &mut self,
        statement: &'static str,
        words: &[&str],
        filter: &JobFilter,
        page: &PageRequest,
    ) -> Result<Page<Job>> {
        let newest = page.order == Order::NewestFirst;
        let mut after = page.after.unwrap_or(if newest { i64::MAX } else { i64::MIN });
        let kind = filter.kind.as_ref().map(|kind| self.known(kind)).transpose()?;
        let queue = filter.queue.as_ref().map(|queue| self.known(queue)).transpose()?;
        let state = filter.state.map(|state| state as i16);
        // Most pages are full after as many rows as are on them, and the first chunk tells whether there is a next.
        let (mut items, mut scanned, mut chunk) = (Vec::new(), 0, page.limit() + 1);
        loop {
            let limit = i64::try_from(chunk).unwrap_or(i64::MAX);
            let mut params: Vec<Param<'_>> = vec![&after, &limit];
            params.extend(words.iter().map(|word| word as Param<'_>));
            let rows = self.query(LIST, statement, &params)?;
            for row in &rows {
                if items.len() >= page.limit() || scanned >= limits::LIST_SCAN_MAX {
                    return Ok(Page { items, next: Some(after) });
                }
                scanned += 1;
                after = get(row, 0, LIST)?;
                // Whole rows are decoded only if the numbers fit.
                let fits = kind.is_none_or(|kind| row.try_get(2).is_ok_and(|found: i32| found == kind))
                    && queue.is_none_or(|queue| row.try_get(3).is_ok_and(|found: i32| found == queue))
                    && state.is_none_or(|state| row.try_get(11).is_ok_and(|found: i16| found == state));
                if fits {
                    let found = self.decode(LIST, std::slice::from_ref(row))?;
                    items.extend(found.into_iter().filter(|job| filter.matches(job)));
                }
            }
            if rows.len() < chunk {
                return Ok(Page { items, next: None });
            }
            chunk = CHUNK;
        }
    }

    /// The keys of all jobs that can match, in the order of the list, if an index has them and they are few. Five
    /// failed jobs among ten million completed ones are found at once.
    fn few_keys(&mut self, filter: &JobFilter, page: &PageRequest) -> Result<Option<Vec<i64>>> {
        let mut keys = match (&filter.unique_key, filter.state) {
            (Some(key), _) => self.keys(sql!("list", "unique"), &[key])?,
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
                self.keys(statement, &[])?
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

    fn keys(&mut self, statement: &'static str, params: &[Param<'_>]) -> Result<Vec<i64>> {
        self.query(LIST, statement, params)?.iter().map(|row| get(row, 0, LIST)).collect()
    }

    fn by_keys(&mut self, keys: &[i64], filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        let (mut items, mut last) = (Vec::new(), None);
        for (nth, chunk) in keys.chunks(CHUNK).enumerate() {
            let rows = self.query("read a job", sql!("job", "by_keys"), &[&chunk])?;
            let mut found = foldhash::HashMap::default();
            for row in &rows {
                let job = self.decode(LIST, std::slice::from_ref(row))?.pop();
                found.insert(get::<i64>(row, 0, LIST)?, job);
            }
            for (within, key) in chunk.iter().enumerate() {
                if items.len() >= page.limit() || nth * CHUNK + within >= limits::LIST_SCAN_MAX {
                    return Ok(Page { items, next: last });
                }
                last = Some(*key);
                items.extend(found.remove(key).flatten().filter(|job| filter.matches(job)));
            }
        }
        Ok(Page { items, next: None })
    }
}
