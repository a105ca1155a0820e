//! A process that stands still for longer than its lease lasts, and wakes up when another has taken over.
//!
//! The test starts itself twice as a child that works jobs on one file, and stops one of the two with SIGSTOP.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(all(feature = "sqlite", unix))]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{
    Builder, Change, Ctx, Job, JobId, JobState, Phase, PhaseResult, Plan, Retention, SessionId, Stepwell,
    Worker,
};
use support::soon;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PLACE: &str = "STEPWELL_STOPPED_PLACE";
const NAME: &str = "STEPWELL_STOPPED_NAME";

/// A job whose handler goes on when there is a file with the name of its process.
#[derive(Serialize, Deserialize)]
struct Wait;
impl Job for Wait {
    const KIND: &'static str = "wait";
    type Output = String;
}
struct Waiter {
    place: PathBuf,
    name: String,
}
impl Worker for Waiter {
    type Job = Wait;
    fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
        plan.phase("wait", (), Self::wait)
    }
}
impl Waiter {
    async fn wait(&self, cx: &Ctx<Wait>) -> PhaseResult<String> {
        say(&format!("begun {}", cx.id()));
        while !self.place.join(format!("go-{}", self.name)).exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The owner of this lease may be another one by now.
        match cx.save_cursor(&self.name).await {
            Ok(()) => say(&format!("saved {}", cx.id())),
            Err(_) => say(&format!("refused {}", cx.id())),
        }
        Ok(self.name.clone())
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("the parent listens");
}

fn queue(place: &Path) -> Builder {
    let builder = Stepwell::sqlite(place.join("queue.db")).retention(Retention::KEEP_EVERYTHING);
    builder.lease(Duration::from_millis(1_500))
}

/// The child: works its own queue and the common one until its input ends. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let (Ok(place), Ok(name)) = (std::env::var(PLACE), std::env::var(NAME)) else { return };
    let place = PathBuf::from(place);
    let waiter = Waiter { place: place.clone(), name: name.clone() };
    let stepwell = queue(&place).worker(waiter).queue(&*name, 2).node(&*name).open().await.unwrap();
    let workers = stepwell.start();
    let told_to_end = || std::io::stdin().read_line(&mut String::new());
    tokio::task::spawn_blocking(told_to_end).await.unwrap().unwrap();
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
    say("ended in order");
}

struct Process {
    child: Child,
    lines: UnboundedReceiver<String>,
    /// What it said beside what was waited for.
    said: Vec<String>,
}

impl Process {
    fn start(place: &Path, name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(PLACE, place)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let read = BufReader::new(child.stdout.take().unwrap()).lines();
        let (line, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for text in read.map_while(Result::ok) {
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, said: Vec::new() }
    }
    fn signal(&self, signal: &str) {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }
    async fn says(&mut self, wanted: &str) {
        let said = async {
            while let Some(line) = self.lines.recv().await {
                // The harness begins a line of its own, and does not end it.
                if line.ends_with(wanted) {
                    return;
                }
                self.said.push(line);
            }
            panic!("it ended without saying `{wanted}`");
        };
        soon(&format!("a process says `{wanted}`"), said).await;
    }
    /// Lets it end. Answers what it said beside what was waited for.
    async fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        self.says("ended in order").await;
        assert!(self.child.wait().unwrap().success());
        std::mem::take(&mut self.said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process is killed as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn session_of(stepwell: &Stepwell, name: &str) -> SessionId {
    let found = async {
        loop {
            let sessions = stepwell.sessions().await.unwrap();
            if let Some(session) = sessions.iter().find(|session| session.node == name) {
                return session.id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon("the process has a session", found).await
}

#[tokio::test]
async fn a_process_that_stood_still_changes_nothing_and_goes_on_with_a_new_session() {
    if std::env::var(PLACE).is_ok() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let place = home.path();
    let stepwell = queue(place).node("observer").open().await.unwrap();
    let mut late = Process::start(place, "late");
    let id: JobId = stepwell.enqueue(Wait).await.unwrap().id();
    let job = stepwell.handle::<Wait>(id);
    late.says(&format!("begun {id}")).await;
    let dead = session_of(&stepwell, "late").await;

    late.signal("-STOP");
    let mut heir = Process::start(place, "heir");
    heir.says(&format!("begun {id}")).await;
    // It wakes up with its handler free to go on, to save and to answer.
    std::fs::write(place.join("go-late"), "").unwrap();
    late.signal("-CONT");

    // It works again, under another session, while the other one still has the job.
    let next = stepwell.enqueue(Wait).queue("late").await.unwrap();
    assert_eq!(soon("the late process works again", next.result()).await.unwrap(), "late");
    let alive = session_of(&stepwell, "late").await;
    assert_ne!(alive, dead);
    let record = job.record().await.unwrap();
    let owner = record.lease.map(|lease| lease.session);
    assert_eq!((record.state, owner), (JobState::Running, Some(session_of(&stepwell, "heir").await)));

    std::fs::write(place.join("go-heir"), "").unwrap();
    assert_eq!(soon("the heir ends the job", job.result()).await.unwrap(), "heir");
    let history = stepwell.history(id).await.unwrap();
    let count = |wanted: fn(&Change) -> bool| history.iter().filter(|event| wanted(&event.change)).count();
    assert_eq!(count(|change| matches!(change, Change::Interrupted { .. })), 1);
    assert_eq!(count(|change| matches!(change, Change::PhaseCompleted { .. })), 1);
    assert_eq!(count(|change| matches!(change, Change::Completed)), 1);

    let saved = |said: Vec<String>| said.iter().any(|line| line.ends_with(&format!("saved {id}")));
    assert!(!saved(late.end().await), "who lost the lease could not write");
    assert!(saved(heir.end().await), "who has it could");
    stepwell.close().await.unwrap();
    let litter = std::fs::read_dir(place).unwrap().flatten();
    let litter: Vec<_> =
        litter.filter(|file| file.file_name().to_string_lossy().contains("-session-")).collect();
    assert!(litter.is_empty(), "no session leaves its lock file behind: {litter:?}");
}
