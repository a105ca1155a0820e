//! What is read.

use stepwell_core::{
    Job, JobId, Json, Name, limits,
    machine::LogLine,
    store::{Element, JobFilter, Order, Page, PageRequest, Row},
};

use crate::state::State;

impl State {
    pub(crate) fn key(&self, id: JobId) -> Option<i64> {
        self.keys.get(&id).copied()
    }
    pub(crate) fn result(&self, id: JobId, stored_name: &Name) -> Option<Json> {
        let row = self.row(id)?;
        let phase = row.job.phases.iter().find(|phase| phase.stored_name() == stored_name)?;
        let recorded = phase.result.as_ref()?;
        recorded.inline.clone().or_else(|| self.results.get(&(row.key, stored_name.clone())).cloned())
    }
    pub(crate) fn elements_of(&self, id: JobId, stored_name: Name) -> Vec<Element> {
        let Some(key) = self.key(id) else { return Vec::new() };
        let of_phase = (key, stored_name.clone(), 0)..=(key, stored_name, u32::MAX);
        self.elements.range(of_phase).map(|(_, element)| element.clone()).collect()
    }
    pub(crate) fn log_of(&self, id: JobId) -> Vec<LogLine> {
        let Some(key) = self.key(id) else { return Vec::new() };
        self.log.range((key, 0)..=(key, u64::MAX)).map(|(_, line)| line.clone()).collect()
    }
    pub(crate) fn list(&self, filter: &JobFilter, request: &PageRequest) -> Page<Job> {
        match request.order {
            Order::OldestFirst => {
                let first = request.after.map_or(i64::MIN, |after| after.saturating_add(1));
                page_of(self.jobs.range(first..), filter, request.limit())
            }
            Order::NewestFirst => {
                let end = request.after.unwrap_or(i64::MAX);
                page_of(self.jobs.range(..end).rev(), filter, request.limit())
            }
        }
    }
}

fn page_of<'a>(
    rows: impl Iterator<Item = (&'a i64, &'a Row)>,
    filter: &JobFilter,
    limit: usize,
) -> Page<Job> {
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    for (scanned, (key, row)) in rows.enumerate() {
        // There is more: the page before it was full, or it had looked at enough.
        if page.items.len() == limit || scanned == limits::LIST_SCAN_MAX {
            page.next = last;
            break;
        }
        if filter.matches(&row.job) {
            page.items.push(row.job.clone());
        }
        last = Some(*key);
    }
    page
}
