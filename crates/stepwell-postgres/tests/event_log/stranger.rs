//! Others on the same server: transactions that stay open, locks that are held, and somebody who terminates backends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

pub(crate) struct Strangers {
    killer: JoinHandle<u64>,
    others: Vec<JoinHandle<()>>,
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn pause(random: &mut StdRng, millis: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(millis))).await;
}

/// Lets them come. Those in our database go when nobody writes any more, the others when all is over.
pub(crate) async fn come(
    url: &str,
    other: &str,
    seed: u64,
    is_enough: &Arc<AtomicBool>,
    is_over: &Arc<AtomicBool>,
) -> Strangers {
    let mut others = Vec::new();
    for (nth, (url, until)) in [(url, is_enough), (url, is_enough), (other, is_over)].into_iter().enumerate()
    {
        let client = connect(url).await;
        client.batch_execute("CREATE TABLE IF NOT EXISTS own (n integer)").await.unwrap();
        let random = StdRng::seed_from_u64(seed + 100 + u64::try_from(nth).unwrap());
        others.push(tokio::spawn(idle(client, random, until.clone())));
    }
    // One has the number of its transaction from before everything, and keeps it.
    let client = connect(other).await;
    client.batch_execute("BEGIN; INSERT INTO own VALUES (1)").await.unwrap();
    let until = is_over.clone();
    others.push(tokio::spawn(async move {
        while !until.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.batch_execute("COMMIT").await.unwrap();
    }));
    let random = StdRng::seed_from_u64(seed + 200);
    others.push(tokio::spawn(hold(connect(url).await, random, is_enough.clone())));
    let random = StdRng::seed_from_u64(seed + 300);
    let killer = tokio::spawn(terminate(connect(url).await, random, is_enough.clone()));
    Strangers { killer, others }
}

impl Strangers {
    /// Waits until they have gone. Answers how many backends were terminated.
    pub(crate) async fn gone(self) -> u64 {
        for other in self.others {
            other.await.unwrap();
        }
        self.killer.await.unwrap()
    }
}

/// Idle in a transaction that has written something of its own, for seconds.
async fn idle(client: Client, mut random: StdRng, until: Arc<AtomicBool>) {
    while !until.load(Ordering::Relaxed) {
        client.batch_execute("BEGIN; INSERT INTO own VALUES (1)").await.unwrap();
        pause(&mut random, 500..3_000).await;
        let end = if random.random_bool(0.5) { "COMMIT" } else { "ROLLBACK" };
        client.batch_execute(end).await.unwrap();
    }
}

/// Locks jobs that all change, in the other order than we do: whoever meets it waits, or is in a deadlock, out of which
/// the server lets one of the two go.
async fn hold(client: Client, mut random: StdRng, until: Arc<AtomicBool>) {
    const LOCK: &str = "SELECT 1 FROM stepwell.job WHERE key = $1 FOR UPDATE";
    while !until.load(Ordering::Relaxed) {
        pause(&mut random, 1_000..3_000).await;
        let (low, high) = (random.random_range(1..6_i64), random.random_range(6..12_i64));
        client.batch_execute("BEGIN").await.unwrap();
        if client.query(LOCK, &[&high]).await.is_ok() {
            pause(&mut random, 10..150).await;
            // It may be us who has to go.
            drop(client.query(LOCK, &[&low]).await);
        }
        client.batch_execute("ROLLBACK").await.unwrap();
    }
}

/// Terminates backends of the nodes, whatever they do.
async fn terminate(client: Client, mut random: StdRng, until: Arc<AtomicBool>) -> u64 {
    const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name = 'stepwell' ORDER BY random() LIMIT 1";
    let mut n = 0;
    while !until.load(Ordering::Relaxed) {
        pause(&mut random, 100..500).await;
        n += u64::try_from(client.query(TERMINATE, &[]).await.unwrap().len()).unwrap();
    }
    n
}
