//! Every call to the disk fails once: nothing acknowledged is lost, and the store goes on, or says why it cannot.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use rusqlite::{Connection, ffi};
use stepwell_core::{
    Clock, Error, Job, JobId, Json, PhaseSpec, PlanSpec, Result, SessionId, Timestamp, Token,
    machine::{Command, NewJob, RetryFrom},
    retention::{Keep, Retention},
    session::Session,
    store::{ClaimRequest, Lane, Maintain, Request, Store, WorkedPlan},
};
use stepwell_sim::{Call, Disk, Fault};
use stepwell_sqlite::{Sqlite, SqliteOptions};
use stepwell_store_tests::invariants::{check, snapshot::Snapshot};
use support::{directory, wait};

const FILE: &str = "test.db";

fn open(root: &Path) -> Result<Sqlite> {
    let mut options = SqliteOptions::new(root.join(FILE), [7; 16]);
    options.clock = Some(Clock::manual(
        std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_780_000_000),
    ));
    options.inline = true;
    Sqlite::open(options)
}

/// A life in which every kind of thing is written, and what of it was acknowledged.
#[derive(Default)]
struct Life {
    /// Versions of jobs that somebody was told of.
    told: BTreeMap<JobId, u64>,
    errors: Vec<Error>,
}

/// The store gave up, and says so to everybody from now on.
struct GaveUp;

impl Life {
    /// Does a thing again until it succeeds: whoever is told of a fault may try again.
    fn insist<T>(&mut self, mut thing: impl FnMut() -> Result<T>) -> Result<T, GaveUp> {
        for _ in 0..4 {
            match thing() {
                Ok(done) => return Ok(done),
                Err(error) if error.is_fatal() => {
                    self.errors.push(error);
                    assert!(thing().is_err_and(|again| again.is_fatal()), "it stays so");
                    return Err(GaveUp);
                }
                Err(error) => {
                    assert!(error.is_transient(), "a fault of the disk is told as one: {error}");
                    self.errors.push(error);
                }
            }
        }
        panic!("the store does not go on although the disk works again: {:?}", self.errors);
    }
    fn hear(&mut self, job: &Job) {
        let known = self.told.entry(job.id).or_default();
        *known = job.version.max(*known);
    }

    fn lead(&mut self, root: &Path) -> Result<(), GaveUp> {
        // A store that gave up while it was opened is opened again, which is a new start.
        let store = loop {
            match open(root) {
                Ok(store) => break store,
                Err(error) => self.errors.push(error),
            }
            assert!(self.errors.len() < 4, "it opens when the disk works again: {:?}", self.errors);
        };
        let plan = PlanSpec { kind: "k".into(), phases: vec![PhaseSpec::new("a"), PhaseSpec::new("b")] };
        let plan_ref = self.insist(|| wait(store.register(vec![plan.clone()])))?.remove(0);
        let session = SessionId::from_bytes([3; 16]);
        let opened = Session {
            id: session,
            node: "node".into(),
            started_at: Timestamp::from_micros(1),
            kinds: vec![("k".into(), plan_ref.generation)],
            queues: vec![("default".into(), 10)],
            about: stepwell_core::session::About::default(),
        };
        self.insist(|| wait(store.open_session(opened.clone())))?;
        let plans = Arc::new(vec![WorkedPlan { spec: Arc::new(plan), plan_ref }]);
        let ids: Vec<JobId> =
            (0..6).map(|n| JobId::from_parts(store.clock().now(), [1, n, 0, 0, 0, 0, 0, 0, 0, 0])).collect();
        for (id, size) in ids.iter().zip([5, 20_000, 5, 100, 5, 5]) {
            let new = NewJob::new(*id, "k", Json::of(&"x".repeat(size)).unwrap());
            let answer =
                self.insist(|| wait(store.enqueue(vec![new.clone()])).map(|mut all| all.remove(0)))?;
            assert!(answer.is_ok(), "one job at a time, and each is new: {answer:?}");
            self.told.insert(*id, 1);
        }
        self.checkpoint(root);
        let mut tokens = 0_u8;
        let mut claim = |life: &mut Self, at_most: usize| {
            life.insist(|| {
                tokens += 1;
                wait(store.claim(ClaimRequest {
                    session,
                    lanes: vec![Lane { queue: "default".into(), at_most }],
                    plans: plans.clone(),
                    tokens: (0..5).map(|n| Token::from_bytes([tokens; 16].map(|byte| byte ^ n))).collect(),
                }))
            })
        };
        let jobs = claim(self, 3)?.jobs;
        for job in &jobs {
            self.hear(&job.job);
        }
        for claimed in &jobs[..2] {
            let mut job = claimed.job.clone();
            while let Some(phase) = job.running_phase().map(|phase| phase.name.clone()) {
                let result = Json::of(&"r".repeat(3_000)).unwrap();
                let mut commands = vec![Command::CompletePhase { phase, result }];
                if job.next_phase().is_some() {
                    commands.push(Command::StartPhase);
                }
                let request = Request { job: job.id, fence: job.owner_fence().unwrap(), commands };
                job = self.insist(|| wait(store.apply(request.clone())))?.job;
                self.hear(&job);
            }
        }
        self.checkpoint(root);
        let ask = |command: Command| Request {
            job: ids[5],
            fence: stepwell_core::lease::Fence::None,
            commands: vec![command],
        };
        let cancel = ask(Command::Cancel { grace: std::time::Duration::ZERO });
        let job = self.insist(|| wait(store.apply(cancel.clone())))?.job;
        self.hear(&job);
        let retry = ask(Command::Retry { from: RetryFrom::Start, rerun: false, payload: None });
        let job = self.insist(|| wait(store.apply(retry.clone())))?.job;
        self.hear(&job);
        self.insist(|| wait(store.maintain(Maintain { jitter: 0.5, session: Some(session) })))?;
        let keep = Retention { completed: Keep::EVERYTHING.at_most(1), ..Retention::KEEP_EVERYTHING };
        self.insist(|| wait(store.prune(keep.clone())))?;
        self.insist(|| wait(store.job(ids[3])))?;
        self.insist(|| wait(store.close_session(session)))?;
        let closed = wait(store.close());
        if let Err(error) = closed {
            assert!(error.is_transient() || error.is_fatal(), "{error}");
        }
        Ok(())
    }
    /// What another program does to the file now and then.
    fn checkpoint(&self, root: &Path) {
        if let Ok(other) = Connection::open(root.join(FILE)) {
            drop(other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        }
    }
}

/// Opens the file on a disk that works again, and looks for what was acknowledged.
fn look(root: &Path, life: &Life, what: &str) {
    let store = open(root).unwrap_or_else(|error| panic!("{what}: the store opens again: {error}"));
    let found = wait(Snapshot::read(&store)).unwrap();
    let violations = check(&found);
    assert!(violations.is_empty(), "{what}: {violations:#?}");
    let gone = found.events.iter().filter(|event| event.ty == stepwell_core::EventType::Deleted).count();
    let mut missing = 0;
    for (id, version) in &life.told {
        match found.jobs.iter().find(|shown| shown.job.id == *id) {
            Some(shown) => assert!(shown.job.version >= *version, "{what}: job {id} went back"),
            None => missing += 1,
        }
    }
    assert_eq!(missing, gone, "{what}: only retention removes a job");
    wait(store.close()).unwrap();
    let conn = Connection::open(root.join(FILE)).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{what}");
}

/// Lets the nth call of a kind fail, for every n. Answers how many there were, and how many stores gave up.
fn each_call_fails(call: Call, code: i32, times: u64) -> (u64, u64) {
    let mut gave_up = 0;
    for nth in 1.. {
        let home = directory();
        let disk = Disk::behind(home.path(), nth);
        disk.fail(Fault { call, nth, times, code });
        let mut life = Life::default();
        gave_up += u64::from(life.lead(home.path()).is_err());
        if disk.heal() == 0 {
            assert!(life.errors.is_empty(), "no fault, no error: {:?}", life.errors);
            return (nth - 1, gave_up);
        }
        look(home.path(), &life, &format!("{call:?} {nth} fails with {code}"));
    }
    unreachable!("a life has an end");
}

#[test]
fn every_write_may_fail() {
    let (calls, gave_up) = each_call_fails(Call::Write, ffi::SQLITE_IOERR_WRITE, 1);
    println!("{calls} writes failed once each");
    assert!(calls > 50);
    assert_eq!(gave_up, 0, "a write that failed can be done again");
}

#[test]
fn every_write_may_find_the_disk_full() {
    let (calls, gave_up) = each_call_fails(Call::Write, ffi::SQLITE_FULL, 2);
    assert!(calls > 50);
    assert_eq!(gave_up, 0);
}

/// What a sync that failed has left of earlier writes, nobody knows: the store stops at once, and a new start goes on
/// from what is on the disk.
#[test]
fn every_sync_may_fail() {
    let (calls, gave_up) = each_call_fails(Call::Sync, ffi::SQLITE_IOERR_FSYNC, 1);
    println!("{calls} syncs failed once each, {gave_up} stores gave up");
    assert!(calls > 20 && gave_up > 10, "{calls} syncs, {gave_up} times");
}

#[test]
fn every_read_may_fail() {
    let (calls, gave_up) = each_call_fails(Call::Read, ffi::SQLITE_IOERR_READ, 1);
    println!("{calls} reads failed once each");
    assert!(calls > 10);
    assert_eq!(gave_up, 0);
}

#[test]
fn every_other_call_may_fail() {
    for (call, code) in
        [(Call::Truncate, ffi::SQLITE_IOERR_TRUNCATE), (Call::Delete, ffi::SQLITE_IOERR_DELETE)]
    {
        let (calls, gave_up) = each_call_fails(call, code, 1);
        println!("{call:?}: {calls} failed once each");
        assert!(calls > 0);
        assert_eq!(gave_up, 0);
    }
}
