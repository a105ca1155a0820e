//! `cargo xtask bench`: the benchmarks, which are a workspace of their own because they link other queues.

use crate::{cargo, error::Error};

/// Builds `bench/` in release mode and hands it the arguments as they are.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    let mut command = cargo::cargo(&["run", "--release", "--manifest-path", "bench/Cargo.toml", "--"])?;
    cargo::run(command.args(words))
}
