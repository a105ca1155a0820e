//! The conformance kit: workers that keep the rules pass. That each broken rule is found is a proof of its own.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

#[path = "conformance/kit.rs"]
mod kit;
mod rig;

use std::{path::Path, process::Command};

use kit::{bare_worker, found, here, kit};
use rig::TypeScript;
use serde_json::Value;

/// The worker keeps every rule.
fn passes(language: &str, worker: &Path) {
    let output = kit(&["--json", "--lease", "4s", "--patience", "60s"], language, worker).output().unwrap();
    let (found, told) = (found(&output), String::from_utf8_lossy(&output.stderr));
    let broken: Vec<&Value> = found.iter().filter(|verdict| verdict["status"] != "kept").collect();
    assert!(broken.is_empty() && output.status.success(), "{broken:#?}\n{told}");
    assert_eq!(found.len(), 28, "every rule was looked at");
}

#[test]
fn the_python_client_keeps_the_rules() {
    passes("python3", &here("../../clients/python/conformance_worker.py"));
}

#[test]
fn the_asyncio_client_keeps_the_rules() {
    passes("python3", &here("../../clients/python/conformance_aio_worker.py"));
}

#[test]
fn the_typescript_client_keeps_the_rules() {
    passes("node", &TypeScript::built().place.join("conformance-worker.js"));
}

#[test]
fn a_worker_without_a_library_keeps_the_rules() {
    passes("python3", &bare_worker());
}

#[test]
fn what_cannot_be_tried_is_told() {
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stepwell")).args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run(&["conformance", "--only", "W1", "--", "/nowhere/worker"]);
    assert!(code == 1 && told.contains("failed to start /nowhere/worker: No such file"), "{told}");
    let (code, told) = run(&["conformance"]);
    assert!(code == 2 && told.contains("COMMAND"), "{told}");
    let (code, told) = run(&["conformance", "--only", "W99", "--", "true"]);
    assert!(code == 2 && told.contains("W1 to W28"), "{told}");
    let (code, told) = run(&["conformance", "--lease", "0s", "--", "true"]);
    assert!(code == 2 && told.contains("1s to 5m"), "{told}");
}
