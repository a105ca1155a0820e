//! What the application's own transaction is asked for, whatever its driver.

/// What is written, in the words that an error needs.
pub(crate) const ENQUEUE: &str = "write into the inbox";
pub(crate) const COMPLETE: &str = "complete a phase";

/// A statement that completes a phase.
macro_rules! sql {
    ($name:literal) => {
        const { stepwell_core::store::statement::named(include_str!("sql/complete_in.sql"), $name) }
    };
}
pub(crate) use sql;

#[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
pub(crate) use postgres::{answer, hex, refused, rendered, schema};

#[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
mod postgres {
    use std::{fmt::Write as _, sync::Arc};

    use stepwell_core::{Error, Result};

    use crate::{client::Stepwell, complete_in::Answer};

    /// The schema of a queue in a PostgreSQL database.
    ///
    /// # Errors
    /// If it is in no such database.
    pub(crate) fn schema(stepwell: &Stepwell) -> Result<&Arc<str>> {
        stepwell.engine.config.schema.as_ref().ok_or_else(|| {
        let problem =
            "is to a PostgreSQL database, and the queue is not in one; use a connection to where the queue is";
        Error::invalid("connection", problem)
    })
    }

    /// A statement, with the schema as it is called in this database.
    pub(crate) fn rendered(statement: &str, schema: &str) -> String {
        statement.replace("stepwell.", &format!("{schema}."))
    }

    /// Why the application's transaction could not do something, in the words of whoever wrote it. `code` and `message`
    /// are what the server said.
    pub(crate) fn refused(
        doing: &'static str,
        schema: &str,
        code: Option<&str>,
        message: &str,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        match code {
            Some("P0001") if message.contains("the store is sealed") => Error::sealed(),
            // No such schema, table, column or function.
            Some("3F000" | "42P01" | "42703" | "42883") => {
                let problem = format!(
                    "is to a database where `{schema}` is no schema of this release; connect to the database \
                 that the queue was opened with"
                );
                Error::invalid("connection", problem)
            }
            Some("42501") => {
                let problem = format!(
                    "is of a role that may not do this; `GRANT USAGE ON SCHEMA {schema}` to it, and \
                 `GRANT INSERT ON {schema}.stepwell_inbox` to enqueue, or `GRANT EXECUTE ON FUNCTION \
                 {schema}.complete_in` to complete phases"
                );
                Error::invalid("connection", problem)
            }
            Some("25006") => Error::invalid("transaction", "may only read; begin one that may write"),
            Some("25P02") => Error::invalid(
                "transaction",
                "has failed at an earlier statement; roll it back, and begin another",
            ),
            Some("53100") => Error::full(error),
            _ => Error::storage(doing, error),
        }
    }

    /// What the function in the database answered.
    pub(crate) fn answer(text: &str) -> Result<Answer> {
        match text {
            "done" => Ok(Answer::Done),
            "lease lost" => Ok(Answer::LeaseLost),
            "twice" => Ok(Answer::Twice),
            other => {
                Err(Error::refused(format!("the database answered {other:?}; it is of another release")))
            }
        }
    }

    /// An id or a token as PostgreSQL reads it.
    pub(crate) fn hex(bytes: [u8; 16]) -> String {
        bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
