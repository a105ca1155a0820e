//! The API as a client sees it: a real server, real sockets.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

#[path = "http/access.rs"]
mod access;
#[path = "http/bulk.rs"]
mod bulk;
#[path = "http/client.rs"]
mod client;
#[path = "http/description.rs"]
mod description;
#[path = "http/guides.rs"]
mod guides;
#[path = "http/jobs.rs"]
mod jobs;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/once.rs"]
mod once;
#[path = "http/operations.rs"]
mod operations;
#[path = "http/receiver.rs"]
mod receiver;
#[path = "http/server.rs"]
mod server;
#[path = "http/stats.rs"]
mod stats;
#[path = "http/steering.rs"]
mod steering;
#[path = "http/stream.rs"]
mod stream;
#[path = "http/webhooks.rs"]
mod webhooks;
#[path = "http/workers.rs"]
mod workers;
