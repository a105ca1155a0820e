//! The TypeScript client and its worker, by their own tests, against the real server.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::process::Command;

use rig::{Program, TypeScript};

#[test]
fn the_typescript_client_and_worker_pass_their_tests() {
    let client = TypeScript::built();
    let place = tempfile::tempdir().unwrap();
    let program = Program::start(place.path(), &["--insecure-no-auth", "--demo"]);
    let mut npm = Command::new("npm");
    npm.arg("test").env("STEPWELL_SERVER", program.url("")).env_remove("STEPWELL_TOKEN");
    let said = client.run(&mut npm);
    for counted in ["pass 35", "fail 0", "cancelled 0", "skipped 0", "todo 0"] {
        assert!(said.lines().any(|line| line.ends_with(counted)), "{counted} is missing in {said}");
    }
    assert_eq!(program.end().0, Some(0));
}
