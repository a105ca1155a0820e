//! What is packaged names commands and options that there are: the programs themselves are not here to be asked.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::process::Command;

use rig::Program;

const UNIT: &str = include_str!("../../../packaging/stepwell.service");
const WORKER_UNIT: &str = include_str!("../../../packaging/stepwell-worker.service");
const DOCKERFILE: &str = include_str!("../../../packaging/Dockerfile");

fn serve_knows(words: &str) {
    knows("serve", words);
}

/// The options of a command among these words must be options of it.
fn knows(command: &str, words: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_stepwell")).args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let options: Vec<&str> =
        words.split([' ', '"', ',', ']']).filter(|word| word.starts_with("--")).collect();
    assert!(!options.is_empty(), "{words}");
    for option in options {
        assert!(help.contains(option), "{option} of {words}");
    }
}

#[test]
fn the_service_and_the_image_say_what_the_server_understands() {
    let start = UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(start.starts_with("/usr/bin/stepwell serve "), "{start}");
    serve_knows(start);
    let start = WORKER_UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert!(start.starts_with("/usr/bin/stepwell worker "), "{start}");
    knows("worker", start);
    let command = DOCKERFILE.lines().find(|line| line.starts_with("CMD [")).unwrap();
    assert!(command.contains("\"serve\""), "{command}");
    serve_knows(command);
}

#[test]
fn a_health_check_needs_no_token_and_tells_a_server_that_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let program = Program::start_at(place.path(), "0.0.0.0:0", &["--behind-proxy"]);
    let server = format!("http://0.0.0.0:{}", program.address.port());
    let check = || {
        let arguments = ["doctor", "--ready", "--server", &server];
        Command::new(env!("CARGO_BIN_EXE_stepwell")).args(arguments).output().unwrap().status.code()
    };
    assert!(DOCKERFILE.contains(r#""doctor", "--ready", "--server", "http://0.0.0.0:"#));
    assert_eq!(check(), Some(0));
    assert_eq!(program.end().0, Some(0));
    assert_eq!(check(), Some(6));
}
