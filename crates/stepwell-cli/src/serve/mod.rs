//! `stepwell serve`: the queue for programs that speak HTTP.
//!
//! - `options`: what can be set. `session`: from start to exit code.
//! - `demo`: a kind of job to try it with.

mod demo;
mod options;
mod session;

pub(crate) use options::Options;
pub(crate) use session::run;
