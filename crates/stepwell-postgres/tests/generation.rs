//! When the log is another one, and when it is not.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use stepwell_core::{store::Store, time::Stopwatch};
use stepwell_postgres::{Postgres, PostgresOptions};
use stepwell_postgres_rig::{Cluster, Replication, Settings};
use support::{new_job, node, sound_log};

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let since = Stopwatch::start();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(30), "{what}: it did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn write(nodes: &[Arc<Postgres>], n: usize) {
    let jobs = nodes.iter().flat_map(|node| (0..n).map(|_| node.enqueue(vec![new_job("k")])));
    for enqueued in join_all(jobs).await {
        enqueued.unwrap().remove(0).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_or_crashes_keeps_its_generation() {
    let mut cluster = Cluster::start(&Settings::durable()).unwrap();
    let url = cluster.address().url("postgres");
    let nodes: Vec<Arc<Postgres>> = (0..3).map(|_| Arc::new(node(url.clone(), 2))).collect();
    let generation = nodes[0].describe().generation;
    for round in 0..4 {
        let writing = {
            let nodes = nodes.clone();
            tokio::spawn(async move { write(&nodes, 50).await })
        };
        let end = if round % 2 == 0 { Cluster::stop } else { Cluster::crash };
        end(&mut cluster).unwrap();
        cluster.start_again().unwrap();
        writing.await.unwrap();
        // One that knows nothing of before comes as well.
        let fresh = node(url.clone(), 1);
        write(&[Arc::new(fresh)], 1).await;
    }
    // Each has looked since then.
    let head = sound_log(&nodes[0]).await.len() as u64;
    until("all know the end of the log", || nodes.iter().all(|node| node.head() == head)).await;
    for node in &nodes {
        assert_eq!(node.describe().generation, generation);
    }
    let n = cluster.query("SELECT generation_n FROM stepwell.meta").unwrap();
    assert_eq!(n[0][0].as_deref(), Some("0"));
}

/// A server, one that follows it, and the way to whichever can be written to.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    url: String,
}

impl Pair {
    fn start(user: &str) -> Self {
        let primary = Cluster::start(&Settings::durable()).unwrap();
        primary.query("CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app").unwrap();
        let standby = primary.standby(Replication::Asynchronous).unwrap();
        let [one, other] = [&primary, &standby].map(|server| server.address().port);
        let url = format!("postgres://{user}@127.0.0.1:{one},127.0.0.1:{other}/postgres");
        Self { primary, standby, url }
    }
    async fn until_same(&self) {
        let behind = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()";
        until("the standby follows", || self.primary.query(behind).unwrap().is_empty()).await;
    }
    async fn cut(&self) {
        self.standby.query("ALTER SYSTEM SET primary_conninfo = ''").unwrap();
        self.standby.query("SELECT pg_reload_conf()").unwrap();
        let receives = "SELECT 1 FROM pg_stat_wal_receiver";
        until("nothing is received", || self.standby.query(receives).unwrap().is_empty()).await;
    }
    fn fail_over(&mut self) {
        self.primary.crash().unwrap();
        self.standby.promote().unwrap();
    }
    fn generations(&self) -> String {
        let found = self.standby.query("SELECT generation_n FROM stepwell.meta").unwrap();
        found[0][0].clone().unwrap()
    }
}

/// Nobody who knew the old log is left, and the new one has grown beyond its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_knows_nothing_finds_out_by_the_timeline() {
    let mut pair = Pair::start("postgres");
    let old = [Arc::new(node(pair.url.clone(), 1))];
    write(&old, 5).await;
    pair.until_same().await;
    pair.cut().await;
    write(&old, 5).await;
    let generation = old[0].describe().generation;
    old[0].close().await.unwrap();
    pair.fail_over();
    let new = [Arc::new(node(pair.url.clone(), 2)), Arc::new(node(pair.url.clone(), 2))];
    write(&new, 10).await;
    assert_eq!(sound_log(&new[0]).await.len(), 25);
    assert_ne!(new[0].describe().generation, generation);
    assert_eq!(new[0].describe().generation, new[1].describe().generation);
    assert_eq!(pair.generations(), "1");
}

/// Where the timeline cannot be asked for, those find out who have seen more of the log than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_ask_for_the_timeline_a_node_finds_out_by_what_it_has_seen() {
    let mut pair = Pair::start("app");
    pair.primary.query("REVOKE EXECUTE ON FUNCTION pg_walfile_name(pg_lsn) FROM PUBLIC").unwrap();
    let nodes: Vec<Arc<Postgres>> = (0..2).map(|_| Arc::new(node(pair.url.clone(), 1))).collect();
    write(&nodes, 5).await;
    let timeline = pair.primary.query("SELECT timeline FROM stepwell.meta").unwrap();
    assert_eq!(timeline[0][0], None);
    pair.until_same().await;
    pair.cut().await;
    write(&nodes, 5).await;
    let head = nodes[0].head().max(nodes[1].head());
    until("both know the end", || nodes.iter().all(|node| node.head() == head)).await;
    let generation = nodes[0].describe().generation;
    pair.fail_over();
    until("both know of it", || nodes.iter().all(|node| node.describe().generation != generation)).await;
    assert!(nodes.iter().all(|node| node.head() < head), "the log is shorter");
    write(&nodes, 10).await;
    assert_eq!(sound_log(&nodes[1]).await.len(), 30);
    assert_eq!(nodes[0].describe().generation, nodes[1].describe().generation);
    assert_eq!(pair.generations(), "1");
}

/// A server that may be behind itself after a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_that_takes_back_what_was_acknowledged_begins_a_generation() {
    let settings = Settings::durable().with("wal_writer_delay", "10s").with("wal_writer_flush_after", "0");
    let mut cluster = Cluster::start(&settings).unwrap();
    let options = || {
        let mut options = PostgresOptions::new(cluster.address().url("postgres"), [7; 16]);
        (options.durability, options.committers) = (stepwell_postgres::Durability::Relaxed, 1);
        options
    };
    let store = [Arc::new(Postgres::open(&options()).unwrap())];
    write(&store, 20).await;
    let (generation, head) = (store[0].describe().generation, store[0].head());
    cluster.crash().unwrap();
    cluster.start_again().unwrap();
    let found = cluster.query("SELECT next_pos - 1 FROM stepwell.log_head").unwrap();
    let found: u64 = found[0][0].as_deref().unwrap().parse().unwrap();
    write(&store, 1).await;
    assert_eq!(store[0].describe().generation == generation, found >= head, "{found} of {head} are left");
    sound_log(&store[0]).await;
}
