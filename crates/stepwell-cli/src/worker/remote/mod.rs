//! A worker of a server elsewhere: `docs/workers.md` has the protocol.
//!
//! ```text
//!   session ──▶ claims, queue by queue ──▶ flight: one job, phase by phase ──▶ a child
//!      │                 │                        │ lease: what it says
//!      │                 ▼                        ▼
//!      └──▶ heartbeat ─▶ desk: who the worker is to the server, what it holds ─▶ link: calls ─▶ server
//! ```
//!
//! - `wire`: what is sent and answered. `link`: calls, and what became of them. `pause`: between two tries of one.
//! - `desk`: who the worker is to the server, and what it holds. `lease`: a phase that it holds.
//! - `claims`: from free slots to flights. `flight`: a job on its way. `heartbeat`: what keeps all of it.
//! - `session`: from start to exit code.
//!
//! Invariants: a lease is named in every heartbeat from its claim until its last report is answered; of a lease that is
//! lost nothing is said, and its child is killed; what is unsure is said again until it is answered.

mod claims;
mod desk;
mod flight;
mod heartbeat;
mod lease;
mod link;
mod pause;
mod session;
mod wire;

pub(super) use session::run;
