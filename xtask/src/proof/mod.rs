//! `cargo xtask proof`: the proofs that take longer than a change can wait for, at a size of one's choice.
//!
//! A proof is a test target of its crate. It reads its size from the environment and prints its seed, so that a
//! failing run can be repeated with `--seed`. Those that need more than Rust (Python, a browser) say what is missing.

mod list;
mod request;
mod run;

pub(crate) use list::APART;
pub(crate) use request::ARGUMENTS;
pub(crate) use run::run;
