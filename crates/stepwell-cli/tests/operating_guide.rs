//! The guide to operating: its file is written and its commands are run, as they stand there, by a shell.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use rig::{Client, Program};

const GUIDE: &str = include_str!("../../../docs/operating.md");

/// The blocks of this language.
fn blocks<'g>(guide: &'g str, language: &str) -> Vec<&'g str> {
    let fence = format!("```{language}\n");
    guide.split(&*fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_guide_to_operating() {
    let place = tempfile::tempdir().unwrap();
    // A port that was free a moment ago, in place of the one that another server of this machine may have.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let here = |text: &str| text.replace("127.0.0.1:7717", &address);
    let [config] = blocks(GUIDE, "toml")[..] else { panic!("it has one file") };
    fs::write(place.path().join("stepwell.toml"), here(config)).unwrap();
    let script = here(&blocks(GUIDE, "sh").concat());
    assert!(script.matches("stepwell ").count() >= 20, "{script}");
    let binaries = Path::new(env!("CARGO_BIN_EXE_stepwell")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    for name in ["SERVER", "STORE", "TOKEN", "TOKEN_FILE", "PROFILE", "CONFIG", "LISTEN", "LOG"] {
        command.env_remove(format!("STEPWELL_{name}"));
    }
    let output = command
        // Whatever fails, the server does not outlive it.
        .args(["-euxc", &format!("trap 'kill $! 2> /dev/null || true' EXIT\n{script}")])
        .current_dir(place.path())
        .env("PATH", path)
        .env("XDG_CONFIG_HOME", place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{told}");
    for words in
        ["serve.grace\t30s\tstepwell.toml [serve]", "ready\n", "state\tcompleted", "verified\t400 stored"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("problem\t"), "{said}");
}

/// What the guide tells to watch is what there is.
#[tokio::test]
async fn its_metrics_are_those_that_there_are() {
    let place = tempfile::tempdir().unwrap();
    let program = Program::start(place.path(), &["--insecure-no-auth"]);
    let text = Client::new(program.address, "").get("/metrics").await.unwrap().body;
    let family = |line: &str| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned);
    let known: Vec<String> = text.lines().filter_map(family).collect();
    let row = |line: &str| line.strip_prefix("| `stepwell_")?.split('`').next().map(str::to_owned);
    let told: Vec<String> = GUIDE.lines().filter_map(row).collect();
    let told: Vec<String> =
        told.iter().map(|name| format!("stepwell_{}", name.trim_end_matches("_total"))).collect();
    assert_eq!(told, known);
    assert_eq!(program.end().0, Some(0));
}
