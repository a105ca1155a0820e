//! What a child may use.

use serde::{Deserialize, Serialize};

/// What a child may use. A program that asks for more is refused it by the kernel, or killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of address space (`RLIMIT_AS`) of each process of the child's. Programs that reserve much more than they
    /// use, such as Node, need far more than they show.
    pub memory_bytes: Option<u64>,
    /// Seconds of processor time (`RLIMIT_CPU`) of each process.
    pub cpu_seconds: Option<u64>,
    /// Files that a process may have open at once (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
}
