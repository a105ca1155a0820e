//! `stepwell bench`: how fast a queue is here, measured beside what is stored and not in it.
//!
//! - `options`: what can be set. `run`: from start to exit code.
//! - `here`: a store of its own beside the one that is named. `there`: a queue of its own on a server.
//! - `samples`: how long things took. `report`: what is said in the end.

mod here;
mod options;
mod report;
mod run;
mod samples;
mod there;

pub(crate) use options::Options;
pub(crate) use run::{run_here, run_there};
