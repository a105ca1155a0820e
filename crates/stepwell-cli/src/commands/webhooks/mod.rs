//! `stepwell webhooks`.
//!
//! - `command`: the words. `endpoint`: who is told. `delivery`: what they were told, and how that went.
//! - `listen`: a receiver on this machine.

mod command;
mod delivery;
mod endpoint;
mod listen;

pub(crate) use command::{Arguments, run};
