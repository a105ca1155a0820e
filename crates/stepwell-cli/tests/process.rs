//! Phases that are programs, as a user describes them: the real binary, real children.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(target_os = "linux")]

#[path = "process/crashed.rs"]
mod crashed;
mod serving;

use std::{fs, path::Path};

use serde_json::{Value, json};
use serving::{Serving, body, ended, until};
use tempfile::TempDir;

/// A place with a description of kinds.
fn described(toml: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("stepwell.toml"), toml).unwrap();
    place
}

fn serving(place: &Path) -> Serving {
    Serving::start(place, &["--insecure-no-auth"])
}

fn enqueue(serving: &Serving, kind: &str, payload: &Value) -> String {
    let new = json!({ "kind": kind, "payload": payload }).to_string();
    let created = body(&serving.ask("POST", "/api/v1/jobs", "", &new));
    created["id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
}

/// Waits for the end of a job.
fn finished(serving: &Serving, id: &str) -> Value {
    loop {
        let job = body(&serving.ask("GET", &format!("/api/v1/jobs/{id}?waitMs=30000"), "", ""));
        if ["completed", "failed", "cancelled"].contains(&job["state"].as_str().unwrap()) {
            return job;
        }
    }
}

/// A kind `k` of one phase `p`.
fn one(run: &[&str], more: &str) -> TempDir {
    described(&format!("[[kinds.k.phases]]\nname = \"p\"\nrun = {run:?}\n{more}\n"))
}

/// What becomes of a job of one phase.
fn outcome(run: &[&str], more: &str) -> Value {
    let place = one(run, more);
    let serving = serving(place.path());
    let id = enqueue(&serving, "k", &json!({ "n": 1 }));
    let job = finished(&serving, &id);
    assert_eq!(serving.end("-TERM").0, Some(0));
    job
}
fn result(run: &[&str]) -> Value {
    let job = outcome(run, "");
    assert_eq!(job["state"], "completed", "{job}");
    job["result"].clone()
}
const ONCE: &str = "retry = { attempts = 1 }";
fn failure(run: &[&str], more: &str) -> String {
    let job = outcome(run, more);
    assert_eq!(job["state"], "failed", "{job}");
    job["failure"]["message"].as_str().unwrap().to_owned()
}
fn sh(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

#[test]
fn programs_in_three_languages_go_on_where_they_stood_once_one_is_repaired() {
    let place = described(
        r#"
        [queues.media]
        concurrency = 2
        [kinds.report]
        queue = "media"
        [[kinds.report.phases]]
        name = "shell"
        run = ["sh", "shell.sh"]
        [[kinds.report.phases]]
        name = "python"
        run = ["python3", "python.py"]
        inputs = ["shell"]
        retry = { attempts = 1 }
        [[kinds.report.phases]]
        name = "node"
        run = ["node", "node.js"]
        inputs = ["python", "shell"]
        "#,
    );
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    write("shell.sh", "echo run >> shell.log; echo \"hello from $STEPWELL_PHASE\"");
    write("python.py", "import sys\nsys.exit('the script is broken')");
    write(
        "node.js",
        "let text = ''; process.stdin.on('data', d => text += d).on('end', () => {
           const { job, phase } = JSON.parse(text);
           console.log(JSON.stringify({ stepwell: 'progress', done: 1, total: 1, note: 'almost' }));
           console.log(JSON.stringify({ stepwell: 'log', message: 'a line' }));
           const output = { outputs: phase.outputs, payload: job.payload };
           console.log(JSON.stringify({ stepwell: 'complete', output }));
         });",
    );
    let serving = serving(place.path());
    let id = enqueue(&serving, "report", &json!({ "a": [1, 2] }));
    let job = finished(&serving, &id);
    assert_eq!((&job["state"], &job["failure"]["phase"]), (&json!("failed"), &json!("python")), "{job}");
    assert!(job["failure"]["message"].as_str().unwrap().contains("the script is broken"), "{job}");

    write(
        "python.py",
        "import json, sys
given = json.load(sys.stdin)
json.dump({'seen': given['phase']['outputs']}, sys.stdout)",
    );
    let retried = serving.ask("POST", &format!("/api/v1/jobs/{id}/retry"), "", "{}");
    assert!(retried.starts_with("HTTP/1.1 200 "), "{retried}");
    let job = finished(&serving, &id);
    let shell = json!("hello from shell\n");
    let outputs = json!({ "python": { "seen": { "shell": shell } }, "shell": shell });
    let expected = json!({ "outputs": outputs, "payload": { "a": [1, 2] } });
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &expected), "{job}");
    assert_eq!(
        fs::read_to_string(place.path().join("shell.log")).unwrap(),
        "run\n",
        "it resumed after that phase"
    );
    let log = body(&serving.ask("GET", &format!("/api/v1/jobs/{id}/logs"), "", ""));
    assert!(log.to_string().contains("a line"), "{log}");
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn without_a_word_the_exit_code_and_the_output_decide() {
    assert_eq!(result(&sh("echo '{\"a\": 1}'")), json!({ "a": 1 }));
    assert_eq!(result(&sh("printf 'two\\nlines\\n'")), json!("two\nlines\n"));
    assert_eq!(result(&["true"]), json!(""));
    assert_eq!(
        result(&sh("echo '{\"stepwell\":\"log\",\"message\":\"m\"}'; echo 7")),
        json!(7),
        "commands are no output"
    );
    assert!(failure(&sh("echo why >&2; exit 3"), ONCE).contains("exit code 3: why"));
    assert!(failure(&sh("kill -SEGV $$"), ONCE).contains("signal 11, SIGSEGV"));
    assert!(failure(&["/nowhere/program"], ONCE).contains("failed to start `/nowhere/program`"));
    assert!(failure(&sh("printf '\\377'"), "").contains("UTF-8"));
    let job = outcome(&sh("[ $STEPWELL_ATTEMPT = 3 ] || exit 75"), "retry = { delays = [\"1ms\", \"1ms\"] }");
    assert_eq!((&job["state"], &job["phases"][0]["tries"]), (&json!("completed"), &json!(3)), "{job}");
}

#[test]
fn what_a_child_says_decides_however_it_ends() {
    let complete = r#"echo '{"stepwell":"complete","output":[1]}'"#;
    assert_eq!(result(&sh(&format!("{complete}; exit 4"))), json!([1]));
    let job = outcome(&sh(&format!("{complete}; exec sleep 1000")), "grace = \"100ms\"");
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!([1])), "{job}");
    let fail = |more: &str| format!("echo '{{\"stepwell\":\"fail\",\"message\":\"no\"{more}}}'");
    assert_eq!(
        failure(&sh(&fail(",\"retry\":\"never\"")), "retry = { attempts = 3, first = \"1ms\" }"),
        "no"
    );
    let job = outcome(&sh(&fail(",\"afterMs\":1")), "retry = { attempts = 2, first = \"1h\" }");
    assert_eq!((&job["state"], &job["phases"][0]["tries"]), (&json!("failed"), &json!(2)), "{job}");
    let refused = failure(&sh(r#"echo '{"stepwell":"finish"}'; exec sleep 1000"#), ONCE);
    assert!(refused.contains("finish") && refused.contains("the commands are"), "{refused}");
}

#[test]
fn a_checkpoint_is_there_at_the_next_try() {
    let script = r#"
        given=$(cat)
        case "$given" in
            *'"checkpoint":{"page":7}'*'"attempt":2'* | *'"attempt":2'*'"checkpoint":{"page":7}'*) echo '"went on"';;
            *) echo '{"stepwell":"checkpoint","value":{"page":7}}'; exit 75;;
        esac"#;
    let job = outcome(&sh(script), "retry = { delays = [\"1ms\"] }");
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!("went on")), "{job}");
}

#[test]
fn a_child_that_does_not_behave_ends_all_the_same() {
    let stubborn = failure(
        &sh("trap '' TERM; echo stubborn >&2; while :; do sleep 1; done"),
        "retry = { attempts = 1 }\ntimeout = \"300ms\"\ngrace = \"200ms\"",
    );
    assert!(stubborn.contains("timed out after 300ms") && stubborn.contains("stubborn"), "{stubborn}");
    let polite = failure(
        &sh("trap 'echo put things away >&2; exit 1' TERM; sleep 1000 & wait"),
        "retry = { attempts = 1 }\ntimeout = \"300ms\"",
    );
    assert!(polite.contains("timed out") && polite.contains("put things away"), "{polite}");
    // It leaves a child that holds its pipes: the phase ends with the first process, and the other is killed.
    assert_eq!(result(&sh("sleep 1000 & echo left")), json!("left\n"));
    // One that leaves the group keeps the pipes open, and is waited for a moment only.
    let escaped = result(&sh("setsid sleep 3 & echo left"));
    assert_eq!(escaped, json!("left\n"));
    assert_eq!(result(&sh("exec >&- 2>&- <&-; exit 0")), json!(""));
    assert!(failure(&sh("exec cat /dev/zero"), "").contains("the limit is 1048576"), "it is stopped");
    assert!(failure(&sh("yes xxxxxxxxxxxxxxx | head -c 2000000"), "").contains("2000000 bytes"));
    let loud = failure(&sh("yes on and on | head -c 5000000 >&2; echo the end >&2; exit 1"), ONCE);
    assert!(loud.ends_with("the end") && loud.len() < 10_000, "{} bytes", loud.len());
    // What it is told is more than a pipe holds, and it does not care.
    let place = one(&["true"], "");
    let serving = serving(place.path());
    let id = enqueue(&serving, "k", &json!("x".repeat(500_000)));
    assert_eq!(finished(&serving, &id)["state"], "completed");
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn what_leaves_its_group_and_outlives_its_phase_is_ended() {
    // The phase ends once it has left, or it would go with the group.
    let leaves = "rm -f escaped.pid; \
                  setsid sh -c 'echo $$ > escaped.pid; exec sleep 1000' < /dev/null > /dev/null 2>&1 & \
                  until [ -s escaped.pid ]; do sleep 0.01; done";
    let place = one(&sh(leaves), "");
    let serving = serving(place.path());
    let lives = |number: &str| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
    };
    // The second begins while the first one's may still be there, and has nothing to fear of its end.
    for n in 0..2 {
        let id = enqueue(&serving, "k", &json!(n));
        assert_eq!(finished(&serving, &id)["state"], "completed");
    }
    let escaped = fs::read_to_string(place.path().join("escaped.pid")).unwrap();
    until("it is ended", || !lives(escaped.trim()));
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn a_child_has_limits_and_an_environment_of_its_own() {
    let greedy = failure(
        &["python3", "-c", "x = 'x' * 800_000_000"],
        "retry = { attempts = 1 }\nlimits = { memory = \"300MB\" }",
    );
    assert!(greedy.contains("MemoryError"), "{greedy}");
    let busy = failure(&sh("while :; do :; done"), "retry = { attempts = 1 }\nlimits = { cpu = \"1s\" }");
    assert!(
        busy.contains("SIGKILL") && busy.contains("1 s of processor time") || busy.contains("SIGXCPU"),
        "{busy}"
    );
    let place = one(
        &sh("ulimit -n; ulimit -c; env"),
        "limits = { open_files = 50 }\nenv = { GREETING = \"hi\" }\npass_env = [\"SEEN_*\"]",
    );
    let mut command = serving::stepwell(
        place.path(),
        &["serve", "--store", "sqlite:app.db", "--listen", "127.0.0.1:0", "--insecure-no-auth"],
    );
    command.env("SEEN_1", "yes").env("SECRET_KEY", "canary");
    let serving = Serving::of(command);
    let id = enqueue(&serving, "k", &json!({}));
    let job = finished(&serving, &id);
    let said = job["result"].as_str().unwrap();
    assert!(said.starts_with("50\n0\n"), "{said}");
    for line in
        ["GREETING=hi", "SEEN_1=yes", "STEPWELL_PHASE=p", "STEPWELL_KIND=k", &format!("STEPWELL_JOB_ID={id}")]
    {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn a_cancelled_job_stops_its_child_and_a_shutdown_gives_it_back() {
    let script = r#"
        trap 'echo told >> told.log; exit 1' TERM
        echo $$ > child.pid
        echo '{"stepwell":"progress","done":1,"total":2}'
        sleep 1000 & wait"#;
    let place = one(&sh(script), "");
    let serving = serving(place.path());
    let running = |serving: &Serving, id: &str| {
        let path = format!("/api/v1/jobs/{id}");
        until("it runs", || body(&serving.ask("GET", &path, "", ""))["progress"]["done"] == 1);
    };
    let id = enqueue(&serving, "k", &json!({}));
    running(&serving, &id);
    serving.ask("POST", &format!("/api/v1/jobs/{id}/cancel"), "", "{}");
    assert_eq!(finished(&serving, &id)["state"], "cancelled");
    assert_eq!(fs::read_to_string(place.path().join("told.log")).unwrap(), "told\n");

    let id = enqueue(&serving, "k", &json!({}));
    running(&serving, &id);
    serving.signal("-TERM");
    let (code, told) = serving.end("-TERM");
    assert!(code == Some(0) || told.contains("go on at the next start"), "{code:?} {told}");
    let child: u32 = fs::read_to_string(place.path().join("child.pid")).unwrap().trim().parse().unwrap();
    assert!(!Path::new(&format!("/proc/{child}")).exists(), "no child outlives a shutdown");
    let (code, list, _) = ended(place.path(), &["tokens", "list", "--store", "sqlite:app.db"]);
    assert_eq!(code, 0, "{list}");
}

#[test]
fn a_file_that_is_wrong_is_refused_with_the_line() {
    let place = described("[[kinds.k.phases]]\nname = \"p\"\nrun = [\"true\"]\ntimeuot = \"1s\"\n");
    for command in [&["serve", "--store", "sqlite:app.db", "--insecure-no-auth"] as &[&str], &["dev"]] {
        let (code, _, told) = ended(place.path(), command);
        assert!(code == 1 && told.contains("stepwell.toml: line 4") && told.contains("timeuot"), "{told}");
    }
    let place = described("[[kinds.k.phases]]\nname = \"p\"\nrun = []\n");
    let (code, _, told) = ended(place.path(), &["dev"]);
    assert!(code == 1 && told.contains("phase `p` of `k`") && told.contains("no program"), "{told}");
}
