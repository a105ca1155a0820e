//! Losses of power at random moments: what was acknowledged is there, and half of anything is not.
//!
//! The disk keeps what was synced, and any part of the rest in any order, torn at the borders of sectors. Two kinds of
//! life are led on it. In a *voyage* random operations run one after the other, so that what is found after a loss must
//! be exactly the state before or after the operation that was cut off. In a *crowd* many callers share group commits,
//! and whatever any of them was told before the loss must be found. `STEPWELL_POWERLOSS_ROUNDS` says how many losses
//! there are at least, `STEPWELL_POWERLOSS_SEED` with which seed they begin.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rusqlite::Connection;
use stepwell_core::{
    Clock, Job, JobId, Json, Name, PhaseSpec, PlanSpec, SessionId, Timestamp, Token,
    machine::{Command, NewJob},
    session::Session,
    store::{ClaimRequest, Lane, Request, Store, WorkedPlan},
};
use stepwell_sim::{Chance, Disk, Image};
use stepwell_sqlite::{Durability, Sqlite, SqliteOptions};
use stepwell_store_tests::{
    fixture::Fixture,
    invariants::{check, check_step, snapshot::Snapshot},
    properties::{
        operation::{Operation, sequence},
        stage::Stage,
    },
    sqlite::OnSqlite,
};
use support::{directory, dump, setting, wait};

const FILE: &str = "test.db";

/// What kind of life is led.
#[derive(Clone, Copy)]
struct Sea {
    durability: Durability,
    /// Whether the disk says that it has synced, and has not.
    lies: bool,
}
const HONEST: Sea = Sea { durability: Durability::Full, lies: false };

#[derive(Default)]
struct Report {
    losses: u64,
    /// Losses while a file was being put in order after the loss before.
    second_losses: u64,
    acknowledged: u64,
    found: Vec<String>,
}

fn operations(seed: u64) -> Vec<Operation> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    sequence().new_tree(&mut runner).unwrap().current()
}

/// Whether an operation is one commit, so that nothing between its beginning and its end may be found.
fn is_one_commit(operation: &Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Enqueue(_) | O::Inbox { .. } | O::Claim { .. } | O::Own { .. } | O::Ask { .. } | O::Pause { .. }
    )
}

/// One operation after another.
async fn voyage(seed: u64, sea: Sea, report: &mut Report) {
    let mut chance = Chance::new(seed);
    let home = directory();
    let root = home.path().to_owned();
    let disk = Disk::behind(&root, seed);
    disk.lie(sea.lies);
    disk.lose_power(40);
    let store = OnSqlite::open_in(home, sea.durability).unwrap();
    let mut stage = Stage::new(Some(Box::new(store))).await;
    let other = Connection::open(root.join(FILE)).unwrap();
    let mut before = (dump(&other).unwrap(), Snapshot::default());
    for image in disk.images() {
        examine(&image, &root, None, &before.1, &mut chance, report).await;
    }
    for (nth, operation) in (1..).zip(operations(seed)) {
        disk.mark(nth);
        // The log is short, and would never be moved into the file by itself.
        if chance.per_mille(120) {
            let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][usize::try_from(chance.below(4)).unwrap()];
            other.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
        }
        let seen = stage.play_one(&operation).await.clone();
        let after = dump(&other).unwrap();
        for image in disk.images() {
            let either = [&*before.0, &*after];
            let expected = is_one_commit(&operation).then_some(&either[..]);
            examine(&image, &root, expected, &before.1, &mut chance, report).await;
        }
        before = (after, seen);
        report.acknowledged += 1;
    }
    stage.compare().await;
}

/// Looks at what a loss left: first as SQLite finds it, then as the store does.
async fn examine(
    image: &Image,
    root: &Path,
    expected: Option<&[&str]>,
    seen: &Snapshot,
    chance: &mut Chance,
    report: &mut Report,
) {
    report.losses += 1;
    let mut note =
        |what: String| report.found.push(format!("mark {}, call {}: {what}", image.mark, image.call));
    match as_sqlite_finds_it(image) {
        Err(damage) => note(format!("the file is damaged: {damage}")),
        Ok(found) if expected.is_some_and(|expected| !expected.contains(&&*found)) => {
            note("it is neither as before the operation nor as after it".into());
        }
        Ok(_) => {}
    }
    let place = directory();
    image.write_to(place.path()).unwrap();
    leave_litter(root, place.path(), chance);
    // The next loss comes while the file is put in order.
    let disk = Disk::behind(place.path(), chance.next());
    disk.lose_power(100);
    as_the_store_finds_it(place, seen, &mut note).await;
    let again = disk.images();
    for image in &again {
        if let Err(damage) = as_sqlite_finds_it(image) {
            note(format!("the file is damaged after a second loss: {damage}"));
        }
    }
    if let Some(image) = again.first() {
        let place = directory();
        image.write_to(place.path()).unwrap();
        let _disk = Disk::behind(place.path(), chance.next());
        as_the_store_finds_it(place, seen, &mut note).await;
    }
    report.second_losses += again.len() as u64;
}

fn as_sqlite_finds_it(image: &Image) -> rusqlite::Result<String> {
    let place = directory();
    image.write_to(place.path()).unwrap();
    let _disk = Disk::behind(place.path(), 0);
    let conn = Connection::open(place.path().join(FILE))?;
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if sound == "ok" { dump(&conn) } else { Ok(format!("integrity_check says {sound}")) }
}

async fn as_the_store_finds_it(place: tempfile::TempDir, seen: &Snapshot, note: &mut impl FnMut(String)) {
    let store = match OnSqlite::open_in(place, Durability::Full) {
        Ok(store) => store,
        Err(error) => return note(format!("the store does not open: {error}")),
    };
    match Snapshot::read(store.store()).await {
        Ok(found) => {
            let violations = [check(&found), check_step(seen, &found)].concat();
            violations.iter().for_each(|violation| note(format!("{violation:?}")));
        }
        Err(error) => note(format!("the store cannot be read: {error}")),
    }
    // Life goes on.
    let new = NewJob::new(JobId::from_parts(store.store().clock().now(), [9; 10]), "after", Json::null());
    if let Err(error) = store.store().enqueue(vec![new]).await {
        note(format!("the store cannot be written: {error}"));
    }
}

/// The files beside the database are never synced: they are as they were, gone, or full of anything.
fn leave_litter(root: &Path, place: &Path, chance: &mut Chance) {
    for entry in fs::read_dir(root).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let is_side_file = ["-live", "-next", "-write", "-session-"].iter().any(|part| name.contains(part));
        let Ok(mut content) = fs::read(entry.path()) else { continue };
        match (is_side_file, chance.below(3)) {
            (false, _) | (_, 0) => continue,
            (_, 1) => content.iter_mut().for_each(|byte| *byte = u8::try_from(chance.below(256)).unwrap()),
            _ => {}
        }
        fs::write(place.join(name), content).unwrap();
    }
}

/// What a caller was told.
#[derive(Clone, Copy)]
enum Told {
    Stored(JobId),
    /// A job has got as far as this version.
    Recorded(JobId, u64),
}

struct Crowd {
    store: Sqlite,
    disk: Disk,
    told: Mutex<Vec<Told>>,
}

const CALLERS: u8 = 4;
const JOBS_OF_EACH: u8 = 15;
const PHASES: [&str; 2] = ["a", "b"];

impl Crowd {
    fn hear(&self, told: Told) {
        let mut all = self.told.lock().unwrap();
        all.push(told);
        // Under the lock, so that no loss is marked with more than was told before it.
        self.disk.mark(all.len() as u64);
    }
    fn enqueue(&self, caller: u8) {
        for n in 0..JOBS_OF_EACH {
            let id = JobId::from_parts(self.store.clock().now(), [1, caller, n, 0, 0, 0, 0, 0, 0, 0]);
            let new = NewJob::new(id, "k", Json::of(&"x".repeat(usize::from(n) * 40)).unwrap());
            wait(self.store.enqueue(vec![new])).unwrap().remove(0).unwrap();
            self.hear(Told::Stored(id));
        }
    }
    fn work(&self) {
        let plan = PlanSpec { kind: "k".into(), phases: PHASES.map(PhaseSpec::new).to_vec() };
        let plan_ref = wait(self.store.register(vec![plan.clone()])).unwrap().remove(0);
        let session = Session {
            id: SessionId::from_bytes([3; 16]),
            node: "node".into(),
            started_at: Timestamp::from_micros(1),
            kinds: vec![("k".into(), plan_ref.generation)],
            queues: vec![("default".into(), 10)],
            about: stepwell_core::session::About::default(),
        };
        wait(self.store.open_session(session)).unwrap();
        let plans = Arc::new(vec![WorkedPlan { spec: Arc::new(plan), plan_ref }]);
        let (mut done, mut tokens) = (0, 0_u32);
        while done < u32::from(CALLERS) * u32::from(JOBS_OF_EACH) {
            let token = |n: u32| {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&n.to_le_bytes());
                Token::from_bytes(bytes)
            };
            let request = ClaimRequest {
                session: SessionId::from_bytes([3; 16]),
                lanes: vec![Lane { queue: "default".into(), at_most: 5 }],
                plans: plans.clone(),
                tokens: (0..5).map(|n| token(tokens + n)).collect(),
            };
            tokens += 5;
            for claimed in wait(self.store.claim(request)).unwrap().jobs {
                self.hear(Told::Recorded(claimed.job.id, claimed.job.version));
                self.finish(claimed.job);
                done += 1;
            }
        }
    }
    fn finish(&self, mut job: Job) {
        while let Some(phase) = job.running_phase() {
            let phase: Name = phase.name.clone();
            let mut commands =
                vec![Command::CompletePhase { phase, result: Json::of(&"r".repeat(700)).unwrap() }];
            if job.next_phase().is_some() {
                commands.push(Command::StartPhase);
            }
            let request = Request { job: job.id, fence: job.owner_fence().unwrap(), commands };
            job = wait(self.store.apply(request)).unwrap().job;
            self.hear(Told::Recorded(job.id, job.version));
        }
    }
}

/// Many callers at once.
fn crowd(seed: u64, sea: Sea, report: &mut Report) {
    let home = directory();
    let disk = Disk::behind(home.path(), seed);
    disk.lie(sea.lies);
    disk.lose_power(25);
    let mut options = SqliteOptions::new(home.path().join(FILE), [7; 16]);
    options.durability = sea.durability;
    let store = Sqlite::open(options).unwrap();
    let crowd = Crowd { store, disk, told: Mutex::default() };
    std::thread::scope(|scope| {
        scope.spawn(|| crowd.work());
        for caller in 0..CALLERS {
            let crowd = &crowd;
            scope.spawn(move || crowd.enqueue(caller));
        }
    });
    wait(crowd.store.close()).unwrap();
    let told = crowd.told.lock().unwrap().clone();
    report.acknowledged += told.len() as u64;
    for image in crowd.disk.images() {
        report.losses += 1;
        let heard = &told[..usize::try_from(image.mark).unwrap()];
        if let Err(what) = wait(is_all_there(&image, heard)) {
            report.found.push(format!("mark {}, call {}: {what}", image.mark, image.call));
        }
    }
}

async fn is_all_there(image: &Image, told: &[Told]) -> Result<(), String> {
    let place = directory();
    image.write_to(place.path()).unwrap();
    let _disk = Disk::behind(place.path(), 0);
    let mut options = SqliteOptions::new(place.path().join(FILE), [7; 16]);
    options.inline = true;
    options.clock = Some(Clock::system());
    let store = Sqlite::open(options).map_err(|error| format!("the store does not open: {error}"))?;
    let found = Snapshot::read(&store).await.map_err(|error| format!("it cannot be read: {error}"))?;
    if let Some(violation) = check(&found).first() {
        return Err(format!("{violation:?}"));
    }
    let version = |id| found.jobs.iter().find(|shown| shown.job.id == id).map(|shown| shown.job.version);
    for told in told {
        match *told {
            Told::Stored(id) if version(id).is_none() => return Err(format!("job {id} is lost")),
            Told::Recorded(id, told) if version(id).is_none_or(|found| found < told) => {
                return Err(format!("job {id} is at version {:?}, and was at {told}", version(id)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn seed() -> u64 {
    setting("STEPWELL_POWERLOSS_SEED", 1)
}

#[test]
fn nothing_acknowledged_is_lost_with_the_power() {
    let losses = setting("STEPWELL_POWERLOSS_ROUNDS", 300);
    let mut report = Report::default();
    let mut seed = seed();
    println!("power loss: at least {losses} losses, from seed {seed}");
    while report.losses < losses {
        wait(voyage(seed, HONEST, &mut report));
        crowd(seed, HONEST, &mut report);
        assert!(report.found.is_empty(), "seed {seed}: {:#?}", report.found);
        seed += 1;
    }
    println!(
        "{} losses of power and {} during recovery, {} acknowledged operations, seeds up to {}: nothing lost, nothing \
         torn, nothing damaged",
        report.losses,
        report.second_losses,
        report.acknowledged,
        seed - 1
    );
}

/// The checker catches what it is there for: an acknowledgement before its sync.
#[test]
fn relaxed_durability_is_caught_losing() {
    let sea = Sea { durability: Durability::Relaxed, ..HONEST };
    let mut report = Report::default();
    for seed in seed()..seed() + 3 {
        wait(voyage(seed, sea, &mut report));
    }
    assert!(report.found.iter().any(|found| found.contains("neither as before")), "{:?}", report.found);
    let damaged = report.found.iter().filter(|found| found.contains("damaged")).count();
    assert_eq!(damaged, 0, "it loses the last of it, and damages nothing: {:#?}", report.found);
    let mut report = Report::default();
    for seed in seed()..seed() + 3 {
        crowd(seed, sea, &mut report);
    }
    assert!(report.found.iter().any(|found| found.contains("job ")), "{:?}", report.found);
}

/// And a disk that does not keep its word.
#[test]
fn a_disk_that_lies_is_caught() {
    let sea = Sea { lies: true, ..HONEST };
    let mut report = Report::default();
    for seed in seed()..seed() + 3 {
        wait(voyage(seed, sea, &mut report));
    }
    assert!(!report.found.is_empty());
}
