//! The PostgreSQL store of Stepwell: several nodes on one database, each with group commit.
//!
//! Users of Stepwell never name this crate; they call `Stepwell::postgres(url)`.
//!
//! # Layout
//! - [`options`]: what is chosen when the store is opened.
//! - `store`: the [`Store`](stepwell_core::store::Store) itself: what goes to a committer, what to a reader.
//! - `open`: in which order everything is checked and started.
//! - `target`, `tls`, `connection`, `migrate`: where the database is, one connection to it, and the schema.
//! - `queue`: what waits; `committer`: a thread that takes it and commits it together; `batch`: one group commit;
//!   `closing`: how long it goes on at the end.
//! - `ledger` and `tables`: the tables inside a write transaction; `counters`, `dictionary`: what is kept in memory for
//!   them; `pending`: what is decided and not sent yet.
//! - `read`, `list`, `events`: the readers.
//! - `wake`: what other nodes wrote; `head`: which log it is, and how far it goes.
//! - `mark`: what became of a commit that was not answered.
//! - `health`: how a store is doing; `schema`: which it has, and how that goes.
//! - `session`, `beat`: who is alive; `maintain`: what is done about those who are not.
//! - `copy`: the schema on its way to another store, or from one.
//! - `damaged`: rows that cannot be decoded.
//! - `error`, `sql`: PostgreSQL's words, and ours for it.

mod batch;
mod beat;
mod closing;
mod committer;
mod connection;
mod copy;
mod counters;
mod damaged;
mod dictionary;
mod error;
mod events;
mod head;
mod health;
mod ledger;
mod list;
mod maintain;
mod mark;
mod migrate;
mod open;
pub mod options;
mod pending;
mod queue;
mod read;
mod schema;
mod session;
mod sql;
mod store;
mod tables;
mod target;
mod tls;
mod wake;

pub use copy::CopyEnd;
pub use options::{Durability, PostgresOptions, SCHEMA};
pub use schema::{drop_schema, schema};
pub use store::Postgres;
