//! Rows that cannot be decoded: somebody edited them by hand, or a disk did.
//!
//! Such a row must not stand in the way of the others. Whoever asks for many rows goes on without it; whoever asks for
//! that one job is told.

use foldhash::HashSet;
use rusqlite::{Connection, Params, Row};
use stepwell_core::{Error, JobId, Result};

use crate::{
    dictionary::Dictionary,
    error,
    tables::row::{self, Stored},
};

/// Rows that are remembered. When there are more, they are told of again.
const ROWS_MAX: usize = 10_000;

/// The damaged rows that a connection has met: jobs by key, events by their last `pos`.
#[derive(Debug, Default)]
pub(crate) struct Damaged {
    jobs: HashSet<i64>,
    events: HashSet<i64>,
}

impl Damaged {
    /// Leaves a row alone, and says so once. It is not marked in any way: when it is repaired, it is found again.
    pub(crate) fn set_aside(&mut self, row: &Row<'_>, failure: &rusqlite::Error) -> rusqlite::Result<()> {
        if self.jobs.len() >= ROWS_MAX {
            self.jobs.clear();
        }
        if self.jobs.insert(row.get(0)?) {
            let error = about(row, failure);
            tracing::error!(%error, "a job is set aside, and the others go on without it");
        }
        Ok(())
    }
    /// Leaves a row of the event log alone, and says so once: whoever reads the log has a gap there, and goes on.
    pub(crate) fn set_aside_event(
        &mut self,
        row: &Row<'_>,
        failure: &rusqlite::Error,
    ) -> rusqlite::Result<()> {
        if self.events.len() >= ROWS_MAX {
            self.events.clear();
        }
        let last_pos: i64 = row.get(0)?;
        if self.events.insert(last_pos) {
            tracing::error!(
                last_pos,
                %failure,
                "events cannot be read, because their row in sw_event is damaged; whoever follows the log is told of a \
                 gap, and webhooks are not sent for them: correct the row, or restore a backup"
            );
        }
        Ok(())
    }
    pub(crate) fn contains(&self, key: i64) -> bool {
        self.jobs.contains(&key)
    }
    /// So many rows more than are wanted are looked at: those that are set aside may come first.
    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }
}

/// Whether a failure is that of one row, and not that of the store.
pub(crate) fn is_of_row(failure: &rusqlite::Error) -> bool {
    use rusqlite::Error as Sqlite;
    matches!(
        failure,
        Sqlite::FromSqlConversionFailure(..)
            | Sqlite::IntegralValueOutOfRange(..)
            | Sqlite::InvalidColumnType(..)
            | Sqlite::Utf8Error(..)
            | Sqlite::QueryReturnedNoRows
    )
}

/// What somebody is told who asks for the job.
pub(crate) fn about(row: &Row<'_>, failure: &rusqlite::Error) -> Error {
    let key: i64 = row.get(0).unwrap_or_default();
    let id = row.get(1).map_or_else(|_| "of unknown id".into(), |id| JobId::from_bytes(id).to_string());
    Error::refused(format!(
        "job {id} cannot be read, because its row is damaged ({failure}); it is left as it is, and is neither run nor \
         removed: correct the row whose `key` is {key} in `sw_job`, or restore a backup"
    ))
}

/// Decodes rows of jobs. `damaged` decides what becomes of the others.
pub(crate) fn decode(
    (conn, dictionary): (&Connection, &mut Dictionary),
    doing: &'static str,
    statement: &'static str,
    params: impl Params,
    mut damaged: impl FnMut(&Row<'_>, &rusqlite::Error) -> Result<()>,
) -> Result<Vec<Stored>> {
    let failed = error::of(doing);
    let mut statement = conn.prepare_cached(statement).map_err(&failed)?;
    let mut rows = statement.query(params).map_err(&failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(&failed)? {
        match row::decode(row, conn, dictionary) {
            Ok(stored) => found.push(stored),
            Err(failure) if is_of_row(&failure) => damaged(row, &failure)?,
            Err(failure) => return Err(failed(failure)),
        }
    }
    Ok(found)
}
