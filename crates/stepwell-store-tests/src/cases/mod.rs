//! The cases, by topic. Each is named in the list of [`cases!`](macro@crate::cases), and nowhere else.
#![expect(missing_docs, reason = "a case's name says what it shows")]

pub mod cancel;
pub mod claim;
pub mod enqueue;
pub mod events;
pub mod expiry;
pub mod explain;
pub mod failures;
pub mod inbox;
pub mod leases;
pub mod lifetime;
pub mod limits;
pub mod lists;
pub mod operator;
pub mod phases;
pub mod plans;
pub mod queues;
pub mod retention;
pub mod sessions;
pub mod settings;
pub mod settled;
pub mod unique;
pub mod views;
