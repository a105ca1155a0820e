//! The event log under fire: 64 writers on four nodes in two processes, one of which is killed again and again;
//! transactions that are taken back; strangers' transactions that stay open, also in another database; backends that
//! are terminated; and 100 readers who are dropped at any event and go on from the place that they kept. Nothing is
//! skipped, doubled or reordered, and nothing that was acknowledged is missing.
//!
//! The second process is this test, started by itself. `STEPWELL_LOG_MINUTES` and `STEPWELL_LOG_SEED` set how long, and
//! what comes when; without the first it takes a few seconds.
//!
//! It was seen to fail with: positions given in one statement with the lock on the head, or without the lock;
//! positions that go on after the last batch that has one, so that a smaller one that commits later is left out; a log
//! read in the order of the batches' numbers; batches that take their number before their jobs are locked; a reader
//! that waits for every older transaction of the cluster; and events of a batch that is run again, which stayed from
//! the first time.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod process;
mod read;
mod stranger;
mod told;
mod write;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use process::Process;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use read::{Seen, read};
use stepwell_core::{
    store::{Maintain, Store},
    time::Stopwatch,
};
use stepwell_postgres::{Postgres, PostgresOptions};
use stepwell_postgres_rig::Database;
use told::Told;
use write::{COMMON, common_job, write};

const WRITERS: usize = 64;
const READERS: usize = 100;
/// In two processes.
const NODES: usize = 4;
/// How long without another word of it.
const SHORT: Duration = Duration::from_secs(12);
/// How long the readers may take to come to the end of the log once nobody writes.
const PATIENCE: Duration = Duration::from_secs(60);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn node(url: &str) -> Arc<Postgres> {
    let mut options = PostgresOptions::new(url, [7; 16]);
    // Sessions are not what this is about.
    options.session_ttl = Duration::from_secs(86_400);
    options.readers = 4;
    let since = Stopwatch::start();
    loop {
        match Postgres::open(&options) {
            Ok(store) => return Arc::new(store),
            // Its backend was terminated, perhaps.
            Err(error) => assert!(since.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// Two of the nodes, with their share of the writers. Each also does what maintenance there is, and so do the others.
async fn work(nodes: &[Arc<Postgres>], seed: u64, told: &Arc<Told>, is_enough: &Arc<AtomicBool>) {
    let maintaining = nodes.iter().map(|node| {
        let (node, is_enough) = (node.clone(), is_enough.clone());
        tokio::spawn(async move {
            while !is_enough.load(Ordering::Relaxed) {
                // It may meet a stranger's lock, or a terminated backend.
                drop(node.maintain(Maintain { jitter: 0.0, session: None }).await);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    });
    let share = WRITERS * nodes.len() / NODES;
    let writing = (0..share).map(|nth| {
        let random = StdRng::seed_from_u64(seed + u64::try_from(nth).unwrap());
        tokio::spawn(write(nodes[nth % nodes.len()].clone(), random, told.clone(), is_enough.clone()))
    });
    for task in maintaining.chain(writing).collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

/// The second process: writes until it is killed. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some((url, seed)) = process::orders() else { return };
    let nodes = [node(&url), node(&url)];
    work(&nodes, seed, &Arc::new(Told::aloud()), &Arc::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_log_is_whole_for_every_reader_whatever_happens_to_its_writers() {
    if process::orders().is_some() {
        return;
    }
    let long = setting("STEPWELL_LOG_MINUTES").map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    let seed = setting("STEPWELL_LOG_SEED").unwrap_or(0x5eed);
    println!("the event log: {long:?}, seed {seed}");
    let (database, other) = (Database::create().unwrap(), Database::create().unwrap());
    let url = database.url();
    let nodes = [node(&url), node(&url)];
    nodes[0].enqueue((0..COMMON).map(common_job).collect()).await.unwrap();

    let (told, seen, is_enough) = (Arc::new(Told::default()), Arc::new(Seen::default()), Arc::default());
    let is_over: Arc<AtomicBool> = Arc::default();
    let strangers = stranger::come(&url, &other.url(), seed, &is_enough, &is_over).await;
    let readers: Vec<_> = (0..READERS)
        .map(|nth| tokio::spawn(read(nodes[nth % nodes.len()].clone(), nth, seed, seen.clone())))
        .collect();
    let writing = {
        let (nodes, told, is_enough) = (nodes.clone(), told.clone(), is_enough.clone());
        tokio::spawn(async move { work(&nodes, seed, &told, &is_enough).await })
    };
    let (since, mut random, mut killed) = (Stopwatch::start(), StdRng::seed_from_u64(seed), 0_u64);
    while since.elapsed() < long {
        let mut process = Process::start(&url, seed + 1_000 * (killed + 1), told.clone());
        process.until_heard();
        let alive = Duration::from_millis(random.random_range(500..4_000));
        tokio::time::sleep(alive.min(long.saturating_sub(since.elapsed()))).await;
        process.kill();
        killed += 1;
    }
    is_enough.store(true, Ordering::Relaxed);
    writing.await.unwrap();

    // A killed node's transaction may still be about to end on the server.
    let ours = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL \
        AND application_name = 'stepwell'";
    let since = Stopwatch::start();
    while !database.query(ours).unwrap().is_empty() {
        assert!(since.elapsed() < PATIENCE, "a transaction does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What a killed node has committed and not numbered.
    nodes[0].maintain(Maintain { jitter: 0.0, session: None }).await.unwrap();
    let head = nodes[0].events(u64::MAX / 4, 1, Default::default()).await.unwrap().head;
    // The strangers' transactions in the other database are still open, and keep nobody from the end.
    seen.ends_at(head);
    let dropped = tokio::time::timeout(PATIENCE, join_all(readers)).await;
    let dropped: u64 = dropped.expect("the readers come to the end").into_iter().map(Result::unwrap).sum();
    is_over.store(true, Ordering::Relaxed);
    let terminated = strangers.gone().await;

    let jobs = seen.check(&database);
    let acknowledged = told.check(&seen);
    println!(
        "{head} events of {jobs} jobs, {acknowledged} acknowledged; {killed} processes killed, {terminated} backends \
         terminated, readers dropped {dropped} times"
    );
    assert!(killed > 1 && terminated > 5 && dropped > 100 && acknowledged > 500, "it was under fire");
    for node in &nodes {
        node.close().await.unwrap();
    }
}
