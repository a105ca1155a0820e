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
    pub(crate) fn close_inbox(&mut self, entry: &InboxEntry, outcome: &InboxOutcome) {
        self.inbox.remove(&entry.n);
        if let InboxOutcome::Job(id) = outcome
            && let Some(key) = entry.idempotency_key.clone()
            && !self.idempotent.contains(&key)
        {
            self.idempotent.insert(key, *id);
        }
        let Some(Ok(id)) = entry.id.as_deref().map(str::parse::<JobId>) else { return };
        let accepted = matches!(self.outcomes.get(&id), Some(InboxOutcome::Job(_)));
        // A second row with the same id cannot unmake what the first one made.
        if !accepted {
            self.outcomes.insert(id, outcome.clone());
        }
    }
}
