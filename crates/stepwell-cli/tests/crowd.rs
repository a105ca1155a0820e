//! Very many readers of one event stream: what each costs, how late events come, and that one who stops reading is cut
//! while nobody else notices. On Linux, of which it asks how much memory the server has and which connections.
//!
//! Run it with `cargo xtask proof crowd`. `STEPWELL_CROWD_CLIENTS` sets how many readers there are.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

#[path = "crowd/reader.rs"]
mod reader;
mod rig;

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use reader::{Arrival, Crowd, Stalled};
use rig::{Client, Program, setting, token};
use serde_json::{Value, json};

/// Events a second while it is measured. Each goes to every reader.
const RATE: u64 = 5;
/// How long it is measured, first without and then with a reader that has stopped.
const WINDOW: Duration = Duration::from_secs(20);
/// Events that the stopped reader asks for at once: more than all buffers on the way hold.
const BACKLOG: usize = 20_000;
/// By when it must be cut.
const CUT_WITHIN: Duration = Duration::from_secs(15);
/// How long the last event may take to reach everybody before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_follows_and_one_who_stops_is_cut() {
    let clients = usize::try_from(setting("STEPWELL_CROWD_CLIENTS", 10_000)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let program = Program::start(place.path(), &["--requests-per-minute", "0"]);
    let client = Client::new(program.address, &token(place.path(), "crowd", &["--admin"]));
    for _ in 0..BACKLOG / 1_000 {
        enqueue(&client, 1_000).await;
    }
    let begin = head(&client).await;

    let before = resident_kib(program.pid());
    let begun = Instant::now();
    let crowd = Crowd::gather(&client, clients).await;
    let gathered = begun.elapsed();
    let after = resident_kib(program.pid());
    let kib = |kib: u64| kib as f64 / clients as f64;
    println!("{clients} readers within {:.1} s", gathered.as_secs_f64());
    println!(
        "memory of the server: {before} KiB before them, {after} KiB with them, {:.1} KiB each",
        kib(after - before)
    );

    publish(&client).await;
    let calm = head(&client).await;
    crowd.reaches(calm, PATIENCE).await;
    let stalled = Stalled::open(&client, "/api/v1/events?after=0").await;
    let since = Instant::now();
    let (cut, ()) = tokio::join!(cut_after(&program, &stalled, since), publish(&client));
    let end = head(&client).await;
    crowd.reaches(end, PATIENCE).await;
    let loaded = resident_kib(program.pid());
    println!("memory after the load: {loaded} KiB, {:.1} KiB each", kib(loaded - before));

    let committed = times(&client, begin).await;
    let arrivals = crowd.arrivals();
    assert_eq!(arrivals.len(), clients);
    for (nth, arrivals) in arrivals.iter().enumerate() {
        let places: Vec<u64> = arrivals.iter().map(|arrival| arrival.pos).collect();
        let all: Vec<u64> = (begin + 1..=end).collect();
        assert!(places == all, "reader {nth} did not see each event once and in order: {places:?}");
    }
    let of = |window: std::ops::RangeInclusive<u64>| delays(&arrivals, &committed, &window);
    report("delay from commit to receipt", &of(begin + 1..=calm));
    report("the same beside one who has stopped", &of(calm + 1..=end));
    let cut = cut.unwrap_or_else(|| panic!("who stopped reading was not cut within {CUT_WITHIN:?}"));
    println!("who stopped reading was cut after {:.1} s; nobody else was", cut.as_secs_f64());
    let (code, told) = program.end();
    assert_eq!(code, Some(0), "{told}");
}

/// Jobs that nobody works: each is one event.
async fn enqueue(client: &Client, n: usize) {
    let jobs = vec![json!({ "kind": "crowd", "payload": null }); n];
    client.post("/api/v1/jobs/batch", &json!({ "jobs": jobs })).await.unwrap().good("a batch of jobs");
}

/// Publishes at a steady rate for one window.
async fn publish(client: &Client) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(RATE).unwrap());
    for _ in 0..WINDOW.as_secs() * RATE {
        ticks.tick().await;
        enqueue(client, 1).await;
    }
}

/// The place of the last event.
async fn head(client: &Client) -> u64 {
    let page = client.get("/api/v1/events").await.unwrap().good("the events");
    page["next"].as_str().unwrap().rsplit_once('-').unwrap().1.parse().unwrap()
}

/// When each event after a place was written, in microseconds.
async fn times(client: &Client, after: u64) -> HashMap<u64, i64> {
    let mut times = HashMap::new();
    let mut place = after.to_string();
    loop {
        let page =
            client.get(&format!("/api/v1/events?limit=1000&after={place}")).await.unwrap().good("events");
        let events = page["events"].as_array().unwrap();
        if events.is_empty() {
            return times;
        }
        let at = |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        times.extend(events.iter().map(|event| (event["pos"].as_u64().unwrap(), at(event).as_microsecond())));
        page["next"].as_str().unwrap().clone_into(&mut place);
    }
}

fn delays(
    arrivals: &[Vec<Arrival>],
    committed: &HashMap<u64, i64>,
    window: &std::ops::RangeInclusive<u64>,
) -> Vec<i64> {
    let within = arrivals.iter().flatten().filter(|arrival| window.contains(&arrival.pos));
    let mut delays: Vec<i64> = within.map(|arrival| arrival.at - committed[&arrival.pos]).collect();
    delays.sort_unstable();
    delays
}

fn report(what: &str, delays: &[i64]) {
    let at = |share: f64| {
        let nth = ((delays.len() - 1) as f64 * share).round();
        delays[nth as usize] as f64 / 1_000.0
    };
    let rate = delays.len() as f64 / WINDOW.as_secs_f64();
    println!(
        "{what}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; {} frames, {rate:.0} a second",
        at(0.5),
        at(0.99),
        at(1.0),
        delays.len()
    );
}

/// How long the server kept the connection of one who does not read.
async fn cut_after(program: &Program, stalled: &Stalled, since: Instant) -> Option<Duration> {
    while since.elapsed() < CUT_WITHIN {
        if !stalled.is_kept_by(program.address) {
            return Some(since.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    None
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
