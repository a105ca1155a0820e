//! `stepwell webhooks listen`, as somebody uses it who writes a receiver.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

mod rig;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use rig::Program;
use serde_json::Value;

const LOOPBACK: &[&str] = &["--insecure-no-auth", "--demo", "--webhook-allow", "127.0.0.0/8"];

fn stepwell(program: &Program, place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    command.args(arguments).current_dir(place).env("STEPWELL_SERVER", program.url(""));
    command.env("XDG_CONFIG_HOME", place).env_remove("STEPWELL_STORE").env_remove("STEPWELL_TOKEN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command says that has ended well.
fn said(program: &Program, place: &Path, arguments: &[&str]) -> String {
    let output = stepwell(program, place, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A receiver that has told where it listens.
struct Listening {
    child: Child,
    address: String,
}

impl Listening {
    fn start(program: &Program, place: &Path, arguments: &[&str]) -> Self {
        let all = [&["webhooks", "listen"], arguments].concat();
        let mut child = stepwell(program, place, &all).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        let address = line.split("listening on ").nth(1).unwrap_or_else(|| panic!("{line:?}"));
        let address = address.split([' ', ';']).next().unwrap().to_owned();
        child.stderr = Some(told.into_inner());
        Self { child, address }
    }
    fn ended(self) -> Output {
        self.child.wait_with_output().unwrap()
    }
}

#[test]
fn what_arrives_is_verified_and_printed_and_the_endpoint_goes_away_again() {
    let place = tempfile::tempdir().unwrap();
    let program = Program::start(place.path(), LOOPBACK);
    let listening = Listening::start(&program, place.path(), &["--limit", "2"]);
    assert_eq!(said(&program, place.path(), &["webhooks", "list"]).lines().count(), 1);
    let jobs = ["{}", "{}"].map(|payload| said(&program, place.path(), &["enqueue", "demo.steps", payload]));
    let output = listening.ended();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.matches("\tjob:completed\t").count(), 2, "{printed}");
    assert_eq!(printed.matches("\tverified\t").count(), 2, "{printed}");
    for job in &jobs {
        assert!(printed.contains(job.trim()), "{printed}");
    }
    assert_eq!(said(&program, place.path(), &["webhooks", "list"]), "");
    // Both were answered before it ended.
    let states = said(&program, place.path(), &["webhooks", "deliveries", "--fields", "state"]);
    assert_eq!(states, "delivered\ndelivered\n");

    let listening = Listening::start(&program, place.path(), &["--event", "job:enqueued", "--json"]);
    said(&program, place.path(), &["enqueue", "demo.steps", "{}"]);
    let mut child = listening.child;
    let mut line = String::new();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    printed.read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&told["body"]["type"], &told["refused"]), (&"job:enqueued".into(), &Value::Null), "{told}");
    let ended = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(ended.success());
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert_eq!(said(&program, place.path(), &["webhooks", "list"]), "");
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn what_is_signed_with_another_secret_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let program = Program::start(place.path(), LOOPBACK);
    fs::write(place.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let listening =
        Listening::start(&program, place.path(), &["--secret-file", "secret", "--limit", "1", "--json"]);
    said(&program, place.path(), &["webhooks", "create", &listening.address]);
    said(&program, place.path(), &["enqueue", "demo.steps", "{}"]);
    let output = listening.ended();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["refused"], "no signature is right", "{told}");
    assert_eq!(program.end().0, Some(0));

    let output = stepwell_alone(place.path(), &["webhooks", "listen", "--secret-file", "none"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("failed to read the secret"), "{told}");
}

fn stepwell_alone(place: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    command.args(arguments).current_dir(place).env("XDG_CONFIG_HOME", place);
    command.stdin(Stdio::null()).output().unwrap()
}
