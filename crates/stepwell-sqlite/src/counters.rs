//! How many jobs there are by queue, kind and state: one delta per commit, whatever the number of transitions.

use foldhash::HashMap;
use rusqlite::{Connection, params};
use stepwell_core::{JobState, Result};

use crate::{error, sql::sql};

/// What a transaction adds to the counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(HashMap<(i64, i64, u8), i64>);

impl Counters {
    pub(crate) fn add(&mut self, queue: i64, kind: i64, state: JobState, n: i64) {
        *self.0.entry((queue, kind, state as u8)).or_default() += n;
    }
    /// By how many the jobs of a queue that sessions own have become more.
    pub(crate) fn running(&self, queue: i64) -> i64 {
        const OWNED: [u8; 2] = [JobState::Running as u8, JobState::Cancelling as u8];
        let of_queue = self.0.iter().filter(|((of, _, state), _)| *of == queue && OWNED.contains(state));
        of_queue.map(|(_, n)| n).sum()
    }
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
    /// Writes the deltas, and forgets them.
    pub(crate) fn flush(&mut self, conn: &Connection) -> Result<()> {
        let mut flush = || {
            for ((queue, kind, state), n) in self.0.drain().filter(|(_, n)| *n != 0) {
                conn.prepare_cached(sql!("meta", "count"))?.execute(params![queue, kind, state, n])?;
            }
            Ok(())
        };
        flush().map_err(error::of("write the counters"))
    }
}
