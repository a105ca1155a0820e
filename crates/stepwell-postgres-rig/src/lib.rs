//! PostgreSQL servers of one's own, to test on and to break.
//!
//! Everything here is synchronous and small, because `cargo xtask` is built on it: a server has to be there before
//! the first test is, and gone after the last, also if that one ended in a `kill -9`.
//!
//! # Layout
//! - `cluster`: a server with data of its own; `settings`: what it is told; `standby`: another one that
//!   follows it; `bouncer`: a pooler before it; `address`:
//!   where they are.
//! - `database`: what a test gets of the server that `cargo xtask test` has started; `wire`: the protocol.
//! - `proxy`: a network that fails.
//! - `place`: the directory in which servers live, and the guard that outlives whoever made it.
//! - `account`: the user that runs them, since PostgreSQL refuses to be run by root; `programs`: where they are
//!   installed; `port`: where they listen; `process`: starting one and waiting for it.
//! - `error`: what failed, in words.

mod account;
mod address;
mod bouncer;
mod cluster;
mod database;
mod error;
mod place;
mod port;
mod process;
mod programs;
mod proxy;
mod settings;
mod standby;
mod wire;

pub use address::Address;
pub use bouncer::Bouncer;
pub use cluster::Cluster;
pub use database::Database;
pub use error::{Error, Result};
pub use programs::{PGBOUNCER, POSTGRES, Package, missing};
pub use proxy::{Direction, Loss, Proxy, Side, Tally};
pub use settings::Settings;
pub use standby::Replication;
pub use wire::Rows;
