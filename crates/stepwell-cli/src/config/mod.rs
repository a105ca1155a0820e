//! What `stepwell.toml` says.
//!
//! - `file`: where it is, and how it is read. `kinds`: kinds of jobs whose phases are programs. `queues`.
//! - `amount`: spans and sizes as people write them.

mod amount;
mod file;
mod kinds;
mod queues;

pub(crate) use file::Config;
