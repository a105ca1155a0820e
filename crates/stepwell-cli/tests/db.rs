//! `stepwell db` on a store that is in use: the real binary, a real file.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Output},
};

use rig::Program;
use serde_json::Value;

fn stepwell(place: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    for name in ["STEPWELL_SERVER", "STEPWELL_STORE", "STEPWELL_TOKEN", "STEPWELL_TOKEN_FILE"] {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.args(arguments).current_dir(place).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

/// What must be done, and says this.
fn done(place: &Path, arguments: &[&str]) -> String {
    let (code, said, told) = stepwell(place, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}{told}");
    said
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_backup_of_a_store_in_use_is_whole_and_goes_on_where_that_stood() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let program = Program::start(place, &["--insecure-no-auth", "--demo"]);
    let server = program.url("");
    let asked = |arguments: &[&str]| done(place, &[arguments, &["--server", &server]].concat());
    let ended = asked(&["enqueue", "demo.steps", "--wait"]);
    // It is in the middle of its first phase while the store is copied.
    let running = asked(&["enqueue", "demo.steps", r#"{"pauseMs":600000}"#]);
    asked(&[
        "events",
        "tail",
        "--after",
        "0",
        "--limit",
        "1",
        "--type",
        "job:phase:started",
        "--job",
        running.trim(),
    ]);

    done(place, &["db", "check", "--store", "sqlite:app.db"]);
    done(place, &["db", "backup", "backup.db", "--store", "sqlite:app.db"]);
    let (code, _, told) = stepwell(place, &["db", "backup", "backup.db", "--store", "sqlite:app.db"]);
    assert!(code == 1 && told.contains("exists"), "{told}");
    // What comes after the backup is not in it.
    let later = asked(&["enqueue", "demo.steps", "--wait"]);
    let checked = done(place, &["db", "check", "--store", "sqlite:backup.db", "--json"]);
    assert_eq!(json(&checked)["faults"], Value::Array(Vec::new()));
    let version = json(&version_of(&program));
    program.kill();

    fs::create_dir(place.join("new")).unwrap();
    done(place, &["db", "restore", "backup.db", "--store", "sqlite:new/app.db"]);
    let (code, _, told) = stepwell(place, &["db", "restore", "backup.db", "--store", "sqlite:new/app.db"]);
    assert!(code == 1 && told.contains("exists"), "{told}");
    let stored =
        |arguments: &[&str]| stepwell(place, &[arguments, &["--store", "sqlite:new/app.db"]].concat());
    let (code, job, _) = stored(&["jobs", "get", ended.trim(), "--json"]);
    assert_eq!((code, &json(&job)["state"]), (0, &"completed".into()));
    assert_eq!(stored(&["jobs", "get", later.trim()]).0, 3);
    // What ran has been given back, and counts as interrupted.
    let (_, job, _) = stored(&["jobs", "get", running.trim(), "--json"]);
    let job = json(&job);
    assert_eq!((&job["state"], &job["phases"][0]["interrupted"]), (&"pending".into(), &true.into()), "{job}");
    let restored = Program::start(&place.join("new"), &["--insecure-no-auth"]);
    let other = json(&version_of(&restored));
    assert_ne!(version["generation"], other["generation"], "it is another log");
    assert_eq!(restored.end().0, Some(0));
}

/// What the server says of itself.
fn version_of(program: &Program) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = rig::Client::new(program.address, "");
    runtime.block_on(client.get("/api/v1/version")).unwrap().body
}

#[test]
fn what_is_old_goes_and_its_room_too_while_the_server_works() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let program = Program::start(place, &["--insecure-no-auth", "--demo"]);
    let server = program.url("");
    let asked = |arguments: &[&str]| done(place, &[arguments, &["--server", &server]].concat());
    let payload = format!(r#"{{"fails":true,"pauseMs":0{}}}"#, " ".repeat(900_000));
    fs::write(place.join("payload.json"), payload).unwrap();
    for _ in 0..4 {
        let (code, ..) =
            stepwell(place, &["enqueue", "demo.steps", "@payload.json", "--wait", "--server", &server]);
        assert_eq!(code, 10);
    }
    let (code, _, told) = stepwell(place, &["db", "prune", "--keep", "0s", "--store", "sqlite:app.db"]);
    assert!(code == 2 && told.contains("--yes"), "{told}");
    done(place, &["db", "prune", "--keep", "0s", "--keep-failed", "--yes", "--store", "sqlite:app.db"]);
    assert_eq!(asked(&["jobs", "list", "--state", "failed"]).lines().count(), 4);
    let pruned = done(place, &["db", "prune", "--keep", "0s", "--yes", "--store", "sqlite:app.db", "--json"]);
    assert_eq!(json(&pruned)["jobs"], 4);
    assert_eq!(asked(&["jobs", "list"]), "");
    let sizes = json(&done(place, &["db", "vacuum", "--store", "sqlite:app.db", "--json"]));
    let size = |name: &str| sizes[name].as_u64().unwrap();
    assert!(size("bytesAfter") + 2_000_000 < size("bytesBefore"), "{sizes}");
    asked(&["enqueue", "demo.steps", "--wait"]);
    done(place, &["db", "check", "--store", "sqlite:app.db"]);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn damage_is_found() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    done(place, &["tokens", "create", "me", "--admin", "--store", "sqlite:app.db"]);
    for n in 0..200 {
        let payload = format!("[{n}, {:?}]", "x".repeat(400));
        done(place, &["enqueue", "other.kind", &payload, "--store", "sqlite:app.db"]);
        if n > 20 && fs::metadata(place.join("app.db")).unwrap().len() > 100_000 {
            break;
        }
    }
    let (code, _, told) = stepwell(place, &["db", "check", "--store", "sqlite:none.db"]);
    assert!(code == 3 && told.contains("no such file"), "{told}");
    let mut file = fs::OpenOptions::new().write(true).open(place.join("app.db")).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 50_000, "{length}");
    file.seek(SeekFrom::Start(length / 2 / 4096 * 4096)).unwrap();
    file.write_all(&[0xA5; 4096]).unwrap();
    drop(file);
    let (code, said, told) = stepwell(place, &["db", "check", "--store", "sqlite:app.db"]);
    assert!(code == 1 && (said + &told).contains("damaged"), "{told}");
    let (code, _, told) = stepwell(place, &["db", "restore", "app.db", "--store", "sqlite:new.db"]);
    assert!(code == 1 && told.contains("damaged"), "{told}");
    assert!(!place.join("new.db").exists() && !place.join("new.db.part").exists());
    fs::write(place.join("other.db"), "this is no database, and longer than its header would be").unwrap();
    let (code, _, told) = stepwell(place, &["db", "check", "--store", "sqlite:other.db"]);
    assert!(code == 1 && told.contains("not an SQLite database"), "{told}");
}
