//! Many nodes on one PostgreSQL, and everything goes wrong: nodes are killed and stopped, the way to the database
//! fails in every manner, commits lose their answers, and the database crashes, or is lost and replaced by the one that
//! follows it. Nothing acknowledged is lost, nothing recorded is recorded again, limits hold at every moment, the
//! events have no gap, and the webhooks arrive.
//!
//! The nodes are processes of their own: this test starts itself. `STEPWELL_CHAOS_MINUTES` and `STEPWELL_CHAOS_SEED`
//! set how long, and the disasters.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(all(feature = "postgres", feature = "webhooks", unix))]

#[path = "chaos/check.rs"]
mod check;
#[path = "chaos/disaster.rs"]
mod disaster;
#[path = "chaos/follower.rs"]
mod follower;
#[path = "chaos/node.rs"]
mod node;
#[path = "chaos/receiver.rs"]
mod receiver;
mod sink;
#[path = "chaos/work.rs"]
mod work;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use check::Log;
use disaster::{Disasters, World};
use follower::Follower;
use node::Node;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use receiver::Receiver;
use stepwell::webhook::{NewEndpoint, Secret};
use stepwell_postgres_rig::{Cluster, Proxy, Replication, Settings};

const NODES: usize = 3;

/// How long all that was acknowledged may take to end once all is well. A delivery may have to be tried again twice,
/// and on a busy machine what has piled up takes its time.
const PATIENCE: Duration = Duration::from_secs(180);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// A node: works, enqueues, and says what was acknowledged, until it is killed. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    if let Some(orders) = work::Orders::of_a_node() {
        work::work(orders).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_holds_whatever_goes_wrong() {
    if work::Orders::of_a_node().is_some() {
        return;
    }
    let (minutes, seed) = (setting("STEPWELL_CHAOS_MINUTES", 2), setting("STEPWELL_CHAOS_SEED", 0xc4a05));
    println!("chaos: {minutes} min, {NODES} nodes, seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let cluster = Cluster::start(&Settings::durable()).unwrap();
    let standby = cluster.standby(Replication::Synchronous).unwrap();
    let database = cluster.address().clone();
    let receiver = Receiver::start().await;
    let clean = work::queue(&database.url("postgres"), "clean").open().await.unwrap();
    let mut endpoint = NewEndpoint::new(receiver.url());
    endpoint.secret = Secret::parse(receiver::SECRET).ok();
    clean.webhooks().create(endpoint).await.unwrap();
    clean.set_limit(work::NARROW, Some(work::NARROW_LIMIT)).await.unwrap();
    clean.close().await.unwrap();
    drop(clean);

    let mut way = || Proxy::start(&database, random.random()).unwrap();
    let followed = way();
    let ways: Vec<Proxy> = (0..NODES).map(|_| way()).collect();
    let follower = Follower::start(followed.address().url("postgres")).await;
    let nodes = ways.into_iter().enumerate().map(|(n, way)| Node::start(n, way)).collect();
    let mut world = World { cluster, standby, nodes, followed };
    let mut disasters = Disasters::new(random);
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    while Instant::now() < end {
        disasters.strike(&mut world).await;
    }
    world.calm();
    world.nodes.iter_mut().for_each(Node::enough);

    let acknowledged: BTreeSet<_> = world.nodes.iter().flat_map(Node::acknowledged).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open = follower.open(&acknowledged);
        if open.is_empty() && receiver.has_all(&follower.ends()) {
            break;
        }
        if Instant::now() > deadline {
            let known = match open.first() {
                Some(job) => check::what_is_known(&world.cluster.address().url("postgres"), *job).await,
                None => "a webhook".to_owned(),
            };
            panic!("seed {seed}: it did not come in time; {} jobs have not ended: {known}", open.len());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let refused: u64 = world.nodes.iter().map(Node::refused).sum();
    let tally = world.tally();
    for node in std::mem::take(&mut world.nodes) {
        node.end();
    }

    // The whole log once more, by somebody whom nothing has happened to.
    let log = Log::read(&world.cluster.address().url("postgres"), follower.last_pos()).await;
    let log = log.unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    assert_eq!(follower.problem(), None, "seed {seed}");
    assert_eq!(follower.digest(), log.digest_until(follower.last_pos()), "seed {seed}: one saw another log");
    receiver.check(&log.ends()).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    for job in &acknowledged {
        assert!(log.has_completed(*job), "seed {seed}: {job} was acknowledged and has not completed");
    }
    println!(
        "{} jobs acknowledged, {refused} refused; {log}; {receiver}; {} disasters: {disasters}; {tally:?}",
        acknowledged.len(),
        disasters.count(),
    );
    disasters.assert_all_have_struck(minutes);
    if minutes > 0 {
        assert!(tally.requests_lost > 0 && tally.answers_lost > 0 && tally.late > 0, "{tally:?}");
        assert!(log.has_reached_limit(), "the limit of a queue was never reached: this proves nothing");
        assert!(log.interrupted > 0, "nothing was ever interrupted: this proves nothing");
    }
}
