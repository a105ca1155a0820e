//! The guide to the command line: its commands are run, as they stand there, by a shell.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use rig::Program;

const GUIDE: &str = include_str!("../../../docs/command-line.md");

/// What the guide has a shell do.
fn script(guide: &str) -> String {
    guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_guide_to_the_command_line() {
    let script = script(GUIDE);
    assert!(script.matches("stepwell ").count() >= 36, "{script}");
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("payload.json"), "{}").unwrap();
    let program = Program::start(place.path(), &["--insecure-no-auth", "--demo"]);
    let binaries = Path::new(env!("CARGO_BIN_EXE_stepwell")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-euxc", &script])
        .current_dir(place.path())
        .env("PATH", path)
        .env("STEPWELL_SERVER", program.url(""))
        .env_remove("STEPWELL_STORE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("job:enqueued") && said.contains("\tdeleted"), "{said}");
    let page = std::fs::read_to_string(place.path().join("man/stepwell-jobs-list.1")).unwrap();
    assert!(page.contains("newest first"), "{page}");
    assert_eq!(program.end().0, Some(0));
}
