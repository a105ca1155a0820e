//! A worker, as a user starts it, and what is asked of its queue meanwhile.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::serving::{Serving, body, stepwell};

/// A directory to start something in.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    /// One with a description of kinds.
    pub(crate) fn with(toml: &str) -> Self {
        Self::new().file("stepwell.toml", toml)
    }
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.path().join(name), text).unwrap();
        self
    }
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
    /// The number of a process, as its program wrote it down.
    pub(crate) fn child(&self, file: &str) -> String {
        fs::read_to_string(self.path().join(file)).unwrap().trim().to_owned()
    }
    pub(crate) fn child_lives(&self, file: &str) -> bool {
        lives(&self.child(file))
    }
}

/// Whether a process is there, and more of it than its entry.
pub(crate) fn lives(number: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X']))
}

/// A worker that has said what it works.
pub(crate) struct Working {
    child: Child,
    pub(crate) said: String,
    _more: BufReader<ChildStdout>,
}

impl Drop for Working {
    /// A test that fails leaves nothing behind.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Working {
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut child = command(place, arguments).spawn().unwrap();
        let mut more = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        if more.read_line(&mut said).unwrap() == 0 {
            let mut told = String::new();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            panic!("it has not begun: {told}");
        }
        Self { child, said, _more: more }
    }
    pub(crate) fn signal(&self, signal: &str) {
        let number = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &number]).status().unwrap().success());
    }
    pub(crate) fn end(self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        self.ended()
    }
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        (self.child.wait().unwrap().code(), told)
    }
}

/// The command that starts a worker.
pub(crate) fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = stepwell(place.path(), &[&["worker"], arguments].concat());
    for variable in ["STEPWELL_SERVER", "STEPWELL_TOKEN", "STEPWELL_TOKEN_FILE", "STEPWELL_CONFIG"] {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn enqueue(serving: &Serving, kind: &str, payload: &Value, token: &str) -> String {
    let new = json!({ "kind": kind, "payload": payload }).to_string();
    let created = body(&serving.ask("POST", "/api/v1/jobs", token, &new));
    created["id"].as_str().unwrap_or_else(|| panic!("{created}")).to_owned()
}

/// Waits for the end of a job.
pub(crate) fn finished(serving: &Serving, id: &str, token: &str) -> Value {
    loop {
        let job = body(&serving.ask("GET", &format!("/api/v1/jobs/{id}?waitMs=30000"), token, ""));
        if ["completed", "failed", "cancelled"].contains(&job["state"].as_str().unwrap()) {
            return job;
        }
    }
}

/// How often each phase of each job was recorded as completed, by what the log says.
pub(crate) fn recorded(serving: &Serving) -> BTreeMap<(String, String), usize> {
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
