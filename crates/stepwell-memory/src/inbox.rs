//! The inbox, and what became of its rows.

use stepwell_core::{
    JobId,
    store::inbox::{InboxEntry, InboxOutcome},
};

use crate::state::State;

impl State {
    pub(crate) fn push_inbox(&mut self, entry: InboxEntry) -> i64 {
        let n = self.meta.next_inbox;
        self.meta.next_inbox += 1;
        self.inbox.insert(n, InboxEntry { n, ..entry });
        self.commit();
        n
    }
    pub(crate) fn oldest_inbox_rows(&self, limit: usize) -> Vec<InboxEntry> {
        self.inbox.iter().take(limit).map(|(_, entry)| entry.clone()).collect()
    }
    pub(crate) fn inbox_made(&self, id: JobId) -> Option<JobId> {
        match self.outcomes.get(&id) {
            Some(InboxOutcome::Job(id)) => Some(*id),
            Some(InboxOutcome::Refused(_)) | None => None,
        }
    }
    pub(crate) fn close_inbox(&mut self, entry: &InboxEntry, outcome: &InboxOutcome) {
        self.inbox.remove(&entry.n);
        let Some(Ok(row)) = entry.id.as_deref().map(str::parse::<JobId>) else { return };
        // A second row with the same id is the first one again, whatever else it says, and cannot unmake what that
        // made.
        if self.inbox_made(row).is_some() {
            return;
        }
        if let (InboxOutcome::Job(job), Some(key)) = (outcome, &entry.idempotency_key)
            && !self.idempotent.contains(key)
        {
            self.idempotent.insert(key.clone(), *job);
        }
        self.outcomes.insert(row, outcome.clone());
    }
}
