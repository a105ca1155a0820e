//! How a store is doing, as operators want to know.

use std::time::Duration;

/// Late sessions that are told of, at most.
pub const LATE_MAX: usize = 100;

/// How a store is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Its schema; none if it has none.
    pub schema: Option<Schema>,
    /// Its file, if it is one.
    pub disk: Option<Disk>,
    /// Sessions that should have given a sign of life, the one that owns most first; at most [`LATE_MAX`].
    pub late: Vec<Late>,
}

/// Which schema a store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The version that is stored.
    pub version: u32,
    /// The version that this release brings a store to. A store whose version is higher was opened by a newer release.
    pub known: u32,
}

/// What a store takes on a disk, and what is left of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of the log beside it, which is moved into the file all the time.
    pub log_bytes: u64,
    /// Bytes that this user may still write to that disk; none if the system does not tell.
    pub free_bytes: Option<u64>,
}

/// A session that should have given a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The machine and the process, for people.
    pub node: String,
    /// For how long it has not been what it must be to be taken for alive.
    pub overdue: Duration,
    /// How many jobs wait for somebody to take them from it.
    pub jobs: u64,
}

impl Health {
    /// Adds what was found of the sessions: the worst first, and not too many.
    #[must_use]
    pub fn with_late(mut self, mut late: Vec<Late>) -> Self {
        late.sort_by_key(|late| (std::cmp::Reverse(late.jobs), std::cmp::Reverse(late.overdue)));
        late.truncate(LATE_MAX);
        self.late = late;
        self
    }
}
