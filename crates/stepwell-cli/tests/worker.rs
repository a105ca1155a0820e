//! `stepwell worker` as a user runs it: the real binary, away from the queue that it works for.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(target_os = "linux")]

#[path = "worker/leases.rs"]
mod leases;
#[path = "worker/once.rs"]
mod once;
#[path = "worker/proxy.rs"]
mod proxy;
#[path = "worker/refused.rs"]
mod refused;
mod serving;
#[path = "worker/working.rs"]
mod working;

use std::fs;

use proxy::Proxy;
use serde_json::{Value, json};
use serving::{Serving, body, stepwell, until};
use working::{Place, Working, enqueue, finished, recorded};

/// A job of three phases, of which one checkpoints and one can be broken.
const REPORT: &str = r#"
[kinds.report]
[[kinds.report.phases]]
name = "fetch"
run = ["sh", "-c", "echo run >> fetched.log; echo '[1, 2]'"]
[[kinds.report.phases]]
name = "count"
run = ["sh", "count.sh"]
inputs = ["fetch"]
retry = { delays = ["1ms"] }
[[kinds.report.phases]]
name = "write"
run = ["python3", "write.py"]
inputs = ["fetch", "count"]
retry = { attempts = 1 }
"#;
const COUNT: &str = r#"
given=$(cat)
case "$given" in
    *'"attempt":1'*) echo '{"stepwell":"checkpoint","value":{"page":7}}'; echo not now >&2; exit 75;;
esac
case "$given" in
    *'"checkpoint":{"page":7}'*) echo 2;;
    *) echo 'no checkpoint' >&2; exit 1;;
esac"#;
const WRITE: &str = r#"
import json, os, sys
given = json.load(sys.stdin)
say = lambda command, **more: print(json.dumps({"stepwell": command, **more}), flush=True)
say("progress", done=1, total=2, note="half")
say("log", message="a line of " + os.environ["STEPWELL_KIND"])
say("complete", output={"payload": given["job"]["payload"], "outputs": given["phase"]["outputs"]})
"#;
const BROKEN: &str = "import sys\nsys.exit('the script is broken')";

fn report(script: &str) -> Place {
    Place::with(REPORT).file("count.sh", COUNT).file("write.py", script)
}

/// Runs a job into a broken phase, repairs that, and has the job go on.
fn breaks_is_repaired_and_goes_on(serving: &Serving, worker: &Place, token: &str) {
    let id = enqueue(serving, "report", &json!({ "a": 1 }), token);
    let job = finished(serving, &id, token);
    assert_eq!((&job["state"], &job["failure"]["phase"]), (&json!("failed"), &json!("write")), "{job}");
    assert!(job["failure"]["message"].as_str().unwrap().contains("the script is broken"), "{job}");
    assert_eq!(job["phases"][1]["tries"], 2, "{job}");
    fs::write(worker.path().join("write.py"), WRITE).unwrap();
    let retried = serving.ask("POST", &format!("/api/v1/jobs/{id}/retry"), token, "{}");
    assert!(retried.starts_with("HTTP/1.1 200 "), "{retried}");
    let job = finished(serving, &id, token);
    let expected = json!({ "payload": { "a": 1 }, "outputs": { "fetch": [1, 2], "count": 2 } });
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &expected), "{job}");
    let fetched = fs::read_to_string(worker.path().join("fetched.log")).unwrap();
    assert_eq!(fetched, "run\n", "it went on behind that phase");
    let log = body(&serving.ask("GET", &format!("/api/v1/jobs/{id}/logs"), token, ""));
    assert!(log.to_string().contains("a line of report"), "{log}");
}

#[test]
fn a_job_breaks_at_a_worker_elsewhere_and_goes_on_once_that_is_repaired() {
    let (server, worker) = (Place::new(), report(BROKEN));
    let token = |arguments: &[&str]| {
        let all = [&["tokens", "create", "t", "--store", "sqlite:app.db"], arguments].concat();
        let output = stepwell(server.path(), &all).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let admin = token(&["--admin"]);
    let limited = token(&["--scope", "workers", "--queue", "default", "--kind", "report"]);
    let serving = Serving::start(server.path(), &[]);
    fs::write(worker.path().join("token"), limited).unwrap();
    let working = Working::start(&worker, &["--server", &serving.url(), "--token-file", "token"]);
    assert!(working.said.starts_with("working report of ./stepwell.toml") || working.said.contains("report"));
    breaks_is_repaired_and_goes_on(&serving, &worker, &admin);
    let (code, told) = working.end("-TERM");
    assert_eq!(code, Some(0), "{told}");
    assert!(elsewhere(&serving, &admin).is_empty(), "it has said that it ends");
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn the_same_on_a_store() {
    let (server, worker) = (Place::new(), report(BROKEN));
    let serving = Serving::start(server.path(), &["--insecure-no-auth"]);
    let store = format!("sqlite:{}", server.path().join("app.db").display());
    let working = Working::start(&worker, &["--store", &store]);
    breaks_is_repaired_and_goes_on(&serving, &worker, "");
    assert_eq!(working.end("-TERM").0, Some(0));
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn the_same_on_postgres() {
    let (server, worker) = (Place::new(), report(BROKEN));
    let database = stepwell_postgres_rig::Database::create().unwrap();
    let serving = Serving::start_on(&database.url(), server.path(), &["--insecure-no-auth"]);
    let working = Working::start(&worker, &["--store", &database.url()]);
    breaks_is_repaired_and_goes_on(&serving, &worker, "");
    assert_eq!(working.end("-TERM").0, Some(0));
    assert_eq!(serving.end("-TERM").0, Some(0));
}

/// The workers that speak HTTP.
fn elsewhere(serving: &Serving, token: &str) -> Vec<Value> {
    let workers = body(&serving.ask("GET", "/api/v1/workers", token, ""));
    let of_http = workers["data"].as_array().unwrap().iter().filter(|worker| worker["type"] == "http");
    of_http.cloned().collect()
}
fn is_quiet(serving: &Serving) -> bool {
    elsewhere(serving, "").iter().any(|worker| worker["state"] == "quiet")
}

/// A phase that says that it runs, and ends when a file is there.
const PATIENT: &str = r#"
[[kinds.k.phases]]
name = "p"
run = ["sh", "-c", """
trap 'echo told >> told.log; exit 1' TERM
echo $$ > child.pid
echo "$STEPWELL_JOB_ID" >> runs.log
echo '{"stepwell":"progress","done":1,"total":2}'
until [ -e go ]; do sleep 0.05; done
echo '"done"'
"""]
"#;

fn runs(serving: &Serving, id: &str) {
    let path = format!("/api/v1/jobs/{id}");
    until("it runs", || body(&serving.ask("GET", &path, "", ""))["progress"]["done"] == 1);
}

#[test]
fn a_cancelled_job_stops_its_child_and_a_worker_that_ends_waits_or_gives_it_back() {
    let (server, worker) = (Place::new(), Place::with(PATIENT));
    let serving = Serving::start(server.path(), &["--insecure-no-auth"]);
    let working = Working::start(&worker, &["--server", &serving.url(), "--grace", "60s"]);
    let id = enqueue(&serving, "k", &json!({}), "");
    runs(&serving, &id);
    serving.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), "", "{}");
    assert_eq!(finished(&serving, &id, "")["state"], "cancelled");
    assert_eq!(fs::read_to_string(worker.path().join("told.log")).unwrap(), "told\n");

    // What can end within the grace does, and is recorded.
    let id = enqueue(&serving, "k", &json!({}), "");
    runs(&serving, &id);
    working.signal("-TERM");
    until("it is quiet", || is_quiet(&serving));
    fs::write(worker.path().join("go"), "").unwrap();
    let job = finished(&serving, &id, "");
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!("done")), "{job}");
    let (code, told) = working.ended();
    assert_eq!((code, elsewhere(&serving, "").len()), (Some(0), 0), "{told}");

    // What cannot is stopped and given back, and costs no try.
    fs::remove_file(worker.path().join("go")).unwrap();
    let working = Working::start(&worker, &["--server", &serving.url(), "--grace", "0s"]);
    let id = enqueue(&serving, "k", &json!({}), "");
    runs(&serving, &id);
    let (code, told) = working.end("-TERM");
    assert!(code == Some(1) && told.contains("goes on elsewhere"), "{code:?} {told}");
    assert!(!worker.child_lives("child.pid"));
    let job = body(&serving.ask("GET", &format!("/api/v1/jobs/{id}"), "", ""));
    assert_eq!((&job["state"], &job["phases"][0]["error"]), (&json!("pending"), &Value::Null), "{job}");

    // So is everything at the second signal.
    let working = Working::start(&worker, &["--server", &serving.url(), "--grace", "60s"]);
    until("it runs anew", || {
        fs::read_to_string(worker.path().join("runs.log")).unwrap().lines().count() == 4
    });
    working.signal("-INT");
    until("it is quiet", || is_quiet(&serving));
    let (code, told) = working.end("-INT");
    assert_eq!(code, Some(1), "{told}");
    assert!(!worker.child_lives("child.pid"));
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn operators_quiet_and_end_it() {
    let (server, worker) = (Place::new(), Place::with(PATIENT));
    let serving = Serving::start(server.path(), &["--insecure-no-auth"]);
    let working = Working::start(&worker, &["--server", &serving.url(), "--name", "w1"]);
    let known = elsewhere(&serving, "").pop().unwrap();
    assert_eq!(known["name"], "w1");
    let path = format!("/api/v1/workers/{}", known["id"].as_str().unwrap());
    let id = enqueue(&serving, "k", &json!({}), "");
    runs(&serving, &id);
    serving.ask("POST", &format!("{path}/quiet"), "", "");
    serving.ask("POST", &format!("{path}/terminate"), "", "");
    fs::write(worker.path().join("go"), "").unwrap();
    assert_eq!(finished(&serving, &id, "")["state"], "completed", "it ends what it has");
    assert_eq!(working.ended().0, Some(0));
    assert_eq!(serving.end("-TERM").0, Some(0));
}

const STEPS: &str = r#"
[queues.default]
concurrency = 4
[[kinds.k.phases]]
name = "one"
run = ["sh", "-c", "echo $STEPWELL_JOB_ID >> one.log; echo '{\"stepwell\":\"log\",\"message\":\"m\"}'; echo 1"]
[[kinds.k.phases]]
name = "two"
run = ["sh", "-c", "echo '{\"stepwell\":\"checkpoint\",\"value\":1}'; echo 2"]
inputs = ["one"]
"#;

#[test]
fn answers_that_are_lost_are_asked_for_again() {
    let (server, worker) = (Place::new(), Place::with(STEPS));
    let serving = Serving::start(server.path(), &["--insecure-no-auth"]);
    // Requests come through, and of every three answers one does not.
    let proxy = Proxy::before(&serving.address, 3);
    let working = Working::start(&worker, &["--server", &proxy.url()]);
    let jobs: Vec<String> = (0..12).map(|n| enqueue(&serving, "k", &json!(n), "")).collect();
    for id in &jobs {
        let job = finished(&serving, id, "");
        assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!(2)), "{job}");
        assert_eq!(job["phases"][0]["tries"], 1, "{job}");
    }
    let recorded = recorded(&serving);
    assert_eq!(recorded.len(), 2 * jobs.len());
    assert!(recorded.values().all(|times| *times == 1), "{recorded:?}");
    assert!(proxy.dropped() > 10, "{} answers were lost: this proves little", proxy.dropped());
    // No program ran twice: a claim whose answer was lost brought the same phases.
    let begun = fs::read_to_string(worker.path().join("one.log")).unwrap();
    assert_eq!(begun.lines().count(), jobs.len(), "{begun}");
    assert_eq!(working.end("-TERM").0, Some(0));
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn a_server_that_is_killed_and_comes_back_finds_its_worker_again() {
    let (server, worker) = (Place::new(), Place::with(PATIENT));
    let serving = Serving::start(server.path(), &["--insecure-no-auth"]);
    let address = serving.address.clone();
    let working = Working::start(&worker, &["--server", &serving.url()]);
    let id = enqueue(&serving, "k", &json!({}), "");
    runs(&serving, &id);
    let first = worker.child("child.pid");
    serving.kill();
    let arguments = ["serve", "--store", "sqlite:app.db", "--listen", &address, "--insecure-no-auth"];
    let serving = Serving::of(stepwell(server.path(), &arguments));
    // The lease ended with the server: that try is ended, and there is another.
    until("it runs anew", || {
        fs::read_to_string(worker.path().join("runs.log")).unwrap().lines().count() == 2
    });
    until("the first try has ended", || !working::lives(&first));
    fs::write(worker.path().join("go"), "").unwrap();
    let job = finished(&serving, &id, "");
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!("done")), "{job}");
    let (code, told) = working.end("-TERM");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("does not answer") && told.contains("registered anew"), "{told}");
    assert!(recorded(&serving).values().all(|times| *times == 1));
    assert_eq!(serving.end("-TERM").0, Some(0));
}
