//! A [`Store`](stepwell_core::store::Store) in memory: for tests, and the model that the durable stores are held
//! against.
//!
//! Every call does its work on the caller's thread, the first time that its future is polled, and is then ready. A
//! test whose runtime has paused its clock therefore sees no time pass in the store.
//!
//! # Layout
//! - `memory`: the type that people open, and how an operation becomes all or nothing.
//! - `store`: the interface that the engine uses.
//! - `state`: every table; `table`: a map that can take back what was done to it.
//! - `tables`: what the shared operations ask for, each answered by the file named after it: `transition`, `claim`,
//!   `plan`, `session`, `retain`, `events`, `inbox`.
//! - `read`, `count`: what is read, and whether the counters are right.

mod claim;
mod count;
mod events;
mod inbox;
mod memory;
mod plan;
mod read;
mod retain;
mod session;
mod setting;
mod state;
mod store;
mod table;
mod tables;
mod transition;

pub use memory::Memory;
