//! `cargo xtask tidy`: the style as a test.
//!
//! A rule is a file with a function from a [`file::File`] to its faults, listed in [`rule`]. What a rule must let
//! pass all the same stands in [`exception`] with its reason, and an entry that is no longer needed is itself a
//! fault, so the list can only shrink.
//!
//! | file | rule |
//! |---|---|
//! | `layers` | which crate may depend on which |
//! | `clock`, `entropy` | time and randomness come through one door each |
//! | `statements` | SQL lives in `.sql` files |
//! | `unwraps`, `unfinished`, `sleeps` | calls that do not belong where they are |
//! | `contents`, `naming`, `width` | how files look |
//! | `places` | no path of somebody's machine |
//! | `migrations` | a migration never changes once it is listed |
//! | `release` | nothing is published without the verify job |

mod clock;
mod contents;
mod entropy;
mod exception;
mod fault;
mod file;
mod layers;
mod migrations;
mod naming;
mod places;
mod release;
mod rule;
mod run;
mod sleeps;
mod source;
mod statements;
mod tree;
mod unfinished;
mod unwraps;
mod width;

pub(crate) use run::run;
