//! `stepwell worker`: the kinds of a `stepwell.toml`, for a queue elsewhere.
//!
//! - `options`: what can be set. `session`: from the command line to one of the two ways.
//! - `store`: on a store, with an engine of its own. `remote`: by the calls of a server.
//! - `told`: what is said meanwhile.

mod options;
mod remote;
mod session;
mod store;
mod told;

pub(crate) use options::Options;
pub(crate) use session::run;
