//! A durable job queue. A job is a list of named, typed *phases*; each result is on disk the moment its phase ends, so
//! a retry, a crash or a deploy goes on where the job stood.
//!
//! # Layout
//! - [`Job`], [`Worker`], [`Plan`], [`Ctx`]: what an application writes.
//! - [`Stepwell`], [`Builder`], [`Enqueue`], [`JobHandle`], [`Events`]: what it calls.
//! - [`Workers`]: what runs.
//! - [`remote`]: workers that are programs elsewhere.
//! - [`series`]: how the queue has been doing over time.
//! - [`testing`]: tests without waiting. `Upkeep`: backups, and what else is done to a whole file. `copy`: from one
//!   store to another.
//! - `process`: phases that are programs, with the feature `process`, on Linux.
//! - `webhook`: signed webhooks, with the feature `webhooks`. `bulk`: the same for many jobs, with the feature `bulk`.
#![doc = include_str!("docs/start.md")]

#[cfg(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx"))]
mod application;
mod blocking;
mod builder;
#[cfg(feature = "bulk")]
pub mod bulk;
mod client;
#[cfg(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx"))]
mod complete_in;
mod control;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub mod copy;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "webhooks"))]
mod crash_point;
mod ctx;
mod ending;
mod engine;
mod enqueue;
mod entropy;
mod event_cursor;
mod events;
mod handle;
#[cfg(feature = "rusqlite")]
mod in_sqlite;
#[cfg(feature = "sqlx")]
mod in_sqlx;
#[cfg(feature = "tokio-postgres")]
mod in_tokio_postgres;
#[cfg(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx"))]
mod inbox_row;
mod inputs;
mod job;
mod notes;
mod once;
mod phase_error;
mod phase_fn;
mod plan;
#[cfg(all(feature = "process", target_os = "linux"))]
pub mod process;
mod recorded;
mod records;
mod registered;
pub mod remote;
pub mod series;
mod single;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "sqlite")]
mod upkeep;
#[cfg(feature = "webhooks")]
pub mod webhook;
pub mod wire;
mod workers;

pub use builder::{Builder, Durability};
pub use client::Stepwell;
#[cfg(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx"))]
pub use complete_in::OwnTransaction;
pub use control::{Counts, JobList};
pub use ctx::Ctx;
pub use enqueue::{Enqueue, EnqueueMany, Priority, Untyped};
pub use event_cursor::{EventCursor, Found};
pub use events::{Change, Event, EventStream, Events};
pub use handle::JobHandle;
pub use inputs::Inputs;
pub use job::{Job, Worker};
pub use once::Made;
pub use phase_error::{PhaseError, PhaseResult, ResultExt};
pub use phase_fn::{BlockingPhaseFn, PhaseFn};
pub use plan::{Phase, Plan};
pub use records::Records;
pub use single::OneShot;
pub use stepwell_core::webhook::JobWebhook;
pub use stepwell_core::{
    Clock, Error, EventType, JobId, JobState, Json, Name, OnConflict, Retry, SessionId, Timestamp, Unique,
    error::Result,
    explain::Explanation,
    job::{Failure, Progress, Reason},
    limits,
    machine::{Edit, LogLine, RetryFrom},
    phase::PhaseState,
    plan::{PhaseSpec, PlanSpec},
    queue::Queue,
    retention::{Keep, Retention},
    schedule::When,
    session::{Desired, Node, Session, SessionState},
    setting::{Expected, Setting, Settings},
    store::{Count, Description, Disk, Health, JobFilter, Late, Order, Page, PageRequest, Schema},
};
pub use stepwell_core::{
    event::{EventFilter, is_internal},
    time::Stopwatch,
};
pub use stepwell_core::{job::Job as JobRecord, phase::Phase as PhaseRecord};
#[cfg(feature = "sqlite")]
pub use upkeep::Upkeep;
pub use workers::{ShutdownTimeout, Workers};
