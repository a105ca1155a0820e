//! Enqueueing inside the application's own transaction.

use std::time::Duration;

use rusqlite::{Connection, TransactionState, params};
use stepwell_core::{Error, Json, OnConflict, Result, schedule::When, store::inbox::INBOX_VERSION};

use crate::{enqueue::Enqueue, handle::JobHandle};

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
        let new = self.new?;
        new.check()?;
        // A row of the inbox has no place for these, and what is asked for must not be lost without a word.
        let unkept = [
            ("on conflict", new.on_conflict != OnConflict::Return || new.unique_in.is_some()),
            ("expires", new.expires.is_some()),
            ("webhook", new.webhook.is_some()),
            ("idempotency key", new.once.is_some()),
            ("max_crashes", new.max_crashes.is_some()),
        ];
        if let Some((field, _)) = unkept.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::invalid(
                field,
                "cannot be written into a transaction; leave it out, or await the enqueue",
            ));
        }
        let failed = |error| Error::storage("write into the inbox", error);
        if !connection.is_autocommit()
            && connection.transaction_state(None::<&str>).map_err(failed)? == TransactionState::Read
        {
            let problem = "has only read so far, and SQLite may refuse to let it write; begin it with \
                           `transaction_with_behavior(TransactionBehavior::Immediate)`";
            return Err(Error::invalid("transaction", problem));
        }
        let (delay_ms, run_at) = match new.when {
            When::Now => (None, None),
            When::After(delay) => (i64::try_from(delay.as_millis()).ok(), None),
            When::At(at) => (None, Some(at.as_micros())),
        };
        let unique_within_ms = new.unique.as_ref().and_then(|unique| unique.window());
        let (tags, attributes) = (Json::of(&new.tags)?, Json::of(&new.attributes)?);
        let row = params![
            new.id.to_string(),
            INBOX_VERSION,
            &*new.kind,
            new.payload.as_str(),
            new.queue.as_deref(),
            new.priority,
            delay_ms,
            run_at,
            new.unique.as_ref().map(stepwell_core::Unique::as_str),
            unique_within_ms.and_then(|window| i64::try_from(window.as_millis()).ok()),
            tags.as_str(),
            attributes.as_str(),
        ];
        connection.execute(include_str!("sql/inbox_insert.sql"), row).map_err(refused)?;
        Ok(JobHandle::from_inbox(self.stepwell.clone(), new.id))
    }
}

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
        _ => Error::storage("write into the inbox", error),
    }
}
