//! `stepwell jobs`.
//!
//! - `command`: the words. `list`, `get`, `timeline`: what is there. `watch`: what goes on.
//! - `act`: what is done to a job. `export`: many of them, with all that they hold.

mod act;
mod command;
mod export;
mod get;
mod list;
mod timeline;
mod watch;

pub(crate) use command::{Arguments, run};
pub(super) use list::State;
pub(super) use watch::{until_end, watch};
