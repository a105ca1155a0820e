//! `stepwell bench` counts what it did, and leaves nothing of it: the real binary, on stores and on a server.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

mod serving;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
};

use serde_json::Value;
use serving::{Serving, ended, stepwell};
use stepwell_postgres_rig::Database;

const SMALL: [&str; 4] = ["bench", "--json", "--jobs", "60"];

/// Measures, and looks whether it counted right.
fn measured(place: &Path, arguments: &[&str]) -> Value {
    let (code, said, told) = ended(place, &[&SMALL, arguments].concat());
    assert_eq!(code, 0, "{told}");
    let found: Value = serde_json::from_str(&said).unwrap();
    let counted = &found["verified"];
    for name in ["stored", "completed", "worked"] {
        assert_eq!(counted[name], 120, "{found}");
    }
    for stage in ["enqueue", "work"] {
        assert!(found[stage]["perSecond"].as_f64().unwrap() > 0.0, "{found}");
    }
    let (half, most) = (&found["begin"]["p50Us"], &found["begin"]["p99Us"]);
    assert!(half.as_u64().unwrap() > 0 && half.as_u64() <= most.as_u64(), "{found}");
    found
}

fn names(place: &Path) -> Vec<String> {
    let names = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Begins a measurement that does not end, and answers with what it says first.
fn begun(place: &Path, arguments: &[&str]) -> (std::process::Child, String) {
    let mut child = stepwell(place, &[&["bench", "--jobs", "1000000"], arguments].concat()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn interrupt(mut child: std::process::Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn beside_a_file_it_leaves_nothing_also_when_it_is_interrupted() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let store = ["--store", "sqlite:app.db"];
    let found = measured(place, &store);
    assert!(found["store"] == "sqlite" && found["durability"] == "synchronous=FULL", "{found}");
    assert!(names(place).is_empty(), "the store itself is not even made: {:?}", names(place));
    let (child, told) = begun(place, &store);
    assert!(told.contains(".stepwell-bench-"), "{told}");
    interrupt(child);
    assert!(names(place).is_empty(), "{:?}", names(place));
    let (code, _, told) = ended(place, &["bench", "--store", "sqlite:none/app.db"]);
    assert!(code == 1 && told.contains("make the directory"), "{told}");
}

#[test]
fn beside_a_database_it_leaves_no_schema() {
    let (place, database) = (tempfile::tempdir().unwrap(), Database::create().unwrap());
    let schemas = || database.query("SELECT nspname FROM pg_namespace ORDER BY nspname").unwrap();
    let (before, url) = (format!("{:?}", schemas()), database.url());
    let found = measured(place.path(), &["--store", &url]);
    assert_eq!(found["store"], "postgres");
    assert_eq!(format!("{:?}", schemas()), before);
    let (child, told) = begun(place.path(), &["--store", &url]);
    assert!(told.contains("stepwell_bench_"), "{told}");
    interrupt(child);
    assert_eq!(format!("{:?}", schemas()), before);
}

#[test]
fn on_a_server_it_has_a_queue_of_its_own_and_empties_it() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let serving = Serving::start(place, &["--insecure-no-auth", "--demo"]);
    let server = format!("http://{}", serving.address);
    let asked = |arguments: &[&str]| {
        let (code, said, told) = ended(place, &[arguments, &["--server", &server]].concat());
        assert_eq!(code, 0, "{told}");
        said
    };
    asked(&["enqueue", "demo.steps", "--wait"]);
    let standing = || {
        (
            asked(&["jobs", "list", "--fields", "id,queue"]),
            asked(&["queues", "list", "--fields", "name,jobs"]),
        )
    };
    let before = standing();
    measured(place, &["--server", &server]);
    assert_eq!(standing(), before);

    let follow =
        ["events", "tail", "--after", "0", "--limit", "300", "--queue", "stepwell-bench", "--fields", "type"];
    let (child, told) = begun(place, &["--server", &server]);
    assert!(told.contains("a queue of its own"), "{told}");
    asked(&follow);
    let (code, _, told) = ended(place, &[&SMALL[..], &["--server", &server]].concat());
    assert!(code == 5 && told.contains("somebody else measures"), "{told}");
    interrupt(child);
    assert_eq!(standing(), before);

    asked(&["webhooks", "create", "https://hooks.example.com/all"]);
    let (code, _, told) = ended(place, &[&SMALL[..], &["--server", &server]].concat());
    assert!(code == 5 && told.contains("hooks.example.com/all"), "{told}");
    assert_eq!(standing(), before);
    assert_eq!(serving.end("-TERM").0, Some(0));
}
