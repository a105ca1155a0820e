//! The one suite that every Stepwell store must pass.
//!
//! # Layout
//! - [`fixture`]: what a store must provide to be tested.
//! - [`world`]: a store under test, and short words for what the cases do with it.
//! - [`cases`](mod@cases): the cases, by topic; [`suite!`] makes a test of each.
//! - [`invariants`]: what must hold whatever was done, as far as a store shows it.
//! - [`properties`]: random operations, on two stores at once.
//! - [`views`]: what the views that people query must show.
//! - [`memory`], [`sqlite`], [`postgres`]: the stores as fixtures.
//!
//! A store joins with one file under `tests/`: a [`fixture::Fixture`], and [`suite!`].
#![expect(clippy::missing_panics_doc, reason = "a test panics when it fails")]

pub mod cases;
pub mod fixture;
pub mod invariants;
pub mod memory;
pub mod postgres;
mod prelude;
pub mod properties;
pub mod sqlite;
mod suite;
pub mod views;
pub mod world;

pub use suite::run;
