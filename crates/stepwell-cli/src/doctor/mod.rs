//! `stepwell doctor`: what operators meet, found by what the API tells, and said with what to do about it.
//!
//! - `finding`: what was found. `visit`: everything that is looked at, in order.
//! - `service`: who answers, and its clock. `waiting`: jobs that nobody takes.
//! - `receivers`: webhooks that do not arrive.
//! - `files`: what only whoever has the store's file can see.

mod files;
mod finding;
mod receivers;
mod service;
mod visit;
mod waiting;

pub(crate) use visit::visit;
