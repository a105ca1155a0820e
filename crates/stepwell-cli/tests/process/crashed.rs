//! The server is killed while children run: none is left when their jobs run again, and no phase is recorded twice.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use super::{body, described, enqueue, serving, until};
use crate::serving::Serving;

/// Rounds in which the server is killed, unless the command line says otherwise.
const ROUNDS: u64 = 8;
const JOBS: usize = 6;

/// Each try starts two more processes, one of which leaves the group, and looks whether any of an earlier try of its
/// job is still there. It fails for good if so, so that the job says it.
const CHILD: &str = r#"
import json, os, subprocess, sys, time

def marked():
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = open(f"/proc/{entry}/environ", "rb").read().split(b"\0")
            stat = open(f"/proc/{entry}/stat").read()
        except OSError:
            continue
        marks = dict(each.split(b"=", 1) for each in environment if b"=" in each)
        mine = marks.get(b"STEPWELL_JOB_ID") == os.environ["STEPWELL_JOB_ID"].encode()
        other = marks.get(b"STEPWELL_EPOCH") != os.environ["STEPWELL_EPOCH"].encode()
        if mine and other and stat.rsplit(")", 1)[1].split()[0] not in "ZX":
            found.append(entry)
    return found

given = json.load(sys.stdin)
strays = marked()
if strays and not given["job"]["payload"].get("blind"):
    print(json.dumps({"stepwell": "fail", "message": f"still there: {strays}", "retry": "never"}))
    sys.exit()
subprocess.Popen(["sleep", "1000"])
subprocess.Popen(["setsid", "sleep", "1000"])
time.sleep(0.15)
print(json.dumps({"stepwell": "complete", "output": {"strays": len(strays)}}))
"#;

const KINDS: &str = r#"
[queues.default]
concurrency = 6
[[kinds.k.phases]]
name = "one"
run = ["python3", "child.py"]
[[kinds.k.phases]]
name = "two"
run = ["python3", "child.py"]
"#;

/// Processes of a store's children that are there.
fn marked(store: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_of_it = |name: &String| {
        let environment = fs::read(format!("/proc/{name}/environ")).unwrap_or_default();
        let mark = format!("STEPWELL_STORE={store}");
        let alive = fs::read_to_string(format!("/proc/{name}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'));
        alive && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    names.filter(is_of_it).collect()
}

fn generation(serving: &Serving) -> String {
    let page = body(&serving.ask("GET", "/api/v1/events?limit=1", "", ""));
    let (generation, _) = page["next"].as_str().unwrap().rsplit_once('-').unwrap();
    generation.to_owned()
}

fn kill(mut serving: Serving) {
    serving.signal("-KILL");
    serving.child.wait().unwrap();
}

/// How often each phase of each job was recorded as completed, by what the log says.
fn recorded(serving: &Serving) -> BTreeMap<(String, String), usize> {
    let (mut recorded, mut after) = (BTreeMap::new(), "0".to_owned());
    loop {
        let page = body(&serving.ask("GET", &format!("/api/v1/events?limit=1000&after={after}"), "", ""));
        let events = page["events"].as_array().unwrap_or_else(|| panic!("{page}"));
        for event in events.iter().filter(|event| event["type"] == "job:phase:completed") {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            *recorded.entry((text("jobId"), text("phase"))).or_default() += 1;
        }
        if events.is_empty() {
            return recorded;
        }
        after = page["next"].as_str().unwrap().to_owned();
    }
}

fn ends(serving: &Serving, id: &str) -> Value {
    super::finished(serving, id)
}

#[test]
fn no_child_outlives_its_server_for_longer_than_until_its_job_runs_again() {
    let rounds =
        std::env::var("STEPWELL_PROCESS_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let place = described(KINDS);
    fs::write(place.path().join("child.py"), CHILD).unwrap();
    let (mut jobs, mut left, mut store) = (Vec::new(), 0, String::new());
    let mut serving = serving(place.path());
    for round in 0..rounds {
        store = generation(&serving);
        let new: Vec<String> = (0..JOBS).map(|_| enqueue(&serving, "k", &json!({}))).collect();
        // Anywhere between before the first child and after the last has begun.
        let target = usize::try_from(round * 5 % 13).unwrap();
        until("the children begin", || marked(&store).len() >= target);
        kill(serving);
        left += marked(&store).len();
        serving = super::serving(place.path());
        for id in &new {
            let job = ends(&serving, id);
            assert_eq!(job["state"], "completed", "{job}");
        }
        jobs.extend(new);
    }
    let recorded = recorded(&serving);
    assert_eq!(recorded.len(), 2 * jobs.len());
    assert!(recorded.values().all(|times| *times == 1), "{recorded:?}");
    assert!(left > 0, "no round left a process behind: this proves nothing");
    println!("{} jobs over {rounds} kills, {left} processes left behind and ended", jobs.len());
    assert_eq!(serving.end("-TERM").0, Some(0));
    end_escaped(&store);
}

/// What has left its group is looked for a moment after its phase has ended, when the server may have ended, too.
fn end_escaped(store: &str) {
    for name in marked(store) {
        std::process::Command::new("kill").args(["-9", &name]).status().unwrap();
    }
}

/// The check itself: with a process of an earlier try in place, a job says so.
#[test]
fn a_process_of_an_earlier_try_is_seen_by_the_check() {
    let place = described(KINDS);
    fs::write(place.path().join("child.py"), CHILD).unwrap();
    let serving = serving(place.path());
    let planted = "planted".to_owned();
    let mut command = std::process::Command::new("sleep");
    let later = json!({ "kind": "k", "payload": {}, "delayMs": 3_600_000 }).to_string();
    let id = body(&serving.ask("POST", "/api/v1/jobs", "", &later))["id"].as_str().unwrap().to_owned();
    // Of another store, so that nobody has a right to end it.
    command
        .arg("1000")
        .env("STEPWELL_JOB_ID", &id)
        .env("STEPWELL_EPOCH", "0")
        .env("STEPWELL_STORE", &planted);
    let mut stray = command.spawn().unwrap();
    let answer = serving.ask("POST", &format!("/api/v1/jobs/{id}/run-now"), "", "{}");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let job = ends(&serving, &id);
    assert!(job["failure"]["message"].as_str().is_some_and(|text| text.contains("still there")), "{job}");
    stray.kill().unwrap();
    stray.wait().unwrap();
    let store = generation(&serving);
    assert_eq!(serving.end("-TERM").0, Some(0));
    end_escaped(&store);
}
