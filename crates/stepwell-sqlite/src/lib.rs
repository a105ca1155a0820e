//! The SQLite store of Stepwell: one writer with group commit, a few readers, and several processes on one file.
//!
//! Users of Stepwell never name this crate; they call `Stepwell::sqlite(path)`.
//!
//! # Layout
//! - [`options`]: what is chosen when the store is opened.
//! - `store`: the [`Store`](stepwell_core::store::Store) itself: what goes to the writer, what to the readers.
//! - `open`: in which order everything is checked and started.
//! - `connection`, `migrate`, `recover`: one connection, the schema, and what follows an unclean stop.
//! - `writer`: the thread that owns the writing connection; `inbox`: what it is told; `batch`: one group commit;
//!   `lock`: whose turn it is; `gathered`: requests that wait for it; `answers`: who tells them how it went;
//!   `checkpoint`: where the log goes.
//! - `ledger` and `tables`: the tables inside a write transaction; `head`, `counters`, `dictionary`, `cache`: what is
//!   kept in memory for them; `pending`: what is decided and not written yet.
//! - `read`, `list`, `events`: the readers.
//! - `session`, `live`: who is alive; `wake`: what other processes wrote.
//! - `upkeep`: what is done to a whole file; `copy`: the file on its way to another store, or from one; `health`: how a
//!   store is doing.
//! - `damaged`: rows that cannot be decoded.
//! - `error`, `sql`: SQLite's words, and ours for it.

mod answers;
mod batch;
mod cache;
mod checkpoint;
mod closing;
mod connection;
mod copy;
mod counters;
mod damaged;
mod dictionary;
mod error;
mod events;
mod gathered;
mod head;
mod health;
mod inbox;
mod ledger;
mod list;
mod live;
mod lock;
mod maintain;
mod migrate;
mod open;
pub mod options;
mod pending;
mod read;
mod recover;
mod session;
mod sql;
mod store;
mod tables;
mod upkeep;
mod volume;
mod wake;
mod writer;

pub use copy::CopyEnd;
pub use options::{Durability, SqliteOptions};
pub use store::Sqlite;
pub use upkeep::Upkeep;
