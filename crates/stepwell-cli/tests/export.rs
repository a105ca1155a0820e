//! `stepwell jobs export`: whole jobs, however large, and an export that goes on where it was cut off.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

mod serving;

use std::{path::Path, process::Output};

use serde_json::{Value, json};
use serving::{Serving, body, stepwell};

/// Phases whose results do not fit on one page together.
const PHASES: usize = 6;
const RESULT_BYTES: usize = 900_000;

fn export(place: &Path, serving: &Serving, arguments: &[&str]) -> Output {
    let url = serving.url();
    let all = [&["jobs", "export", "--server", &url], arguments].concat();
    stepwell(place, &all).output().unwrap()
}
fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn results_that_do_not_fit_on_a_page_are_in_the_export_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let serving = Serving::start(place.path(), &["--insecure-no-auth"]);
    let post = |path: &str, asked: Value| body(&serving.ask("POST", path, "", &asked.to_string()));
    let phases: Vec<Value> = (0..PHASES).map(|n| json!({ "name": format!("p{n}") })).collect();
    let kinds = json!([{ "kind": "large", "phases": phases }]);
    let worker = post("/api/v1/workers", json!({ "name": "w", "queues": ["default"], "kinds": kinds }));
    let job = post("/api/v1/jobs", json!({ "kind": "large", "payload": { "z": 1 } }));
    let asked = json!({ "workerId": worker["id"], "waitMs": 30_000 });
    let mut claim = post("/api/v1/claims", asked)["claims"][0].clone();
    for n in 0..PHASES {
        let path = format!("/api/v1/claims/{}/complete", claim["lease"].as_str().unwrap());
        let output = format!("{n}").repeat(RESULT_BYTES);
        claim = post(&path, json!({ "output": output, "claimNext": true }))["next"].clone();
    }
    let page = body(&serving.ask("GET", "/api/v1/jobs/export", "", ""));
    let left_out = page["data"][0]["resultsLeftOut"].as_array().unwrap().len();
    assert!((1..PHASES).contains(&left_out), "{left_out}");

    let exported = lines(&export(place.path(), &serving, &[]));
    let [exported] = &exported[..] else { panic!("{} jobs", exported.len()) };
    assert_eq!((&exported["id"], &exported["state"]), (&job["id"], &"completed".into()));
    assert_eq!((&exported["payload"], exported.get("resultsLeftOut")), (&json!({ "z": 1 }), None));
    for n in 0..PHASES {
        let result = exported["results"][format!("p{n}")].as_str().unwrap();
        assert!(result.len() == RESULT_BYTES && result.starts_with(&n.to_string()), "{n}");
    }
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn an_export_goes_on_where_it_was_cut_off() {
    let place = tempfile::tempdir().unwrap();
    let serving = Serving::start(place.path(), &["--insecure-no-auth"]);
    let new: Vec<Value> = (0..120).map(|n| json!({ "kind": "k", "payload": n })).collect();
    let made = serving.ask("POST", "/api/v1/jobs/batch", "", &json!({ "jobs": new }).to_string());
    assert!(made.starts_with("HTTP/1.1 200 ") || made.starts_with("HTTP/1.1 201 "), "{made}");
    let all = lines(&export(place.path(), &serving, &["--oldest-first"]));
    assert_eq!(all.len(), 120);
    let first = export(place.path(), &serving, &["--oldest-first", "--limit", "70"]);
    let told = String::from_utf8_lossy(&first.stderr).into_owned();
    let cursor = told.split("--cursor ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let rest = lines(&export(place.path(), &serving, &["--oldest-first", "--cursor", cursor]));
    assert_eq!([lines(&first), rest].concat(), all);
    let told = export(place.path(), &serving, &["--oldest-first"]).stderr;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("jobs written: 120") && !told.contains("--cursor"), "{told}");
    assert_eq!(serving.end("-TERM").0, Some(0));
}
