//! One file a resource. `table` has them all, each with what it takes.

mod aspects;
mod batch;
mod bulk;
mod claims;
mod create;
mod deliveries;
mod events;
mod export;
mod health;
mod jobs;
mod kinds;
mod list;
mod metrics;
mod once;
mod queues;
mod stats;
mod steer;
mod system;
mod table;
mod tokens;
mod unique;
mod webhooks;
mod workers;

pub(crate) use table::table;
