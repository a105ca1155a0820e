//! The guide from one process to many nodes: its commands are run, as they stand there, by a shell.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(target_os = "linux")]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use stepwell_postgres_rig::Database;

const GUIDE: &str = include_str!("../../../docs/many-nodes.md");

/// What the guide has a shell do.
fn script(guide: &str) -> String {
    guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_guide_from_one_process_to_many_nodes() {
    let script = script(GUIDE);
    assert!(script.matches("stepwell ").count() >= 14, "{script}");
    let (place, database) = (tempfile::tempdir().unwrap(), Database::create().unwrap());
    let binaries = Path::new(env!("CARGO_BIN_EXE_stepwell")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    // A step that fails must not leave servers behind.
    let script = format!("trap 'test $? = 0 || kill 0' EXIT\n{script}");
    let output = Command::new("setsid")
        .args(["--wait", "sh", "-euxc", &script])
        .current_dir(place.path())
        .env("PATH", path)
        .env("STORE", database.url())
        .env("STEPWELL_LISTEN", "127.0.0.1:0")
        .env_remove("STEPWELL_STORE")
        .env_remove("STEPWELL_SERVER")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{told}");
    let hashes: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("all\t")?.split('\t').nth(1)).collect();
    assert_eq!(hashes.len(), 2, "{said}");
    assert!(place.path().join("back.db").exists() && said.contains("unsealed"), "{said}");
}
