//! Running the kit.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code, of which each binary uses a part and in which a panic is the report"
)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// A place in this package.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The kit, for a worker in this language.
pub fn kit(arguments: &[&str], language: &str, worker: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    command.arg("conformance").args(arguments).args(["--", language]).arg(worker);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A worker without a library, which does wrong what the variable FAULT says.
pub fn bare_worker() -> PathBuf {
    here("tests/conformance/bare_worker.py")
}

/// What was found, by rule.
pub fn found(output: &Output) -> Vec<Value> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}
