//! kill -9 of a real process at random moments, with the acknowledgements recorded outside of it.
//!
//! The test starts itself as a child that enqueues and works jobs on one file, and kills it again and again. What the
//! child acknowledged was told to the parent through a pipe, so that it is known whatever happens to the child.
//! `STEPWELL_KILL9_ROUNDS` and `STEPWELL_KILL9_SEED` set how often, and the moments.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "sqlite")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use stepwell::{
    Change, Ctx, Event, EventType, Job, JobState, Phase, PhaseResult, Plan, Retention, Stepwell, Worker,
};

const FILE: &str = "STEPWELL_KILL9_FILE";

#[derive(Serialize, Deserialize)]
struct Chain(u64);
impl Job for Chain {
    const KIND: &'static str = "chain";
    type Output = u64;
}
struct Links;
impl Worker for Links {
    type Job = Chain;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u64> {
        let one = plan.phase("one", (), Self::one);
        let two = plan.phase("two", one, Self::next);
        plan.phase("three", two, Self::next)
    }
}
impl Links {
    async fn one(&self, cx: &Ctx<Chain>) -> PhaseResult<u64> {
        Ok(cx.job().0 + 1)
    }
    async fn next(&self, _: &Ctx<Chain>, n: u64) -> PhaseResult<u64> {
        tokio::task::yield_now().await;
        Ok(n + 1)
    }
}

async fn open(path: &Path) -> Stepwell {
    let builder = Stepwell::sqlite(path).worker(Links).retention(Retention::KEEP_EVERYTHING);
    builder.open().await.expect("the queue opens")
}

/// The child: works, enqueues, and says what was acknowledged, until it is killed. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(file) = std::env::var(FILE) else { return };
    let stepwell = open(Path::new(&file)).await;
    let _workers = stepwell.start();
    let callers = (0..4).map(|_| {
        let stepwell = stepwell.clone();
        tokio::spawn(async move {
            for n in 0.. {
                let job = stepwell.enqueue(Chain(n)).await.expect("the job is accepted");
                let told = writeln!(std::io::stdout().lock(), "acknowledged {}", job.id());
                told.expect("the parent listens");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("the caller goes on until it is killed");
    }
}

fn start(path: &Path) -> (Child, Receiver<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (line, received) = mpsc::channel();
    std::thread::spawn(move || {
        // A line that the kill cut off is not an acknowledgement that anybody received.
        for text in lines.map_while(Result::ok) {
            if line.send(text).is_err() {
                return;
            }
        }
    });
    (child, received)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_nothing_recorded_runs_again() {
    if std::env::var(FILE).is_ok() {
        return;
    }
    let rounds = setting("STEPWELL_KILL9_ROUNDS", 100);
    let seed = setting("STEPWELL_KILL9_SEED", 0x5eed);
    println!("kill -9: {rounds} rounds, seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let mut acknowledged: BTreeSet<stepwell::JobId> = BTreeSet::new();
    for _ in 0..rounds {
        let (mut child, lines) = start(&path);
        let alive = Duration::from_millis(random.random_range(5..250));
        let begun = Instant::now();
        let mut first = None;
        loop {
            // The time counts from the first acknowledgement, so that a slow machine does not only test the start.
            let left = match first {
                None => Duration::from_secs(30),
                Some(first) => alive.saturating_sub(Instant::now().duration_since(first)),
            };
            match lines.recv_timeout(left) {
                Ok(line) => {
                    first.get_or_insert_with(Instant::now);
                    acknowledged.extend(
                        line.rsplit_once("acknowledged ")
                            .and_then(|(_, id)| id.parse::<stepwell::JobId>().ok()),
                    );
                }
                Err(_) if first.is_some() => break,
                Err(_) => panic!("no acknowledgement within {:?}", begun.elapsed()),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            acknowledged.extend(
                line.rsplit_once("acknowledged ").and_then(|(_, id)| id.parse::<stepwell::JobId>().ok()),
            );
        }
    }

    let stepwell = open(&path).await;
    let mut events = stepwell.events().after(0).subscribe();
    let workers = stepwell.start();
    let mut log = Log::default();
    let mut open: BTreeSet<_> = acknowledged.iter().copied().collect();
    while !open.is_empty() {
        let event = support::soon("the next event comes", events.next()).await.expect("the queue is open");
        if event.event_type.is_terminal() {
            open.remove(&event.job);
        }
        log.take(&event);
    }
    for id in &acknowledged {
        let job = stepwell.job(*id).await.expect("an acknowledged job exists");
        assert_eq!(job.state, JobState::Completed, "{job:?}");
    }
    workers.shutdown(Duration::from_secs(10)).await.unwrap();
    println!(
        "{} jobs acknowledged, {} events, {} interruptions: nothing lost, nothing recorded twice",
        acknowledged.len(),
        log.last_pos,
        log.interrupted
    );
    assert!(acknowledged.len() as u64 >= rounds, "every round acknowledged something");
}

/// Checks the whole log as it is read.
#[derive(Default)]
struct Log {
    last_pos: u64,
    jobs: BTreeMap<stepwell::JobId, (u64, BTreeSet<String>, bool)>,
    interrupted: u64,
}

impl Log {
    fn take(&mut self, event: &Event) {
        assert_eq!(event.pos, self.last_pos + 1, "the log has a gap");
        self.last_pos = event.pos;
        let (seq, recorded, ended) = self.jobs.entry(event.job).or_default();
        assert_eq!(event.job_seq, *seq + 1, "the job's events have a gap: {event:?}");
        *seq = event.job_seq;
        assert!(!*ended, "something happened after the end: {event:?}");
        match &event.change {
            Change::PhaseStarted { phase, .. } => {
                assert!(!recorded.contains(&**phase), "a recorded phase ran again: {event:?}");
            }
            Change::PhaseCompleted { phase } => {
                assert!(recorded.insert(phase.to_string()), "a phase was recorded twice: {event:?}");
            }
            Change::Interrupted { .. } => self.interrupted += 1,
            _ => {}
        }
        *ended = event.event_type.is_terminal();
    }
}

/// The checker catches what it is there for.
#[tokio::test]
async fn the_checker_catches_planted_faults() {
    let bed = stepwell::testing::TestBed::with(Links).await;
    let job = bed.enqueue(Chain(1)).await.unwrap();
    bed.run_until_idle().await;
    let history = bed.history(job.id()).await.unwrap();
    let caught = |events: Vec<Event>| {
        let check = std::panic::AssertUnwindSafe(|| {
            let mut log = Log::default();
            events.iter().for_each(|event| log.take(event));
        });
        std::panic::catch_unwind(check).is_err()
    };
    assert!(!caught(history.clone()));
    let renumbered = |mut events: Vec<Event>| {
        for (place, event) in (1..).zip(&mut events) {
            (event.pos, event.job_seq) = (place, place);
        }
        events
    };
    let lost = history.iter().filter(|event| event.job_seq != 3).cloned().collect();
    assert!(caught(lost), "a gap");
    for ty in [EventType::PhaseStarted, EventType::PhaseCompleted, EventType::Completed] {
        let at = history.iter().rposition(|event| event.event_type == ty).unwrap();
        let mut twice = history.clone();
        twice.push(history[at].clone());
        assert!(caught(renumbered(twice)), "{ty} twice");
    }
}
