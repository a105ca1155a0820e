//! Rows that cannot be decoded: somebody edited them by hand, or a disk did.
//!
//! Such a row must not stand in the way of the others. Whoever asks for many rows goes on without it; whoever asks for
//! that one job is told.

use foldhash::HashSet;
use stepwell_core::{Error, JobId};

/// Rows that are remembered. When there are more, they are told of again.
const ROWS_MAX: usize = 10_000;

/// What is wrong with a row.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) key: i64,
    pub(crate) id: Option<JobId>,
    pub(crate) problem: String,
}

impl Damage {
    /// What somebody is told who asks for the job.
    pub(crate) fn error(&self) -> Error {
        let id = self.id.map_or_else(|| "of unknown id".into(), |id| id.to_string());
        Error::refused(format!(
            "job {id} cannot be read, because its row is damaged ({}); it is left as it is, and is neither run nor \
             removed: correct the row whose `key` is {} in `job`, or restore a backup",
            self.problem, self.key
        ))
    }
}

/// The damaged rows that a connection has met, by key.
#[derive(Debug, Default)]
pub(crate) struct Damaged(HashSet<i64>);

impl Damaged {
    /// Leaves a row alone, and says so once. It is not marked in any way: when it is repaired, it is found again.
    pub(crate) fn set_aside(&mut self, damage: &Damage) {
        if self.0.len() >= ROWS_MAX {
            self.0.clear();
        }
        if self.0.insert(damage.key) {
            tracing::error!(error = %damage.error(), "a job is set aside, and the others go on without it");
        }
    }
    pub(crate) fn contains(&self, key: i64) -> bool {
        self.0.contains(&key)
    }
    /// So many rows more than are wanted are looked at: those that are set aside may come first.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
