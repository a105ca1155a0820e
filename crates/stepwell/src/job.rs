//! What an application writes: a job, and how it is done.

use serde::{Serialize, de::DeserializeOwned};

use crate::plan::{Phase, Plan};

/// What is enqueued: a serializable description of one piece of work.
///
/// A `Job` names no handler, so that a web process can enqueue it without linking the worker's code.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The stable name stored with every job of this type. Renaming the Rust type is free; changing `KIND` leaves jobs
    /// that are already stored without a worker (they wait, and [`explain`](crate::Stepwell::explain) says why).
    const KIND: &'static str;
    /// What the last phase returns, and what [`JobHandle::result`](crate::JobHandle::result) yields.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}

/// How one kind of job is done. Dependencies are ordinary fields of the implementing struct.
pub trait Worker: Send + Sync + Sized + 'static {
    /// What it does.
    type Job: Job;

    /// Declares the phases, in the order in which they run, and returns the last one. Called once, when the worker is
    /// registered.
    fn plan(plan: &Plan<Self>) -> Phase<'_, <Self::Job as Job>::Output>;
}
