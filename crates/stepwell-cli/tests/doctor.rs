//! `stepwell doctor` finds what was planted, and says what to do about it: the real binary, on servers and stores.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

mod serving;

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use rusqlite::Connection;
use serde_json::Value;
use serving::{Serving, ended, stepwell};
use stepwell_postgres_rig::Database;

const STORE: [&str; 2] = ["--store", "sqlite:app.db"];

/// What it exits with, and what it finds.
fn doctor(place: &Path, asked: &[&str]) -> (i32, Vec<Value>) {
    let (code, said, told) = ended(place, &[&["doctor", "--json"], asked].concat());
    (code, serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{told}")))
}

/// The one finding of a check, which says what it must, and what to do.
fn found<'f>(findings: &'f [Value], check: &str, status: &str, words: &str) -> &'f str {
    let of_check: Vec<&Value> = findings.iter().filter(|finding| finding["check"] == check).collect();
    let [one] = of_check.as_slice() else { panic!("{check}: {findings:?}") };
    assert!(one["status"] == status && one["text"].as_str().unwrap().contains(words), "{one}");
    one["fix"].as_str().unwrap_or_default()
}

fn made(place: &Path) {
    assert_eq!(ended(place, &[&["tokens", "create", "me", "--admin"], &STORE[..]].concat()).0, 0);
}

/// Begins a job that runs until it is ended, and waits until it runs.
fn begin_endless(place: &Path, asked: &[&str]) {
    let endless = ["enqueue", "demo.steps", r#"{"pauseMs":600000}"#];
    assert_eq!(ended(place, &[&endless, asked].concat()).0, 0);
    let begun = ["events", "tail", "--after", "0", "--limit", "1", "--type", "job:phase:started"];
    assert_eq!(ended(place, &[&begun, asked].concat()).0, 0);
}

#[test]
fn a_store_that_is_as_it_should_be_has_no_problem() {
    let place = tempfile::tempdir().unwrap();
    made(place.path());
    let (code, findings) = doctor(place.path(), &STORE);
    let checks: Vec<&str> = findings.iter().map(|one| one["check"].as_str().unwrap()).collect();
    assert_eq!(checks, ["store", "schema", "sqlite", "disk", "clock", "leases", "queues", "webhooks"]);
    assert_eq!(code, 0, "{findings:?}");
}

#[test]
fn a_bundle_for_a_helper_has_what_was_found_and_no_secret() {
    let place = tempfile::tempdir().unwrap();
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--webhook-allow", "127.0.0.1"]);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let hook =
        format!(r#"{{"url":"http://127.0.0.1:9/way-in","secret":"{secret}","headers":{{"x-key":"keyed"}}}}"#);
    assert!(serving.ask("POST", "/api/v1/webhooks", "", &hook).starts_with("HTTP/1.1 201 "));
    serving.ask("POST", "/api/v1/jobs", "", r#"{"kind":"k","payload":{"of":"a customer"}}"#);
    let url = serving.url();
    let all = ["doctor", "--server", &url, "--bundle", "bundle"];
    assert_eq!(stepwell(place.path(), &all).output().unwrap().status.code(), Some(1), "nobody works the job");
    let mut files = Vec::new();
    for file in std::fs::read_dir(place.path().join("bundle")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        serde_json::from_str::<Value>(&text).unwrap();
        for secret in [secret, "way-in", "keyed", "a customer"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        files.push((file.file_name().into_string().unwrap(), text));
    }
    let text = |name: &str| &files.iter().find(|(file, _)| file == name).unwrap().1;
    assert!(text("findings.json").contains("no live worker"), "{files:?}");
    assert!(text("webhooks.json").contains("http://127.0.0.1:9/…"), "{files:?}");
    assert!(text("settings.json").contains("serve.listen") && text("health.json").contains("machineAt"));
    let again = stepwell(place.path(), &all).output().unwrap();
    let told = String::from_utf8_lossy(&again.stderr);
    assert!(told.contains("it is there already"), "{told}");
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn a_schema_that_is_behind_is_told_and_left_as_it_is_and_one_that_is_ahead_is_not_opened() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    made(place);
    let file = Connection::open(place.join("app.db")).unwrap();
    let versions =
        || file.query_row("SELECT max(version) FROM sw_migration", [], |row| row.get::<_, u32>(0)).unwrap();
    let known = versions();
    file.execute("INSERT INTO sw_migration VALUES (?1, 'next', 'x', 0)", [known + 1]).unwrap();
    let (code, findings) = doctor(place, &STORE);
    let fix = found(&findings, "schema", "problem", &format!("version {}", known + 1));
    assert!(code == 1 && fix.contains("later one"), "{fix}");
    let (_, status, told) = ended(place, &[&["db", "status"], &STORE[..]].concat());
    assert!(
        status.contains(&format!("schema\t{} of {known}", known + 1)) && told.contains("newer"),
        "{status}{told}"
    );

    file.execute("DELETE FROM sw_migration WHERE version >= ?1", [known]).unwrap();
    let (code, findings) = doctor(place, &STORE);
    let fix = found(
        &findings,
        "schema",
        "problem",
        &format!("version {}, and this program has {known}", known - 1),
    );
    assert!(code == 1 && fix.contains("stepwell db migrate"), "{fix}");
    assert_eq!(versions(), known - 1);
    fs::write(place.join("other.db"), "").unwrap();
    let (code, findings) = doctor(place, &["--store", "sqlite:other.db"]);
    found(&findings, "schema", "problem", "no store of Stepwell's");
    assert_eq!(code, 1);
    assert_eq!(ended(place, &["doctor", "--store", "sqlite:none.db"]).0, 3);
}

#[test]
fn a_log_that_nobody_moves_into_the_file_is_told_by_the_server() {
    let place = tempfile::tempdir().unwrap();
    let serving = Serving::start(place.path(), &["--insecure-no-auth"]);
    let server = format!("http://{}", serving.address);
    let log = OpenOptions::new().write(true).open(place.path().join("app.db-wal")).unwrap();
    log.set_len(300 << 20).unwrap();
    let (code, findings) = doctor(place.path(), &["--server", &server]);
    let fix = found(&findings, "sqlite", "warning", "300.0 MiB in the log");
    assert!(code == 0 && fix.contains("who reads"), "{fix}");
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn the_jobs_of_a_process_that_hangs_wait_for_somebody_to_take_them() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let mut serving = Serving::start(place, &["--insecure-no-auth", "--demo"]);
    begin_endless(place, &["--server", &format!("http://{}", serving.address)]);
    // It hangs, and its last sign of life is long ago.
    serving.signal("-STOP");
    let beats = File::options().write(true).open(place.join("app.db-live")).unwrap();
    beats.write_all_at(&[0; 32], 0).unwrap();
    let (code, findings) = doctor(place, &STORE);
    let fix = found(&findings, "leases", "problem", "owns 1 job");
    assert!(code == 1 && fix.contains("start a worker"), "{fix}");
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();

    // Now it is gone, and whoever opens the store takes them: nothing waits for a lease, but for a worker.
    let (code, findings) = doctor(place, &STORE);
    found(&findings, "leases", "ok", "none");
    found(&findings, "recovery", "warning", "unclean");
    let fix = found(&findings, "workers", "problem", "no live worker");
    assert!(code == 1 && fix.contains("start a worker"), "{fix}");
}

#[test]
fn on_postgres_expired_leases_and_a_newer_release_are_told() {
    let (place, database) = (tempfile::tempdir().unwrap(), Database::create().unwrap());
    let (place, url) = (place.path(), database.url());
    let store = ["--store", url.as_str()];
    let (code, findings) = doctor(place, &store);
    found(&findings, "schema", "problem", "no store of Stepwell's");
    assert_eq!(code, 1);

    let mut serving = Serving::start_on(&url, place, &["--insecure-no-auth", "--demo"]);
    begin_endless(place, &["--server", &format!("http://{}", serving.address)]);
    let (code, findings) = doctor(place, &store);
    found(&findings, "leases", "ok", "none");
    assert_eq!(code, 0, "{findings:?}");
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    database.query("UPDATE stepwell.session SET expires_at = expires_at - 60000000").unwrap();
    let (code, findings) = doctor(place, &store);
    let fix = found(&findings, "leases", "problem", "owns 1 job");
    assert!(code == 1 && fix.contains("start a worker"), "{fix}");

    let next = "INSERT INTO stepwell.migration SELECT max(version) + 1, 'next', 'x', true, 0 FROM stepwell.migration";
    database.query(next).unwrap();
    let (_, findings) = doctor(place, &store);
    let fix = found(&findings, "schema", "warning", "knows versions up to");
    assert!(fix.contains("release of the others"), "{fix}");
    let gone = "postgres://postgres@127.0.0.1:9/jobs";
    assert_eq!(ended(place, &["doctor", "--store", gone]).0, 6);
    let (code, _, told) = ended(place, &["db", "backup", "x", "--store", &url]);
    assert!(code == 2 && told.contains("pg_dump"), "{told}");
}
