//! What runs where and when.
//!
//! ```text
//!  engine's own thread                        application's runtime        other threads
//!  ┌──────────────────────────────┐           ┌──────────────────┐         ┌───────────────┐
//!  │ dispatcher: claims, slots    │──claimed──▶│ flight: one job, │────────▶│ blocking pool │
//!  │ caretaker: maintenance,      │           │ phase by phase   │         ├───────────────┤
//!  │   retention, reconciliation  │◀──slot────│ (handlers run    │         │ heartbeat     │
//!  │ tail: one reader of the log  │           │  here)           │         ├───────────────┤
//!  │ shutdown                     │           └──────────────────┘         │ store's own   │
//!  └──────────────────────────────┘                                        └───────────────┘
//! ```
//!
//! Nothing that keeps a lease or ends a shutdown runs on the application's runtime: a handler that blocks it costs
//! neither.
//!
//! - [`core`]: what all parts share, and how it opens and closes.
//! - [`config`]: what can be set.
//! - [`dispatcher`]: claims work for free slots.
//! - [`flight`]: a claimed job on its way through its phases.
//! - [`flights`]: the jobs under way, and the slots that they take.
//! - [`stop`]: how a phase is told to stop, and how long it has.
//! - `courier`: turns events into deliveries to webhooks, and claims those; [`pressure`] says how far it steps back for
//!   jobs.
//! - [`idle`]: whether there is anything left to do.
//! - [`orders`]: what an operator wants of this process.
//! - [`heartbeat`], [`caretaker`], [`tail`] with its [`ring`], [`shutdown`].
//!
//! Invariants: a slot is taken before its job is claimed, and given back once; a flight writes only under its fence; no
//! write is tried after the store was closed.

mod caretaker;
mod config;
mod core;
#[cfg(feature = "webhooks")]
mod courier;
#[cfg(feature = "testing")]
mod crash;
mod dispatcher;
#[cfg(test)]
mod flaky;
mod flight;
mod flights;
mod heartbeat;
mod idle;
mod orders;
mod pressure;
mod ring;
mod shutdown;
mod stop;
mod tail;

pub(crate) use config::Config;
pub(crate) use core::{Engine, Parts};
#[cfg(feature = "testing")]
pub(crate) use crash::CrashPlan;
#[cfg(feature = "testing")]
pub(crate) use flight::Boundary;
pub(crate) use flight::Flight;
#[cfg(all(feature = "process", target_os = "linux"))]
pub(crate) use flight::panic_text;
pub(crate) use shutdown::Shutdown;
pub(crate) use stop::{Stop, Why};
pub(crate) use tail::Follower;
