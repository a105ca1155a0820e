//! What the tests of copies share.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "test code, in which a panic is the report")]

pub mod world;

pub use world::{Sift, Sifter, World, connect, everything, queue};
