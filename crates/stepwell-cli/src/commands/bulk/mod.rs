//! `stepwell bulk`.
//!
//! - `command`: the words. `request`: what is asked for. `progress`: how far it is.
//! - `purge`: a queue that is emptied.

mod command;
mod progress;
mod purge;
mod request;

pub(crate) use command::{Arguments, run};
pub(crate) use purge::{empty, purge};
