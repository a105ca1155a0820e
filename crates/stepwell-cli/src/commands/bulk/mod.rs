//! `stepwell bulk`.
//!
//! - `command`: the words. `request`: what is asked for. `progress`: how far it is.

mod command;
mod progress;
mod request;

pub(crate) use command::{Arguments, run};
