//! What is chosen when the store is opened.

use std::{path::PathBuf, time::Duration};

use stepwell_core::Clock;

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: `synchronous=FULL`.
    #[default]
    Full,
    /// It survives the process, but a power loss may take the last of it back: `synchronous=NORMAL`.
    Relaxed,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The file. It may be the application's own database.
    pub path: PathBuf,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// The clock; the machine's if none is given.
    pub clock: Option<Clock>,
    /// How long a call waits for the file's write lock before it answers that the store is busy.
    pub busy_deadline: Duration,
    /// How long a session lives without a heartbeat, if its process may still be there.
    pub session_ttl: Duration,
    /// Opens a file on a network file system all the same.
    pub allow_network_file_system: bool,
    /// The largest number of pages of the file. For tests of a full disk.
    pub page_limit: Option<u32>,
    /// Runs everything on the caller's thread, so that a paused clock is exact.
    pub inline: bool,
    /// Random bits for the id of the event log; used if the file is new.
    pub generation: [u8; 16],
}

impl SqliteOptions {
    /// The defaults for a file; `generation` are random bits.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, generation: [u8; 16]) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Full,
            clock: None,
            busy_deadline: Duration::from_secs(30),
            session_ttl: Duration::from_secs(30),
            allow_network_file_system: false,
            page_limit: None,
            inline: false,
            generation,
        }
    }
}
