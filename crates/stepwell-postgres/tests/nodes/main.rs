//! Several nodes on one database, and others who stand in their way.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod alive;
mod batch;
mod earlier;
mod inbox;
mod limits;
mod log;
mod support;
