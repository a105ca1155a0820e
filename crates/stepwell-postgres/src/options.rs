//! What is chosen when the store is opened.

use std::{fmt, time::Duration};

use stepwell_core::{Clock, Error, Result};

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the server's disk, and on those of its synchronous standbys: `synchronous_commit` as the server has it,
    /// and at least `on`.
    #[default]
    Full,
    /// It survives the process, but a crash of the server may take the last of it back: `synchronous_commit=off`.
    Relaxed,
}

impl Durability {
    /// What `synchronous_commit` is set to where the server has this; nothing if it is left as it is.
    pub(crate) fn setting(self, server: &str) -> Option<&'static str> {
        match self {
            Self::Full if matches!(server, "on" | "remote_apply") => None,
            Self::Full => Some("on"),
            Self::Relaxed => Some("off"),
        }
    }
}

/// What the schema is called, unless it is chosen.
pub const SCHEMA: &str = "stepwell";

/// How a store is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Where the database is: `postgres://user@host/database`, with several hosts if there are several. As for every
    /// other client, `sslmode=verify-full` accepts only the server that the address names, and `verify-ca` any that the
    /// authority knows; `sslrootcert=PATH` is a file with the certificates of the authorities, in PEM format. Without
    /// it they are the system's.
    pub url: String,
    /// The schema that everything lives in. It is made if it is not there.
    pub schema: String,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// A clock; the database's if none is given.
    pub clock: Option<Clock>,
    /// How long a call waits for the database before it answers that the store is busy.
    pub busy_deadline: Duration,
    /// How long a session lives without a heartbeat.
    pub session_ttl: Duration,
    /// Connections that write. Each takes whatever waits, and commits it together.
    pub committers: usize,
    /// Connections that read.
    pub readers: usize,
    /// Random bits for the id of the event log; used if the schema is new.
    pub generation: [u8; 16],
}

impl fmt::Debug for PostgresOptions {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("schema", &self.schema)
            .field("durability", &self.durability)
            .field("busy_deadline", &self.busy_deadline)
            .field("session_ttl", &self.session_ttl)
            .field("committers", &self.committers)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The defaults for a database; `generation` are random bits.
    #[must_use]
    pub fn new(url: impl Into<String>, generation: [u8; 16]) -> Self {
        Self {
            url: url.into(),
            schema: SCHEMA.into(),
            durability: Durability::Full,
            clock: None,
            busy_deadline: Duration::from_secs(30),
            session_ttl: Duration::from_secs(30),
            committers: 2,
            readers: 2,
            generation,
        }
    }

    /// Whether the schema's name can stand in a statement as it is.
    pub(crate) fn check(&self) -> Result<()> {
        let name = &self.schema;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if begins && name.chars().all(plain) && name.len() <= 48 && !name.starts_with("pg_") {
            return Ok(());
        }
        Err(Error::invalid(
            "schema",
            format!(
                "is {name:?}; use up to 48 lower-case letters, digits and underscores, not beginning with pg_"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_holds_no_password() {
        let shown =
            format!("{:?}", PostgresOptions::new("postgres://me:secret@there/jobs?password=secret", [0; 16]));
        assert!(shown.contains("stepwell") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_schema_has_a_plain_name() {
        let check = |schema: &str| {
            PostgresOptions { schema: schema.into(), ..PostgresOptions::new("", [0; 16]) }.check()
        };
        check("jobs_2").unwrap();
        for schema in ["", "2", "Jobs", "a.b", "a\"b", "pg_jobs", &"x".repeat(49)] {
            assert_eq!(check(schema).unwrap_err().field(), Some("schema"), "{schema}");
        }
    }
}
