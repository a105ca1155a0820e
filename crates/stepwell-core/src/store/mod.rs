//! What a store must be able to do, and what every store does in the same way.
//!
//! A store makes decisions of [`machine`](crate::machine) durable. It never decides: there is no `if` about a job's
//! state in a store.
//!
//! - [`Store`]: the interface that the engine uses. Batches are formed inside, by group commit.
//! - [`Tables`]: the few things that a store's own code must do inside its write transaction.
//! - [`operations`]: what is done with them, written once: enqueue, claim, apply, reap, retain, take in.
//! - [`request`], [`read`], [`inbox`], [`health`]: what goes in and comes out.
//! - [`settled`]: phases whose end an application has committed itself.
//! - [`copy`]: a whole store, on its way to another one.
//! - [`statement`]: how a store finds its SQL.
//!
//! The interface is not stable, and not meant to be implemented outside this workspace.

mod contract;
pub mod copy;
pub mod health;
pub mod inbox;
pub mod operations;
pub mod read;
pub mod request;
pub mod settled;
pub mod statement;
mod tables;

pub use contract::{Answer, Change, Description, Listener, Store};
pub use health::{Disk, Health, Late, Schema};
pub use read::{Count, Element, EventPage, JobFilter, Order, Page, PageRequest};
pub use request::{
    Applied, ClaimRequest, Claimed, ClaimedBatch, Enqueued, FanOut, Lane, Maintain, Maintained, Pruned,
    Request, WorkedPlan,
};
pub use tables::{Row, Tables};
