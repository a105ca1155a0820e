//! A crash of PostgreSQL in the moment in which a commit is on its way.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "postgres")]

mod support;

use serde::{Deserialize, Serialize};
use stepwell::{Job, Stepwell};
use stepwell_postgres_rig::{Cluster, Loss, Proxy, Settings};
use support::soon;

#[derive(Serialize, Deserialize)]
struct Note(u64);
impl Job for Note {
    const KIND: &'static str = "note";
    type Output = ();
}

/// After a crash the server gives out again the numbers of transactions that it had not written down. Whoever asks by
/// such a number what became of its commit is told what became of somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_a_crash_took_back_is_not_taken_for_another_one() {
    // Nothing is written down before somebody commits.
    let settings = Settings::durable().with("wal_writer_delay", "10s");
    let mut cluster = Cluster::start(&settings).unwrap();
    let way = Proxy::start(cluster.address(), 1).unwrap();
    let one = Stepwell::postgres(way.address().url("postgres")).open().await.unwrap();
    let two = Stepwell::postgres(cluster.address().url("postgres")).open().await.unwrap();
    one.enqueue(Note(0)).await.unwrap();

    // It cannot ask before the crash: it loses its connection, and gets no new one.
    way.refuse();
    way.lose_next_commit(Loss::Request);
    let asking = tokio::spawn({
        let one = one.clone();
        async move { one.enqueue(Note(1)).await.map(|job| job.id()) }
    });
    soon("the commit is lost", async {
        while way.tally().requests_lost == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    cluster.crash().unwrap();
    cluster.start_again().unwrap();
    for n in 0..20 {
        two.enqueue(Note(n)).await.unwrap();
    }
    assert!(!asking.is_finished());
    way.heal();
    let acknowledged = soon("it is acknowledged", asking).await.unwrap().unwrap();
    two.job(acknowledged).await.expect("what was acknowledged is there");
}
