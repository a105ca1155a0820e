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

/// The damaged rows that a connection has met: jobs by key, events by their last `pos`.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    jobs: HashSet<i64>,
    events: HashSet<i64>,
}

impl Damaged {
    /// Leaves a row alone, and says so once. It is not marked in any way: when it is repaired, it is found again.
    pub(crate) fn set_aside(&mut self, damage: &Damage) {
        if self.jobs.len() >= ROWS_MAX {
            self.jobs.clear();
        }
        if self.jobs.insert(damage.key) {
            tracing::error!(error = %damage.error(), "a job is set aside, and the others go on without it");
        }
    }
    /// Leaves a row of the event log alone, and says so once: whoever reads the log has a gap there, and goes on.
    pub(crate) fn set_aside_event(&mut self, last_pos: i64, error: &Error) {
        if self.events.len() >= ROWS_MAX {
            self.events.clear();
        }
        if self.events.insert(last_pos) {
            tracing::error!(
                last_pos,
                %error,
                "events cannot be read, because their row is damaged; whoever follows the log is told of a gap, and \
                 webhooks are not sent for them: correct the row, or restore a backup"
            );
        }
    }
    /// A row can be read: somebody has repaired it, if it was damaged.
    pub(crate) fn is_whole(&mut self, key: i64) {
        if !self.jobs.is_empty() {
            self.jobs.remove(&key);
        }
    }
    pub(crate) fn contains(&self, key: i64) -> bool {
        self.jobs.contains(&key)
    }
    /// So many rows more than are wanted are looked at: those that are set aside may come first.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_repaired_is_looked_past_no_more() {
        let mut damaged = Damaged::default();
        damaged.set_aside(&Damage { key: 7, id: None, problem: "as a test wants it".into() });
        damaged.is_whole(8);
        assert!(damaged.contains(7));
        damaged.is_whole(7);
        assert_eq!((damaged.contains(7), damaged.len()), (false, 0));
    }
}
