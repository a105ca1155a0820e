//! `stepwell dev`: the queue at work on a directory of files.
//!
//! - `options`: what can be set.
//! - `walk`: which files there are.
//! - `file`: the job for one file. `tree`: the job for the whole.
//! - `manifest`: what comes out.
//! - `view`: what is shown meanwhile.
//! - `session`: from start to exit code.

mod file;
mod manifest;
mod options;
mod session;
mod tree;
mod view;
mod walk;

pub(crate) use options::Options;
pub(crate) use session::run;
