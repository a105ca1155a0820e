//! SQLite's words, and ours for it.

use rusqlite::{ErrorCode, ffi};
use stepwell_core::Error;

/// Turns a failure of SQLite while `doing` something into an error that says what to do.
pub(crate) fn of(doing: &'static str) -> impl Fn(rusqlite::Error) -> Error {
    move |error| from(doing, error)
}

pub(crate) fn from(doing: &str, error: rusqlite::Error) -> Error {
    let (code, extended) = codes(&error);
    match code {
        Some(ErrorCode::DiskFull) => Error::full(error),
        Some(ErrorCode::DatabaseCorrupt) => Error::fatal(format!(
            "the database is damaged (found while trying to {doing}: {error}); stop every program that uses the file, \
             keep a copy of it, and restore a backup"
        )),
        Some(ErrorCode::NotADatabase) => Error::refused(
            "the file is not an SQLite database, or is encrypted; name another file, or move this one away",
        ),
        Some(ErrorCode::SystemIoFailure)
            if matches!(extended, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) =>
        {
            Error::fatal(format!(
                "the disk could not confirm a write ({error}), and trying again would prove nothing; \
                 check the disk, and restart the process"
            ))
        }
        Some(ErrorCode::SystemIoFailure) => Error::storage(
            format!(
                "{doing}, because the disk, or a quota or a limit on the size of this process's files, did not allow \
                 it; look at those"
            ),
            error,
        ),
        Some(ErrorCode::ReadOnly) => Error::refused(format!(
            "the database cannot be written ({error}); give this user write permission on the file and its directory"
        )),
        Some(ErrorCode::CannotOpen) => Error::refused(format!(
            "the database cannot be opened ({error}); check that the directory exists and that this user may write it"
        )),
        // These are about one value, and not about the store.
        Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            Error::refused(format!("could not {doing}: {error}"))
        }
        // A value that is not what this release writes: about one row, again.
        None => {
            Error::refused(format!("could not {doing}, because a stored value is not as expected: {error}"))
        }
        Some(_) => Error::storage(doing, error),
    }
}

fn codes(error: &rusqlite::Error) -> (Option<ErrorCode>, i32) {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => (Some(failure.code), failure.extended_code),
        _ => (None, 0),
    }
}

/// Whether somebody else holds the lock that was asked for.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(codes(error).0, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether a constraint was violated.
pub(crate) fn is_constraint(error: &rusqlite::Error) -> bool {
    matches!(codes(error).0, Some(ErrorCode::ConstraintViolation))
}

/// Whether an operation that failed so takes the whole transaction with it: the store failed, not the operation.
pub(crate) fn is_of_store(error: &Error) -> bool {
    error.is_transient() || error.is_fatal()
}
