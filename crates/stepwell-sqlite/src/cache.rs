//! Rows of jobs that this process works on, so that ending a phase reads nothing.

use foldhash::HashMap;
use stepwell_core::{JobId, store::Row};

/// Rows kept. One that is not here is read from its table; nothing else depends on it.
const ROWS_MAX: usize = 8_192;

/// Rows as this process last wrote them. They are valid only while no other connection has committed: the writer looks
/// at `PRAGMA data_version` at the beginning of each transaction, and clears the cache if it changed, and after every
/// rollback.
#[derive(Debug, Default)]
pub(crate) struct Cache(HashMap<JobId, Cached>);

/// A row, and whether elements of a fan-out are stored for it.
#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) row: Row,
    pub(crate) elements: bool,
}

impl Cache {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
    /// Takes a row out. Whoever changes it puts the new one back; a copy here would cost more than reading it again
    /// after one of the few commands that are refused.
    pub(crate) fn take(&mut self, id: JobId) -> Option<Cached> {
        self.0.remove(&id)
    }
    pub(crate) fn put(&mut self, cached: Cached) {
        if self.0.len() >= ROWS_MAX {
            self.0.clear();
        }
        self.0.insert(cached.row.job.id, cached);
    }
}
