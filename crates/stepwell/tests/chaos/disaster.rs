//! What goes wrong, one after another, in an order that the seed decides.

use std::{collections::BTreeMap, fmt, time::Duration};

use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use stepwell_postgres_rig::{Cluster, Direction, Proxy, Replication, Side, Tally};
use tokio::task::block_in_place;

use super::{node::Node, work::LEASE};

/// Everything that things can happen to.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    /// A server that follows it, and has everything that was acknowledged.
    pub(crate) standby: Cluster,
    pub(crate) nodes: Vec<Node>,
    /// The way of the one who follows the events.
    pub(crate) followed: Proxy,
}

/// Commits of a thousand whose answer or request is lost at any time, whatever else happens.
const LOST_PER_MILLE: u64 = 5;

impl World {
    fn ways(&self) -> impl Iterator<Item = &Proxy> {
        self.nodes.iter().map(|node| &node.way).chain([&self.followed])
    }

    /// All is well, as far as the network is concerned.
    pub(crate) fn calm(&self) {
        self.ways().for_each(Proxy::heal);
    }

    /// The database is gone for good. The one that follows it takes its place, and gets one that follows.
    fn fail_over(&mut self) {
        self.cluster.crash().unwrap();
        self.standby.promote().unwrap();
        self.ways().for_each(|way| way.lead_to(self.standby.address()));
        let next = self.standby.standby(Replication::Synchronous).unwrap();
        self.cluster = std::mem::replace(&mut self.standby, next);
    }

    /// What has happened on all ways together.
    pub(crate) fn tally(&self) -> Tally {
        self.ways().map(Proxy::tally).fold(Tally::default(), |sum, one| Tally {
            connections: sum.connections + one.connections,
            commits: sum.commits + one.commits,
            requests_lost: sum.requests_lost + one.requests_lost,
            answers_lost: sum.answers_lost + one.answers_lost,
            late: sum.late + one.late,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disaster {
    /// `kill -9` of a node.
    Kill,
    /// A node stands still for longer than its lease, and wakes up when others have taken over.
    Stop,
    /// Nothing gets through between a node and the database.
    Partition,
    /// The database hears a node, and the node does not hear it.
    Deaf,
    /// All connections of a node are reset.
    Reset,
    /// The database loses a node's connections, and the node does not know.
    HalfOpenNode,
    /// A node loses its connections, and the database goes on to hold what they had locked.
    HalfOpenDatabase,
    /// The way is long, for a while.
    Slow,
    /// Nobody is let in.
    Refuse,
    /// Connections end in the middle of what they carry.
    Cut,
    /// Commits lose their requests, their answers, or come late.
    LoseCommits,
    /// The database crashes, and is away for a moment.
    Crash,
    /// The database is gone, and another one takes its place.
    FailOver,
    /// An operator ends every session.
    Terminate,
}

impl Disaster {
    const ALL: [Self; 14] = [
        Self::Kill,
        Self::Stop,
        Self::Partition,
        Self::Deaf,
        Self::Reset,
        Self::HalfOpenNode,
        Self::HalfOpenDatabase,
        Self::Slow,
        Self::Refuse,
        Self::Cut,
        Self::LoseCommits,
        Self::Crash,
        Self::FailOver,
        Self::Terminate,
    ];
}

/// Chooses what strikes next: each in its turn, and the turns are shuffled.
pub(crate) struct Disasters {
    random: StdRng,
    next: Vec<Disaster>,
    struck: BTreeMap<Disaster, u64>,
}

impl Disasters {
    pub(crate) fn new(random: StdRng) -> Self {
        Self { random, next: Vec::new(), struck: BTreeMap::new() }
    }

    /// Lets the nodes work for a moment, and then something go wrong for a while.
    pub(crate) async fn strike(&mut self, world: &mut World) {
        world.ways().for_each(|way| way.lose_commits(LOST_PER_MILLE));
        self.pause(100..1_200).await;
        if self.next.is_empty() {
            self.next = Disaster::ALL.to_vec();
            self.next.shuffle(&mut self.random);
        }
        let Some(disaster) = self.next.pop() else { return };
        let victim = self.random.random_range(0..world.nodes.len());
        // Whoever follows the events is a victim as well.
        let follows = self.random.random_bool(0.3);
        let hit = |world: &World, what: &dyn Fn(&Proxy)| {
            what(&world.nodes[victim].way);
            if follows {
                what(&world.followed);
            }
        };
        match disaster {
            Disaster::Kill => block_in_place(|| world.nodes[victim].kill()),
            Disaster::Stop => {
                world.nodes[victim].stop();
                self.pause_for(LEASE + LEASE / 2).await;
                world.nodes[victim].go_on();
            }
            Disaster::Partition => {
                hit(world, &Proxy::partition);
                self.pause(500..4_000).await;
            }
            Disaster::Deaf => {
                hit(world, &|way| way.hold(Direction::Down));
                self.pause(500..4_000).await;
            }
            Disaster::Reset => hit(world, &Proxy::reset),
            Disaster::HalfOpenNode => {
                hit(world, &|way| way.half_open(Side::Server));
                self.pause(500..3_000).await;
            }
            Disaster::HalfOpenDatabase => {
                hit(world, &|way| way.half_open(Side::Client));
                self.pause(500..3_000).await;
            }
            Disaster::Slow => {
                hit(world, &|way| way.delay(Duration::from_millis(50), Duration::from_millis(100)));
                self.pause(1_000..3_000).await;
            }
            Disaster::Refuse => {
                hit(world, &|way| {
                    way.refuse();
                    way.reset();
                });
                self.pause(300..2_000).await;
            }
            Disaster::Cut => {
                for direction in [Direction::Up, Direction::Down, Direction::Down, Direction::Up] {
                    let bytes = self.random.random_range(1..6_000);
                    hit(world, &|way| way.cut_next(direction, bytes));
                }
                hit(world, &Proxy::reset);
                self.pause(500..1_500).await;
            }
            Disaster::LoseCommits => {
                hit(world, &|way| way.lose_commits(300));
                self.pause(500..2_000).await;
            }
            Disaster::Crash => {
                block_in_place(|| world.cluster.crash()).unwrap();
                self.pause(1..1_500).await;
                block_in_place(|| world.cluster.start_again()).unwrap();
            }
            Disaster::FailOver => block_in_place(|| world.fail_over()),
            Disaster::Terminate => {
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
                world.cluster.query(sql).unwrap();
            }
        }
        world.calm();
        *self.struck.entry(disaster).or_default() += 1;
    }

    async fn pause(&mut self, millis: std::ops::Range<u64>) {
        let millis = self.random.random_range(millis);
        self.pause_for(Duration::from_millis(millis)).await;
    }

    async fn pause_for(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    pub(crate) fn count(&self) -> u64 {
        self.struck.values().sum()
    }

    /// In a minute there is time for each of them at least once.
    pub(crate) fn assert_all_have_struck(&self, minutes: u64) {
        let all = self.struck.len() == Disaster::ALL.len();
        assert!(minutes == 0 || all, "only these have struck: {:?}", self.struck);
    }
}

impl fmt::Display for Disasters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.struck)
    }
}
