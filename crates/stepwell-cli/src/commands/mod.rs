//! The commands: one file or directory each.

pub(crate) mod bench;
pub(crate) mod bulk;
pub(crate) mod completion;
pub(crate) mod config;
#[cfg(unix)]
pub(crate) mod conformance;
pub(crate) mod copy;
pub(crate) mod db;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod enqueue;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod man;
pub(crate) mod openapi;
pub(crate) mod queues;
pub(crate) mod serve;
pub(crate) mod tokens;
pub(crate) mod top;
pub(crate) mod version;
pub(crate) mod webhooks;
pub(crate) mod worker;
pub(crate) mod workers;
