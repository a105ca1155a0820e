//! How durable a commit was, as the store itself says.
use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Durability(String);

impl Durability {
    /// Of a connection of SQLite's; `synchronous` is 0 off, 1 normal, 2 full, 3 extra.
    #[must_use]
    pub fn sqlite(journal_mode: &str, synchronous: u8) -> Self {
        let synchronous = ["OFF", "NORMAL", "FULL"].get(usize::from(synchronous)).unwrap_or(&"EXTRA");
        Self(format!("{} {synchronous}", journal_mode.to_uppercase()))
    }

    /// Of a connection of PostgreSQL's, for which `synchronous_commit` is set to this.
    #[must_use]
    pub fn postgres(synchronous_commit: &str) -> Self {
        Self(format!("synchronous_commit {synchronous_commit}"))
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
