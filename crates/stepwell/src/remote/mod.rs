//! Workers that are programs elsewhere: they claim phases, report on them and keep their leases by calls.
//!
//! A remote worker has a session of its own, which lives for as long as it sends heartbeats. For each phase that it
//! claims it gets a [`LeaseToken`], and shows it with whatever it has to say about that phase. A token whose job went
//! on without it changes nothing: the answer is that the lease is lost. A call that is repeated, because its answer did
//! not arrive, gets the answer that it got before.
//!
//! - `worker`: one worker, `registry`: those of this process. `lease`: what a worker shows.
//! - `calls`: registering, claiming, heartbeats. `claim`: a phase as it is handed out. `report`: what is said about it.

mod calls;
mod claim;
mod lease;
mod registry;
mod report;
mod worker;

pub use calls::{Heartbeat, Held, RemoteWorkers, Wanted};
pub use claim::{RemoteClaim, RemoteClaims};
pub use lease::LeaseToken;
pub(crate) use registry::Registry;
pub use report::{RemoteFailure, Reported};
pub use worker::{NewRemoteWorker, RemoteWorker};
