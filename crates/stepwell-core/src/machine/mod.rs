//! What a command does to a job: the one place where that is decided.
//!
//! ```text
//!              enqueue            claim              last phase ends
//!                 │   ┌────────┐ ─────────▶ ┌─────────┐ ─────────▶ completed
//!                 └──▶│pending │            │ running │
//!                     └────────┘ ◀───────── └─────────┘ ─────────▶ failed
//!                      │  ▲   retry, snooze,   │ cancel
//!               cancel │  │   release, hand-    ▼
//!                      │  │   over, lease lost ┌──────────┐
//!                      │  │                    │cancelling│ ─────▶ cancelled, or completed:
//!                      ▼  │ operator's retry   └──────────┘        the end of the last phase wins
//!                  cancelled, failed, completed
//! ```
//!
//! [`apply`] is pure and total: for every job, fence and command it answers with a [`Transition`], which a store makes
//! durable as a whole, or with a [`Reject`], after which nothing has changed. Stores call it on the row that they have
//! locked, never on a copy read earlier.
//!
//! - [`command`]: what may be asked.
//! - [`transition`]: what comes out.
//! - [`apply`]: who may do what, and commands in sequence.
//! - [`enqueue`]: how a job comes to be.
//! - `claim`, `phase`, `leave`, `cancel`, `recover`, `operate`: the transitions, by who starts them.

mod apply;
mod cancel;
mod claim;
pub mod command;
mod enqueue;
mod leave;
mod operate;
mod phase;
mod recover;
pub mod transition;

pub use apply::{apply, apply_all, claim_and_start};
pub(crate) use command::check_key;
pub use command::{Claim, Command, Context, Edit, LogLine, NewJob, Once, RetryFrom, Verdict};
pub use enqueue::enqueue;
pub use transition::{Reject, Transition, Write};
