//! Enqueueing, and completing a phase, inside the application's own transaction on SQLite.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionState, params};
use stepwell_core::{Error, Json, Result};

use crate::{
    application::{COMPLETE, ENQUEUE, sql},
    complete_in::{Answer, Completion, OwnTransaction, Sealed, Written},
    enqueue::Enqueue,
    handle::JobHandle,
    inbox_row::InboxRow,
};

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
        check_writes(connection)?;
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
        connection
            .execute(include_str!("sql/inbox_insert.sql"), values)
            .map_err(|error| refused(ENQUEUE, error))?;
        Ok(JobHandle::from_inbox(self.stepwell.clone(), row.id))
    }
}

impl Sealed for rusqlite::Transaction<'_> {}
impl OwnTransaction for rusqlite::Transaction<'_> {
    type Completing<'a>
        = Result<()>
    where
        Self: 'a;
    fn complete<'a>(&'a mut self, completion: Result<Completion<'a>>) -> Result<()> {
        let completion = completion?;
        let Some(written) = completion.written("sqlite")? else { return Ok(()) };
        check_writes(self)?;
        let answer = settle(self, &written, &completion.output).map_err(|error| refused(COMPLETE, error))?;
        match answer {
            Some(answer) => completion.conclude(&answer),
            None => Err(Error::sealed()),
        }
    }
}

/// Writes the end of a phase; none if the file is sealed.
fn settle(connection: &Connection, written: &Written<'_>, output: &Json) -> rusqlite::Result<Option<Answer>> {
    let Written { job, epoch, token, phase, stored_name } = written;
    let key: Option<i64> = connection
        .query_row(sql!("sqlite_own"), params![job, epoch, token, phase], |row| row.get(0))
        .optional()?;
    let Some(key) = key else {
        let is_sealed: bool = connection.query_row(sql!("sqlite_sealed"), [], |row| row.get(0))?;
        return Ok((!is_sealed).then_some(Answer::LeaseLost));
    };
    connection.execute(sql!("sqlite_name"), [stored_name])?;
    let row = params![key, stored_name, epoch.to_string(), output.as_str()];
    Ok(Some(match connection.execute(sql!("sqlite_settle"), row)? {
        0 => Answer::Twice,
        _ => Answer::Done,
    }))
}

/// Whether the transaction may write, as far as SQLite can tell.
fn check_writes(connection: &Connection) -> Result<()> {
    let state = connection.transaction_state(None::<&str>);
    let state = state.map_err(|error| Error::storage("look at a transaction", error))?;
    if !connection.is_autocommit() && state == TransactionState::Read {
        let problem = "has only read so far, and SQLite may refuse to let it write; begin it with \
                       `transaction_with_behavior(TransactionBehavior::Immediate)`";
        return Err(Error::invalid("transaction", problem));
    }
    Ok(())
}

/// How a sealed store refuses.
const SEALED: &str = "the store is sealed";

/// Why something could not be written, in the words of whoever wrote it.
fn refused(doing: &str, error: rusqlite::Error) -> Error {
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
            let problem = "is to a file without a queue; open the file that the queue was opened with";
            Error::invalid("connection", problem)
        }
        Some(Code::ConstraintViolation) if error.to_string().contains(SEALED) => Error::sealed(),
        _ => Error::storage(doing, error),
    }
}
