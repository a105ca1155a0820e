//! Sessions: one per start of a process, and the lease of every job that it owns.

use serde::{Deserialize, Serialize};

use crate::{id::SessionId, name::Name, time::Timestamp};

/// What a process says of itself when it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The machine and the process, for people.
    pub node: String,
    /// When it started.
    pub started_at: Timestamp,
    /// The kinds it works, and the generation of its plan of each.
    pub kinds: Vec<(Name, u64)>,
    /// The queues it works, and how many jobs of each at once.
    pub queues: Vec<(Name, usize)>,
}

/// Whether a session lives, and what it must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beat {
    /// Whether the session is still alive. Once it is not, it never is again, and the process owns nothing.
    pub alive: bool,
}
