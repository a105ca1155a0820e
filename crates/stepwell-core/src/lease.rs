//! Who owns a running job.

use serde::{Deserialize, Serialize};

use crate::id::{SessionId, Token};

/// What a job's row says of its owner. Set if, and only if, the job is running or cancelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The session whose heartbeat keeps the lease alive.
    pub session: SessionId,
    /// The token of this claim.
    pub token: Token,
}

/// What a writer must show before it may change a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// An owner: both must match, and the job must be running or cancelling.
    Owner {
        /// The epoch of the claim.
        epoch: u64,
        /// The token of the claim.
        token: Token,
    },
    /// The reaper: the row must still be as it was when the owner was found dead.
    Reaper {
        /// The epoch that was read.
        epoch: u64,
        /// The session that was found dead, or past the deadline of a cancellation.
        session: SessionId,
    },
    /// A caller who has read the row at this version (`If-Match`).
    Version(u64),
    /// A caller who names the job and nothing else.
    None,
}
