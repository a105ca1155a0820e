//! kill -9 of a process that sends webhooks: at named places, between the event and the delivery, before and after the
//! request, before and after what is recorded of it, and at random moments. The receiver lives outside, and saw
//! everything.
//!
//! `STEPWELL_WEBHOOKS_ROUNDS` and `STEPWELL_WEBHOOKS_SEED` set how often, and the moments.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(all(feature = "webhooks", feature = "sqlite", feature = "crash-points"))]

mod sink;
mod support;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sink::{Received, Reply, Sink, local};
use stepwell::{
    Ctx, Event, EventType, Job, JobId, PhaseResult, Retention, Stepwell,
    webhook::{JobWebhook, NewEndpoint, Secret},
};

const FILE: &str = "STEPWELL_WEBHOOKS_FILE";
const OWN: &str = "STEPWELL_WEBHOOKS_OWN";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Where the process is killed by itself, as by `kill -9`.
const POINTS: [&str; 6] =
    ["before-delivery", "after-delivery", "before-send", "after-send", "before-record", "after-record"];
/// Jobs that one child enqueues at most: what it leaves must be sent at the end.
const JOBS: u64 = 60;

#[derive(serde::Serialize, serde::Deserialize)]
struct Note(u64);
impl Job for Note {
    const KIND: &'static str = "note";
    type Output = u64;
}
async fn write(cx: &Ctx<Note>) -> PhaseResult<u64> {
    match cx.job().0 {
        n if n % 7 == 0 => Err(stepwell::PhaseError::permanent("unlucky")),
        n => Ok(n),
    }
}

async fn open(path: &Path) -> Stepwell {
    let builder = Stepwell::sqlite(path).webhooks(local().at_once(16)).worker_fn::<Note, _, _>(write);
    builder.retention(Retention::KEEP_EVERYTHING).open().await.expect("the queue opens")
}

/// The child: works, sends, enqueues, and says what was acknowledged, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(file) = std::env::var(FILE) else { return };
    let own = std::env::var(OWN).expect("the parent says where");
    let stepwell = open(Path::new(&file)).await;
    let _workers = stepwell.start();
    for n in 0..JOBS {
        let mut enqueue = stepwell.enqueue(Note(n));
        if n % 3 == 0 {
            let webhook = JobWebhook { url: own.clone(), secret: Some(SECRET.into()), events: Vec::new() };
            enqueue = enqueue.webhook(webhook);
        }
        let job = enqueue.await.expect("the job is accepted");
        writeln!(std::io::stdout().lock(), "acknowledged {}", job.id()).expect("the parent listens");
    }
    std::future::pending::<()>().await;
}

fn start(path: &Path, own: &str, point: Option<String>) -> (Child, mpsc::Receiver<JobId>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(FILE, path).env(OWN, own);
    command.envs(point.map(|point| ("STEPWELL_CRASH_POINT", point)));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (told, acknowledged) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let id = line.rsplit_once("acknowledged ").and_then(|(_, id)| id.parse().ok());
            if id.is_some_and(|id| told.send(id).is_err()) {
                return;
            }
        }
    });
    (child, acknowledged)
}

/// Waits until a process has been killed, by itself or by us: so long after its first acknowledgement. Answers with
/// what it acknowledged, and whether it was killed by itself.
fn ends(mut child: Child, told: &mpsc::Receiver<JobId>, alive: Duration) -> (Vec<JobId>, bool) {
    let begun = Instant::now();
    let mut first = None;
    let mut acknowledged = Vec::new();
    let by_itself = loop {
        // The time counts from the first acknowledgement, so that a slow machine does not only test the start.
        let left = match first {
            None => Duration::from_secs(30).saturating_sub(begun.elapsed()),
            Some(first) => alive.saturating_sub(Instant::now().duration_since(first)),
        };
        match told.recv_timeout(left) {
            Ok(id) => {
                first.get_or_insert_with(Instant::now);
                acknowledged.push(id);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(told);
    (acknowledged, by_itself)
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_is_told_whatever_kills_the_sender() {
    if std::env::var(FILE).is_ok() {
        return;
    }
    let (rounds, seed) = (setting("STEPWELL_WEBHOOKS_ROUNDS", 54), setting("STEPWELL_WEBHOOKS_SEED", 0x3eb));
    println!("kill -9 of a sender: {rounds} rounds, seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    // Now and then a delivery does not arrive at the first attempt, or nobody can tell whether it did.
    let seen = Mutex::new(HashSet::new());
    let sink = Sink::scripted(move |received, nth| {
        match (seen.lock().unwrap().insert(received.id().to_owned()), nth % 40) {
            (true, 3) => Reply::Status(500),
            (true, 17) => Reply::Cut,
            _ => Reply::Status(200),
        }
    })
    .await;
    let stepwell = open(&path).await;
    let mut new = NewEndpoint::new(sink.url("/endpoint"));
    new.secret = Secret::parse(SECRET).ok();
    stepwell.webhooks().create(new).await.unwrap();
    stepwell.close().await.unwrap();
    drop(stepwell);

    let mut acknowledged: BTreeSet<JobId> = BTreeSet::new();
    let mut died: BTreeMap<&str, u64> = BTreeMap::new();
    let own = sink.url("/own");
    for round in 0..rounds {
        // Half of the rounds end at a named place, each in its turn.
        let point = (round % 2 == 0).then(|| POINTS[usize::try_from(round / 2).unwrap_or(0) % POINTS.len()]);
        // Events are read in pages, so that those places are seldom passed.
        let nth = if point.is_some_and(|point| point.ends_with("delivery")) { 1..3 } else { 1..30 };
        let point = point.map(|point| (point, format!("{point}:{}", random.random_range(nth))));
        let alive = match point {
            Some(_) => Duration::from_secs(10),
            None => Duration::from_millis(random.random_range(1..200)),
        };
        let place = point.as_ref().map_or("at random", |(place, _)| place);
        let (child, told) = start(&path, &own, point.as_ref().map(|(_, point)| point.clone()));
        let ended = tokio::task::spawn_blocking(move || ends(child, &told, alive)).await.unwrap();
        assert!(point.is_some() || !ended.0.is_empty(), "round {round}: nothing was acknowledged in time");
        acknowledged.extend(ended.0);
        *died.entry(place).or_default() += u64::from(ended.1 == point.is_some());
    }

    let stepwell = open(&path).await;
    let workers = stepwell.start();
    let mut events = stepwell.events().after(0).subscribe();
    let mut log = Vec::new();
    let (mut open, mut due) = (acknowledged.clone(), BTreeMap::<JobId, i64>::new());
    let mut hooked = BTreeSet::new();
    // Until every acknowledged job has ended, and every delivery about it is recorded.
    while !open.is_empty() || due.values().any(|due| *due > 0) {
        let event = support::soon("the next event", events.next()).await.expect("the queue is open");
        if event.event_type.is_terminal() {
            open.remove(&event.job);
            let has_own = stepwell.job(event.job).await.unwrap().details.webhook.is_some();
            if has_own {
                hooked.insert(event.job);
            }
            *due.entry(event.job).or_default() += 1 + i64::from(has_own);
        }
        if event.event_type == EventType::WebhookDelivered {
            *due.entry(event.job).or_default() -= 1;
        }
        log.push(event);
    }
    for id in &acknowledged {
        let record = stepwell.job(*id).await.expect("an acknowledged job exists");
        assert!(record.details.webhook_sent, "{record:?}");
    }
    workers.shutdown(Duration::from_secs(25)).await.unwrap();
    let counted = check(&log, &hooked, &sink.received()).unwrap_or_else(|problem| panic!("{problem}"));
    let Counted { ends, requests, again } = counted;
    println!("{ends} ends, {requests} requests, {again} of them again; killed {died:?}");
    for place in POINTS.into_iter().chain(["at random"]).take(usize::try_from(rounds).unwrap_or(0)) {
        assert!(
            rounds < 13 || died.get(place).is_some_and(|died| *died > 0),
            "never killed {place}: {died:?}"
        );
    }
    assert!(again > 0 || rounds < 13, "no attempt was ever cut off: the rounds prove nothing");
}

#[derive(Debug)]
struct Counted {
    ends: usize,
    requests: usize,
    again: usize,
}

/// Every end of a job was told to the endpoint, and to its own webhook if it has one, at least once. What was told more
/// than once is the same.
fn check(log: &[Event], hooked: &BTreeSet<JobId>, received: &[Received]) -> Result<Counted, String> {
    let mut told: BTreeMap<(u64, &str), &Received> = BTreeMap::new();
    let mut ids: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    let mut again = 0;
    for request in received {
        if request.signatures_with(SECRET) != 1 {
            return Err(format!("a wrong signature: {request:?}"));
        }
        let pos = request.json()["pos"].as_u64().ok_or("no pos")?;
        let to = (pos, request.path.as_str());
        if ids.insert(request.id(), to).is_some_and(|before| before != to) {
            return Err(format!("one id for two deliveries: {request:?}"));
        }
        if let Some(before) = told.insert(to, request) {
            again += 1;
            if before.id() != request.id() || before.body != request.body {
                return Err(format!("another id or body than before: {before:?}, then {request:?}"));
            }
        }
    }
    let ends: Vec<&Event> = log.iter().filter(|event| event.event_type.is_terminal()).collect();
    for end in &ends {
        if !told.contains_key(&(end.pos, "/endpoint")) {
            return Err(format!("the endpoint was never told: {end:?}"));
        }
        if hooked.contains(&end.job) && !told.contains_key(&(end.pos, "/own")) {
            return Err(format!("the job's own webhook was never told: {end:?}"));
        }
    }
    let delivered = log.iter().filter(|event| event.event_type == EventType::WebhookDelivered).count();
    if delivered > told.len() {
        return Err(format!("{delivered} deliveries were recorded, and {} arrived", told.len()));
    }
    Ok(Counted { ends: ends.len(), requests: received.len(), again })
}

/// The checker catches what it is there for.
#[tokio::test]
async fn the_checker_catches_planted_faults() {
    let all = Arc::new(Sink::answering(200).await);
    let stepwell = sink::in_memory().worker_fn::<Note, _, _>(write).open().await.unwrap();
    let mut new = NewEndpoint::new(all.url("/endpoint"));
    new.secret = Secret::parse(SECRET).ok();
    stepwell.webhooks().create(new).await.unwrap();
    let _workers = stepwell.start();
    for n in 1..4 {
        stepwell.enqueue(Note(n)).await.unwrap();
    }
    let received = all.reaches(3).await;
    let mut events = stepwell.events().after(0).subscribe();
    let mut log = Vec::new();
    while log.iter().filter(|event: &&Event| event.event_type == EventType::WebhookDelivered).count() < 3 {
        log.push(support::soon("an event", events.next()).await.unwrap());
    }
    let none = BTreeSet::new();
    check(&log, &none, &received).unwrap();
    let all_hooked = log.iter().map(|event| event.job).collect();
    assert!(check(&log, &all_hooked, &received).unwrap_err().contains("own webhook was never told"));
    let problem = |change: &dyn Fn(&mut Vec<Received>)| {
        let mut changed = received.clone();
        change(&mut changed);
        check(&log, &none, &changed).unwrap_err()
    };
    assert!(problem(&|all| drop(all.remove(1))).contains("never told"));
    let new_id = |all: &mut Vec<Received>| {
        let mut again = all[1].clone();
        again.headers.insert("webhook-id".into(), "another".into());
        all.push(again);
    };
    assert!(problem(&new_id).contains("a wrong signature"), "the id is signed");
    assert!(problem(&|all| all[1].body.push(' ')).contains("a wrong signature"));
    let mut recorded = log.clone();
    recorded.push(log.iter().rfind(|event| event.event_type == EventType::WebhookDelivered).unwrap().clone());
    assert!(check(&recorded, &none, &received).unwrap_err().contains("were recorded"));
}
