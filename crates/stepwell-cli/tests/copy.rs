//! `stepwell db copy`: the real binary, real servers before and after, and a client that runs across the switch.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(target_os = "linux")]

mod rig;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use rig::{Program, Reply, Sink, token};
use serde_json::Value;
use stepwell_postgres_rig::Database;

fn stepwell(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stepwell"));
    for name in ["STEPWELL_SERVER", "STEPWELL_STORE", "STEPWELL_TOKEN", "STEPWELL_TOKEN_FILE"] {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(place).stdin(Stdio::null());
    command
}

fn ended(place: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = stepwell(place, arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

/// What must be done, and says this.
fn done(place: &Path, arguments: &[&str]) -> String {
    let (code, said, told) = ended(place, arguments);
    assert_eq!(code, 0, "{arguments:?}: {said}{told}");
    said
}

/// What must be refused, and says why.
fn refused(place: &Path, arguments: &[&str], code: i32) -> String {
    let (found, said, told) = ended(place, arguments);
    assert_eq!((found, said.as_str()), (code, ""), "{arguments:?}: {told}");
    told
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A port that is free.
fn listen() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Kinds whose second phase goes on only where the file `go` is.
const KINDS: &str = r#"
[kinds.steps]
[[kinds.steps.phases]]
name = "first"
run = ["sh", "-c", "echo ran >> first.log; echo 1"]
[[kinds.steps.phases]]
name = "second"
run = ["sh", "-c", "echo begun >> second.log; test -e go || exec sleep 600; echo 2"]
"#;

/// `stepwell events tail`, which goes on whatever becomes of the server.
struct Follower {
    child: Child,
    lines: Receiver<Value>,
    next: u64,
    seen: Vec<Value>,
}

impl Follower {
    fn start(place: &Path, server: &str, token: &Path) -> Self {
        let arguments = ["events", "tail", "--after", "0", "--json", "--server", server, "--token-file"];
        let mut command = stepwell(place, &[&arguments[..], &[token.to_str().unwrap()]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(json(&line)).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, next: 1, seen: Vec::new() }
    }
    /// Waits for an event of this type of the first run of this job. None comes twice, and none out of its order.
    fn until(&mut self, ty: &str, job: &str) {
        self.until_run(ty, job, 1);
    }
    fn until_run(&mut self, ty: &str, job: &str, run: u32) {
        let is_it = |event: &Value| event["type"] == ty && event["jobId"] == job && event["run"] == run;
        while !self.seen.iter().any(is_it) {
            let event = self.lines.recv_timeout(Duration::from_secs(60)).unwrap();
            let pos = event["pos"].as_u64().unwrap_or_else(|| panic!("the stream was cut: {event}"));
            assert!(pos >= self.next, "{event}: {} was next", self.next);
            self.next = pos + 1;
            self.seen.push(event);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits until a file has so many lines.
fn has_lines(path: &Path, n: usize) {
    for _ in 0..6_000 {
        if fs::read_to_string(path).is_ok_and(|text| text.lines().count() >= n) {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
    panic!("{} does not get {n} lines", path.display());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_to_postgresql_and_back_and_a_client_follows_it() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    fs::write(place.join("stepwell.toml"), KINDS).unwrap();
    let (databases, listen) = ([Database::create().unwrap(), Database::create().unwrap()], listen());
    let arrives = Arc::new(AtomicBool::new(false));
    let answers = arrives.clone();
    let sink = Sink::answering(move |_| match answers.load(Ordering::SeqCst) {
        true => Reply::Status(204),
        false => Reply::Status(500),
    })
    .await;
    fs::write(place.join("token"), token(place, "me", &["--admin"])).unwrap();
    let token = place.join("token");

    // Work in every state that a command line can bring about.
    let arguments = ["--demo", "--webhook-allow", "127.0.0.0/8"];
    let program = Program::start_at(place, &listen, &arguments);
    let server = program.url("");
    let asked = |arguments: &[&str]| {
        done(place, &[arguments, &["--server", &server, "--token-file", token.to_str().unwrap()]].concat())
            .trim()
            .to_owned()
    };
    let mut follower = Follower::start(place, &server, &token);
    asked(&["webhooks", "create", &sink.url("/hook")]);
    let completed =
        asked(&["enqueue", "demo.steps", r#"{"failures":1}"#, "--tag", "kept", "--attr", "customer=42"]);
    follower.until("job:completed", &completed);
    let failed = asked(&["enqueue", "demo.steps", r#"{"fails":true}"#]);
    follower.until("job:failed", &failed);
    let undelivered: BTreeSet<String> = sink.reaches(2).await.iter().map(|one| one.id().to_owned()).collect();
    assert_eq!(undelivered.len(), 2);
    let scheduled = asked(&["enqueue", "demo.steps", "--in", "30d", "--unique", "monthly"]);
    asked(&["queues", "pause", "slow", "--reason", "maintenance"]);
    let held = asked(&["enqueue", "demo.steps", "--queue", "slow"]);
    let cancelled = asked(&["enqueue", "demo.steps", "--queue", "slow"]);
    asked(&["jobs", "cancel", &cancelled]);
    let running = asked(&["enqueue", "steps"]);
    has_lines(&place.join("second.log"), 1);

    // It is in use, and then it is killed.
    let copy = |from: &str, to: &str| -> Value { json(&done(place, &["db", "copy", from, to, "--json"])) };
    let [there, last] = databases.each_ref().map(Database::url);
    let told = refused(place, &["db", "copy", "sqlite:app.db", &there], 1);
    assert!(told.contains("in use") && told.contains("stepwell queues pause"), "{told}");
    program.kill();
    let first = copy("sqlite:app.db", &there);
    // An operation for which nobody is there.
    done(place, &["bulk", "run", "retry", "--state", "failed", "--kind", "demo.steps", "--store", &there]);
    let second = copy(&there, "sqlite:back.db");
    let third = copy("sqlite:back.db", &last);
    assert_eq!((&second["sha256"], &second["tables"]), (&third["sha256"], &third["tables"]));
    let records = |table: &str| {
        let tables = first["tables"].as_array().unwrap();
        tables.iter().find(|found| found["name"] == table).unwrap()["records"].as_u64().unwrap()
    };
    for table in ["session", "plan", "queue", "cursor", "setting", "event", "job", "payload", "log", "tag"] {
        assert!(records(table) > 0, "{table}: {first}");
    }
    assert_eq!(records("session"), 1, "its jobs are to be taken back");

    // The work goes on at the end of the way, under the same address.
    arrives.store(true, Ordering::SeqCst);
    fs::write(place.join("go"), "").unwrap();
    let told = refused(place, &["enqueue", "demo.steps", "--store", "sqlite:app.db"], 1);
    assert!(told.contains("sealed") && told.contains("stepwell db unseal"), "{told}");
    let program = Program::start_on(&last, place, &listen, &arguments);
    follower.until("job:completed", &running);
    assert_eq!(fs::read_to_string(place.join("first.log")).unwrap(), "ran\n", "it was completed before");
    let operations = json(&asked(&["bulk", "list", "--json"]));
    assert_eq!(operations.as_array().unwrap().len(), 1, "{operations}");
    follower.until_run("job:failed", &failed, 2);
    let arrived = |received: &[rig::Received]| {
        // All but the first two came when they were answered well.
        let later = received.iter().skip(2).map(|one| one.id().to_owned()).collect::<BTreeSet<_>>();
        undelivered.is_subset(&later)
    };
    sink.holds(arrived).await;
    assert_eq!(asked(&["enqueue", "demo.steps", "--unique", "monthly"]), scheduled, "the key is still held");
    assert!(asked(&["queues", "list"]).lines().any(|line| line.starts_with("slow\tpaused\t")));
    assert_eq!(json(&asked(&["jobs", "get", &held, "--json"]))["state"], "pending");
    let job = json(&asked(&["jobs", "get", &completed, "--json"]));
    assert_eq!((&job["state"], &job["tags"][0]), (&"completed".into(), &"kept".into()));
    assert_eq!(program.end().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_serves_those_who_read_until_the_switch() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (database, listen) = (Database::create().unwrap(), listen());
    fs::write(place.join("token"), token(place, "me", &["--admin"])).unwrap();
    let token = place.join("token");
    let program = Program::start_at(place, &listen, &["--demo"]);
    let server = program.url("");
    let with = |arguments: &[&str]| -> Vec<String> {
        let more = ["--server", &server, "--token-file", token.to_str().unwrap()];
        arguments.iter().chain(&more).map(|word| (*word).to_owned()).collect()
    };
    let asked = |arguments: &[&str]| {
        let words = with(arguments);
        done(place, &words.iter().map(String::as_str).collect::<Vec<_>>()).trim().to_owned()
    };
    let mut follower = Follower::start(place, &server, &token);
    let before = asked(&["enqueue", "demo.steps"]);
    follower.until("job:completed", &before);
    asked(&["queues", "pause", "default"]);
    let waiting = asked(&["enqueue", "demo.steps"]);
    follower.until("job:enqueued", &waiting);

    let said = done(place, &["db", "copy", "sqlite:app.db", &database.url()]);
    let last = said.lines().last().unwrap().split('\t').collect::<Vec<_>>();
    assert!(last[0] == "all" && last[1].parse::<u64>().unwrap() > 10 && last[2].len() == 64, "{said}");
    assert_eq!(json(&asked(&["jobs", "get", &before, "--json"]))["state"], "completed");
    let words = with(&["enqueue", "demo.steps"]);
    let (code, _, told) = ended(place, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(code != 0 && told.contains("sealed"), "{told}");
    let (code, told) = program.end();
    assert_eq!(code, Some(0), "{told}");

    let program = Program::start_on(&database.url(), place, &listen, &["--demo"]);
    asked(&["queues", "resume", "default"]);
    follower.until("job:completed", &waiting);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn what_cannot_be_copied_is_refused_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let database = Database::create().unwrap();
    let there = database.url();
    let told = refused(place, &["db", "copy", "sqlite:none.db", &there], 3);
    assert!(told.contains("no such file"), "{told}");
    let told = refused(place, &["db", "copy", "app.db", &there], 2);
    assert!(told.contains("sqlite:app.db"), "{told}");
    refused(place, &["db", "copy", "sqlite:app.db"], 2);
    let told = refused(place, &["db", "copy", &there, "sqlite:copy.db"], 1);
    assert!(told.contains("there is no store at postgres://") && !place.join("copy.db").exists(), "{told}");

    for store in ["sqlite:app.db", "sqlite:other.db"] {
        done(place, &["tokens", "create", "me", "--admin", "--store", store]);
    }
    let told = refused(place, &["db", "copy", "sqlite:app.db", "sqlite:other.db"], 1);
    assert!(told.contains("the destination is not empty: it holds"), "{told}");
    let told = refused(place, &["db", "copy", "sqlite:app.db", "sqlite:app.db"], 1);
    assert!(told.contains("is the source itself"), "{told}");
    done(place, &["enqueue", "a.kind", "--store", "sqlite:app.db"]);

    done(place, &["db", "copy", "sqlite:app.db", &there]);
    let told = refused(place, &["db", "copy", "sqlite:app.db", "sqlite:third.db"], 1);
    assert!(told.contains("was copied to postgres://"), "{told}");
    let told = refused(place, &["db", "unseal", "--store", "sqlite:app.db"], 2);
    assert!(told.contains("--yes"), "{told}");
    done(place, &["db", "unseal", "--yes", "--store", "sqlite:app.db"]);
    done(place, &["enqueue", "a.kind", "--store", "sqlite:app.db"]);
    let told = refused(place, &["db", "unseal", "--yes", "--store", "sqlite:app.db"], 1);
    assert!(told.contains("not sealed"), "{told}");
}

/// Killed after every batch, and between all steps at the end.
#[cfg(feature = "crash-points")]
#[test]
fn a_copy_that_is_killed_again_and_again_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let database = Database::create().unwrap();
    done(place, &["tokens", "create", "me", "--admin", "--store", "sqlite:app.db"]);
    for n in 0..5 {
        done(place, &["enqueue", "a.kind", &n.to_string(), "--tag", "kept", "--store", "sqlite:app.db"]);
    }
    let stations = ["sqlite:app.db".to_owned(), database.url(), "sqlite:back.db".to_owned()];
    let mut hashes = BTreeSet::new();
    for pair in stations.windows(2) {
        let arguments = ["db", "copy", &pair[0], &pair[1], "--json"];
        let is_killed_at = |point: &str| {
            let output = stepwell(place, &arguments).env("STEPWELL_CRASH_POINT", point).output().unwrap();
            output.status.code().is_none()
        };
        // Of these there are no more than eight batches, and each time one more arrives.
        for killed in 0..6 {
            assert!(is_killed_at("copy-batch:1"), "after {killed} times");
        }
        for point in ["copy-settled:1", "copy-settled:1", "copy-done:1", "copy-done:1"] {
            assert!(is_killed_at(point), "{point}");
        }
        let copied = json(&done(place, &arguments));
        assert_eq!(copied["resumed"], true);
        hashes.insert(copied["sha256"].as_str().unwrap().to_owned());
    }
    assert_eq!(hashes.len(), 1, "{hashes:?}");
    assert_eq!(done(place, &["jobs", "list", "--store", "sqlite:back.db"]).lines().count(), 5);
}
