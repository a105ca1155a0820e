//! Enqueueing inside the application's own transaction.

use std::time::Duration;

use rusqlite::{Connection, TransactionState, params};
use stepwell_core::{Error, Result};

use crate::{enqueue::Enqueue, handle::JobHandle, inbox_row::InboxRow};

impl<J> Enqueue<'_, J> {
    /// Writes the job into the inbox on the caller's connection; it exists if, and only if, the caller commits.
    ///
    /// The connection is one to the queue's own file. The row is turned into a job within milliseconds of the commit;
    /// the handle can be waited on at once.
    ///
    /// # Errors
    /// If a field breaks a rule; if the transaction has only read so far (begin it with
    /// `TransactionBehavior::Immediate`: SQLite refuses to turn a read into a write under load); or if the row cannot
    /// be written.
    pub fn in_sqlite(self, connection: &Connection) -> Result<JobHandle<J>> {
        let row = InboxRow::of(self.new?)?;
        let failed = |error| Error::storage("write into the inbox", error);
        if !connection.is_autocommit()
            && connection.transaction_state(None::<&str>).map_err(failed)? == TransactionState::Read
        {
            let problem = "has only read so far, and SQLite may refuse to let it write; begin it with \
                           `transaction_with_behavior(TransactionBehavior::Immediate)`";
            return Err(Error::invalid("transaction", problem));
        }
        let values = params![
            row.id.to_string(),
            row.v,
            &*row.kind,
            row.payload.as_str(),
            row.queue.as_deref(),
            row.priority,
            row.delay_ms,
            row.run_at,
            row.unique_key,
            row.unique_within_ms,
            row.tags.as_str(),
            row.attributes.as_str(),
        ];
        connection.execute(include_str!("sql/inbox_insert.sql"), values).map_err(refused)?;
        Ok(JobHandle::from_inbox(self.stepwell.clone(), row.id))
    }
}

/// How a sealed store refuses.
const SEALED: &str = "the store is sealed";

/// Why the row could not be written, in the words of whoever wrote it.
fn refused(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    match error.sqlite_error_code() {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            let holder = "another connection holds the write lock. Give this one a longer `busy_timeout`, and begin \
                          its transactions with `TransactionBehavior::Immediate`";
            Error::busy(holder, Duration::ZERO)
        }
        Some(Code::DiskFull) => Error::full(error),
        Some(Code::ReadOnly) => Error::invalid("connection", "cannot write; open it for reading and writing"),
        Some(Code::Unknown) if error.to_string().contains("no such table") => {
            let problem = "is to a file without an inbox; open the file that the queue was opened with";
            Error::invalid("connection", problem)
        }
        Some(Code::ConstraintViolation) if error.to_string().contains(SEALED) => Error::sealed(),
        _ => Error::storage("write into the inbox", error),
    }
}
