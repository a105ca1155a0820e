//! What must hold whatever was done to a store, as far as a store shows it. The numbers are those of
//! `docs/lifecycle.md`.
//!
//! - [`snapshot`]: everything that a store shows, read through its interface.
//! - [`check`]: all of it together; `rows`, `log`, `fold`: one snapshot; `step`, `limits`: one snapshot after another.
//!
//! The checker is itself checked: `faults` doctors good snapshots, one fault at a time, and each must be named.

mod check;
#[cfg(test)]
mod faults;
mod fold;
mod limits;
mod log;
mod rows;
pub mod snapshot;
mod step;

pub use check::{Violation, check, check_step, hold};
