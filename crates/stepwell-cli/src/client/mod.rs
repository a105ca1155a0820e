//! How commands ask for things: every command is a few requests of the HTTP API, whoever answers them.
//!
//! - `target`: whom to ask, as it is said on the command line. `choice`: chosen from that, the environment and files.
//!   `token`: what a server is shown. `session`: a command that asks, from start to exit code.
//! - `requests`: requests and answers. `there`: a server elsewhere. `here`: the same API on a store, in this process.
//! - `refusal`: what was refused, in words and as an exit code.
//! - `frames`: an event stream, which goes on where it was cut off. `ids`: ids by their last digits.

mod choice;
mod frames;
mod here;
mod ids;
mod refusal;
mod requests;
mod session;
mod target;
mod there;
mod token;

pub(crate) use ids::{BULK, DELIVERIES, JOBS, WEBHOOKS, WORKERS};
pub(crate) use requests::{Answer, Client, Query, query, segment};
pub(crate) use session::Session;
pub(crate) use target::{StoreTarget, Target, Told, server_address, variable};
