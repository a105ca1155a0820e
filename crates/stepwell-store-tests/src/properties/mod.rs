//! Random operations, on two stores at once.
//!
//! - [`operation`]: what can be done, and how it is drawn. Everything is small, so that operations meet.
//! - [`stage`]: plays a sequence on a store and on the model beside it. Each answer must be the same, and every so
//!   often everything that can be read, with SQL too; the invariants are checked on the model after every operation.

pub mod operation;
pub mod stage;
