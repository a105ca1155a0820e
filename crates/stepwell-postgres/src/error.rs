//! PostgreSQL's words, and ours for it.

use std::{error::Error as _, fmt, io};

use stepwell_core::Error;
use tokio_postgres::error::SqlState;

use crate::tls;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database, or the way to it, said so.
    Database(tokio_postgres::Error),
    /// No answer came in time.
    Late,
    /// There is no connection.
    Unconnected,
}

/// What a failure means for the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection is of no use any more.
    Lost,
    /// Another transaction was in the way: the same may succeed if it is done again.
    Conflict,
    /// Another row has the key.
    Unique,
    /// A value cannot be stored: it is about one operation, and not about the store.
    Value,
    /// Anything else.
    Other,
}

/// In which way prepared statements are not what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stale {
    /// A name is gone, or there although it should not be: somebody else has the server's end of this connection, too,
    /// which only a pooler brings about.
    Names,
    /// A table was changed under a statement, as by the migrations of a newer release.
    Types,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(error) => match error.as_db_error() {
                Some(said) => write!(f, "{} ({})", said.message(), said.code().code()),
                None => match error.source() {
                    Some(source) => write!(f, "{error}: {source}"),
                    None => write!(f, "{error}"),
                },
            },
            Self::Late => f.write_str("the database did not answer in time"),
            Self::Unconnected => f.write_str("there is no connection to the database"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    fn state(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            Self::Late | Self::Unconnected => None,
        }
    }
    pub(crate) fn kind(&self) -> Kind {
        let Self::Database(error) = self else { return Kind::Lost };
        let Some(state) = error.code() else {
            let io = error.source().is_some_and(|source| source.is::<io::Error>());
            return if error.is_closed() || io { Kind::Lost } else { Kind::Other };
        };
        match state {
            &SqlState::T_R_SERIALIZATION_FAILURE
            | &SqlState::T_R_DEADLOCK_DETECTED
            | &SqlState::LOCK_NOT_AVAILABLE => Kind::Conflict,
            &SqlState::UNIQUE_VIOLATION => Kind::Unique,
            &SqlState::ADMIN_SHUTDOWN
            | &SqlState::CRASH_SHUTDOWN
            | &SqlState::CANNOT_CONNECT_NOW
            | &SqlState::TOO_MANY_CONNECTIONS
            | &SqlState::READ_ONLY_SQL_TRANSACTION
            | &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Kind::Lost,
            // Whatever else there is of it: a new connection prepares everything anew.
            _ if self.staleness().is_some() => Kind::Lost,
            state => match state.code().get(..2) {
                Some("08") => Kind::Lost,
                Some("22" | "23" | "54") => Kind::Value,
                _ => Kind::Other,
            },
        }
    }
    /// Whether what was prepared on the connection is not what this program believes, and why.
    pub(crate) fn staleness(&self) -> Option<Stale> {
        let Self::Database(error) = self else { return None };
        let said = error.as_db_error()?;
        match said.code() {
            &SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT => Some(Stale::Names),
            // The same code stands for much else, and the message is in the server's language.
            &SqlState::FEATURE_NOT_SUPPORTED if said.routine() == Some("RevalidateCachedQuery") => {
                Some(Stale::Types)
            }
            _ => None,
        }
    }
    /// Why the server's certificate is not accepted, if that is it.
    fn objection(&self) -> Option<String> {
        let Self::Database(error) = self else { return None };
        let io = error.source()?.downcast_ref::<io::Error>()?;
        tls::objection(io.get_ref()?.downcast_ref()?)
    }
    /// Whether a constraint of this name was violated.
    pub(crate) fn violates(&self, constraint: &str) -> bool {
        let Self::Database(error) = self else { return false };
        error.as_db_error().and_then(|said| said.constraint()) == Some(constraint)
    }
}

/// Turns a failure while `doing` something into an error that says what to do.
pub(crate) fn from(doing: &str, failure: Failure) -> Error {
    if let Some(objection) = failure.objection() {
        return Error::refused(objection);
    }
    match (failure.kind(), failure.state()) {
        (Kind::Value, _) => Error::refused(format!("could not {doing}: {failure}")),
        (_, Some(&SqlState::DISK_FULL)) => Error::full(failure),
        (_, Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED)) => Error::fatal(format!(
            "the database is damaged (found while trying to {doing}: {failure}); keep a copy of its files, and restore \
             a backup"
        )),
        (_, Some(&SqlState::INSUFFICIENT_PRIVILEGE)) => Error::refused(format!(
            "could not {doing}: {failure}; give this user what it needs on the schema, or use the one that owns it"
        )),
        (
            _,
            Some(
                &SqlState::INVALID_PASSWORD
                | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                | &SqlState::INVALID_CATALOG_NAME,
            ),
        ) => {
            Error::refused(format!("the database does not let this user in: {failure}; correct the address"))
        }
        _ => Error::storage(doing, failure),
    }
}

/// The same as a function for `map_err`.
pub(crate) fn of(doing: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| from(doing, failure)
}

/// Whether an operation that failed so takes the whole transaction with it: the store failed, not the operation.
pub(crate) fn is_of_store(error: &Error) -> bool {
    error.is_transient() || error.is_fatal()
}
