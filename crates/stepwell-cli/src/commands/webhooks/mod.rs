//! `stepwell webhooks`.
//!
//! - `command`: the words. `endpoint`: who is told. `delivery`: what they were told, and how that went.

mod command;
mod delivery;
mod endpoint;

pub(crate) use command::{Arguments, run};
