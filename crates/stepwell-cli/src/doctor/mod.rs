//! `stepwell doctor`: what operators meet, found by what the API tells, and said with what to do about it.
//!
//! - `finding`: what was found. `visit`: everything that is looked at, in order.
//! - `service`: who answers, and its clock. `schema`: whether the store and the program belong together.
//! - `files`: the file, the log beside it, and the disk. `leases`: who should have given a sign of life.
//! - `waiting`: jobs that nobody takes. `receivers`: webhooks that do not arrive. `bundle`: all of it, for a helper.

mod bundle;
mod files;
mod finding;
mod leases;
mod receivers;
mod schema;
mod service;
mod visit;
mod waiting;

pub(crate) use visit::{visit, visit_unopened};
