//! A network that fails: a proxy before a server, and everything that may go wrong on the way.
//!
//! - `listener`: the proxy itself, and what it can be told; `weather`: what is wrong at the moment, for all.
//! - `link`: one connection and its two directions; `watch`: where in the protocol it is.
//! - `framing`: where a message begins and ends; `loss`: which commits are lost, and how.

mod framing;
mod link;
mod listener;
mod loss;
mod watch;
mod weather;

pub use link::{Direction, Side};
pub use listener::Proxy;
pub use loss::{Loss, Tally};
