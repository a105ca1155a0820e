//! The head of the log: what is read at the beginning of a write transaction and written once at its end.

use rusqlite::{Connection, params};
use stepwell_core::{Result, Timestamp};

use crate::{error, sql::sql};

/// The one row of `sw_meta`, less what never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) next_pos: u64,
    pub(crate) floor_pos: u64,
    pub(crate) next_job_key: i64,
    pub(crate) walk_pos: u64,
    pub(crate) clock: Timestamp,
    pub(crate) sealed: bool,
}

impl Head {
    pub(crate) fn read(conn: &Connection) -> Result<Self> {
        let read = || {
            conn.prepare_cached(sql!("meta", "read"))?.query_row([], |row| {
                Ok(Self {
                    next_pos: row.get::<_, i64>(0)?.cast_unsigned(),
                    floor_pos: row.get::<_, i64>(1)?.cast_unsigned(),
                    next_job_key: row.get(2)?,
                    walk_pos: row.get::<_, i64>(3)?.cast_unsigned(),
                    clock: Timestamp::from_micros(row.get(4)?),
                    sealed: row.get(5)?,
                })
            })
        };
        read().map_err(error::of("read the head of the log"))
    }
    pub(crate) fn write(&self, conn: &Connection) -> Result<()> {
        let write = || {
            conn.prepare_cached(sql!("meta", "write"))?.execute(params![
                self.next_pos.cast_signed(),
                self.floor_pos.cast_signed(),
                self.next_job_key,
                self.walk_pos.cast_signed(),
                self.clock.as_micros(),
            ])
        };
        write().map(drop).map_err(error::of("write the head of the log"))
    }
    /// A key that was never given before, for a job or a session.
    pub(crate) fn new_key(&mut self) -> i64 {
        let key = self.next_job_key;
        self.next_job_key += 1;
        key
    }
}
