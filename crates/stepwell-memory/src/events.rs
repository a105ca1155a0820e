//! The event log: one row for everything that one transition said.

use stepwell_core::{
    Event, EventType, Job, JobState, Timestamp,
    event::{Draft, EventFilter, Packed},
    limits,
    store::EventPage,
};

use crate::state::{EventRow, State, Tx};

/// Appends what a transition said, and answers the `pos` of the job's last event from now on.
pub(crate) fn append(tx: &mut Tx<'_>, key: i64, job: &Job, drafts: Vec<Draft>, last_pos: u64) -> u64 {
    if drafts.is_empty() {
        return last_pos;
    }
    let state = &mut *tx.state;
    state.meta.next_pos += drafts.len() as u64;
    let last_pos = state.meta.next_pos - 1;
    let packed = Packed {
        last_pos,
        job: job.id,
        last_job_seq: job.next_seq - 1,
        run: job.run,
        at: tx.now,
        kind: job.kind.clone(),
        queue: job.queue.clone(),
        drafts,
    };
    state.events.insert(last_pos, EventRow { key, packed });
    state.histories.insert((key, last_pos), ());
    tx.change.events = true;
    last_pos
}

/// Removes rows from the beginning of the log.
pub(crate) fn prune(state: &mut State, cutoff: Timestamp, count_max: u64, limit: usize) -> usize {
    let head = state.head();
    let goes = |row: &EventRow| {
        let too_many = row.packed.last_pos.saturating_add(count_max) <= head;
        let read = state.lowest_cursor().is_none_or(|cursor| row.packed.last_pos <= cursor);
        (row.packed.at <= cutoff || too_many) && read && !state.is_end_of_a_kept_job(row)
    };
    let rows: Vec<(u64, i64)> = state
        .events
        .iter()
        .map_while(|(last_pos, row)| goes(row).then_some((*last_pos, row.key)))
        .take(limit)
        .collect();
    for (last_pos, key) in &rows {
        state.events.remove(last_pos);
        state.histories.remove(&(*key, *last_pos));
        state.meta.floor = last_pos + 1;
    }
    rows.len()
}

impl State {
    pub(crate) fn head(&self) -> u64 {
        self.meta.next_pos - 1
    }
    /// Retention finds completed jobs through the event log in a store with millions of them, so the log keeps the
    /// event that ended such a job for as long as the job. This store would not need to, but must do the same.
    fn is_end_of_a_kept_job(&self, row: &EventRow) -> bool {
        row.packed.drafts.iter().any(|draft| draft.ty == EventType::Completed)
            && self
                .jobs
                .get(&row.key)
                .is_some_and(|kept| kept.job.state == JobState::Completed && kept.job.run == row.packed.run)
    }
    pub(crate) fn page_of_events(&self, after: u64, limit: usize, filter: &EventFilter) -> EventPage {
        let (floor, head) = (self.meta.floor, self.head());
        let mut page = EventPage { next: after, floor, head, ..EventPage::default() };
        for (last_pos, row) in
            self.events.range(after.saturating_add(1)..).take(limit.clamp(1, limits::PAGE_MAX))
        {
            let events = row.packed.clone().expand();
            page.events.extend(events.filter(|event| event.pos > after && filter.matches(event)));
            page.next = *last_pos;
        }
        page
    }
    pub(crate) fn history(&self, key: i64, after: u64, limit: usize) -> Vec<Event> {
        let rows = self.histories.range((key, after.saturating_add(1))..=(key, u64::MAX));
        rows.filter_map(|((_, pos), ())| self.events.get(pos))
            .take(limit.clamp(1, limits::PAGE_MAX))
            .flat_map(|row| row.packed.clone().expand())
            .filter(|event| event.pos > after)
            .collect()
    }
}
