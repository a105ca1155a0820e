//! What the proofs from outside share: the real program on a real file, and what talks to it.
//!
//! - `program`: starts, kills and ends `stepwell serve`, and makes tokens.
//! - `client`: asks the API. `stream`: follows an event stream as a browser would.
//! - `sink`: receives webhooks. `python`: what a proof needs of others.
//! - `guide`: what a guide has its reader do. `typescript`: the TypeScript client, as its users have it.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "test code, of which each proof uses a part and in which a panic is the report"
)]

mod client;
pub(crate) mod guide;
mod program;
mod python;
mod sink;
mod stream;
mod typescript;

pub(crate) use client::{Answer, Client};
pub(crate) use program::{Killer, Program, token};
pub(crate) use python::Python;
pub(crate) use sink::{Moment, Received, Reply, Sink};
pub(crate) use stream::{Frame, Frames, Stream};
pub(crate) use typescript::TypeScript;

/// A number that the command line of the proof may have set.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Waits for what must come before long, and says what was waited for if it does not.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, future).await.unwrap_or_else(|_| panic!("{what} did not come in time"))
}
