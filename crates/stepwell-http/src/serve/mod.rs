//! Connections, with their limits.

mod deadline;
mod server;

pub use server::{Limits, Server};
