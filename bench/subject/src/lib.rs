//! What every measured queue shares.
//!
//! A subject is a program of its own, so that its memory and its processor time are its alone. It is started
//! once per measurement with one command, and prints one line of JSON, a [`Report`].
//!
//! | module | decides |
//! |---|---|
//! | `request` | which command, with which sizes |
//! | `queue` | what a queue must be able to do to be measured |
//! | `bulk`, `callers`, `drain`, `latency`, `idle` | one measurement each |
//! | `payload`, `phases` | what a job carries |
//! | `ledger` | that each was handled once |
//! | `clock`, `memory`, `samples` | how things are measured |
//! | `durability`, `sqlite`, `syncs` | what the store and the kernel really did |
//! | `report` | what is printed |

pub mod bulk;
pub mod callers;
mod clock;
mod drain;
mod durability;
mod idle;
pub mod latency;
mod ledger;
mod memory;
mod payload;
mod phases;
mod queue;
mod report;
mod request;
mod samples;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod syncs;

use std::error::Error;

pub use clock::monotonic_ns;
pub use durability::Durability;
pub use ledger::Ledger;
pub use memory::Memory;
pub use payload::Payload;
pub use phases::packed;
pub use queue::{Queue, run};
pub use report::{Figures, Report};
pub use request::Request;
pub use samples::Samples;

pub type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;
