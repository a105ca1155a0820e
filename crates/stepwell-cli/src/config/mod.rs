//! What `stepwell.toml` says, and `config.toml`.
//!
//! - `file`: where it is, and how it is read. `kinds`: kinds of jobs whose phases are programs. `queues`.
//! - `asked`: whom commands ask. `serving`: how `serve` serves. The user's file and the machine's may say them, too.
//! - `amount`: spans and sizes as people write them.

mod amount;
mod asked;
mod file;
mod kinds;
mod queues;
mod serving;

pub(crate) use asked::Asked;
pub(crate) use file::Config;
pub(crate) use serving::Serving;
