//! The tables inside a write transaction: what [`operations`](stepwell_core::store::operations) are made of.
//!
//! - `row`: the codec of a job's row.
//! - `transition`: storing a new job, and a change to one.
//! - `beside`: what a transition changes beside the row.
//! - `claim`: which jobs are ready, owned, late.
//! - `retain`: what has ended, and which events can go.
//! - `plan`: plans, queues and sessions.
//! - `inbox`: rows that applications enqueued in their own transactions.
//! - `setting`: small records of the layers above, and the cursors of durable readers.
//! - `contract`: all of it under one trait.

mod beside;
pub(crate) mod claim;
mod contract;
mod inbox;
pub(crate) mod plan;
mod retain;
pub(crate) mod row;
pub(crate) mod setting;
mod transition;
