//! The decisions of the Stepwell job queue.
//!
//! Everything that decides what happens to a job lives here, as pure functions over plain records: no I/O, no
//! async runtime, no clock reading and no randomness of its own. Times, ids, tokens and jitter are passed in.
//!
//! # Layout
//! - [`machine`]: what a command does to a job. One pure, total function, [`machine::apply`].
//! - [`store`]: what a store must be able to do, and the operations that every store shares.
//! - [`job`], [`phase`], [`plan`], [`event`], [`lease`], [`session`], [`setting`]: the records.
//! - [`retry`], [`unique`], [`schedule`]: what a policy means.
//! - [`webhook`]: which events go to which webhook.
//! - [`explain`]: why a job is not running.
//! - [`limits`]: every limit, with its reason.
//! - [`time`], [`id`], [`json`], [`name`]: the vocabulary.
//! - [`error`]: the one error that stores and the engine return.

pub mod error;
pub mod event;
pub mod explain;
pub mod id;
pub mod job;
pub mod json;
pub mod lease;
pub mod limits;
pub mod machine;
pub mod name;
pub mod phase;
pub mod phases;
pub mod plan;
pub mod queue;
pub mod retention;
pub mod retry;
pub mod schedule;
pub mod session;
pub mod setting;
pub mod store;
pub mod time;
pub mod unique;
pub mod webhook;

pub use error::{Error, Result};
pub use event::{Event, EventType};
pub use id::{JobId, SessionId, Token};
pub use job::{Job, JobState};
pub use json::Json;
pub use name::Name;
pub use phase::{Phase, PhaseState};
pub use phases::Phases;
pub use plan::{PhaseSpec, PlanSpec};
pub use retry::Retry;
pub use time::{Clock, Timestamp};
pub use unique::{OnConflict, Unique};
