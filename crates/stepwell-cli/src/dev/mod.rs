//! `stepwell dev`: the queue at work on a directory of files.
//!
//! - `options`: what can be set.
//! - `walk`: which files there are. `list`: the same, on disk.
//! - `file`: the job for one file, `content`: its work. `tree`: the job for the whole.
//! - `jobs`: these jobs as they are recorded. `manifest`: what comes out.
//! - `view`: what is shown meanwhile, `board`: what of it runs here.
//! - `slow`: to try what happens when.
//! - `session`: from start to exit code.
//! - `kinds`: the same where a `stepwell.toml` says what is worked.

mod board;
mod content;
mod file;
mod jobs;
mod kinds;
mod list;
mod manifest;
mod options;
mod session;
mod slow;
mod tree;
mod view;
mod walk;

pub(crate) use options::Options;
pub(crate) use session::run;
