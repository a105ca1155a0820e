//! Many writers on several nodes, some of whom are refused, beside transactions of others that take their time.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use stepwell_core::{
    JobId, Unique,
    lease::Fence,
    machine::{Command, Edit, NewJob},
    store::{Request, Store},
};
use stepwell_postgres::Postgres;
use stepwell_postgres_rig::Database;
use support::{new_job, node, sound_log};

const WRITERS: usize = 24;
const ROUNDS: i16 = 12;

fn request(job: JobId, fence: Fence, command: Command) -> Request {
    Request { job, fence, commands: vec![command] }
}

/// What one writer does: new jobs, changes of jobs that all change, keys that all want, and things that are refused.
async fn write(store: Arc<Postgres>, writer: usize, common: Arc<Vec<JobId>>) {
    for round in 0..ROUNDS {
        let own = new_job("own");
        let unique = NewJob { unique: Some(Unique::key(format!("key-{round}"))), ..new_job("unique") };
        let taken = NewJob { id: common[0], ..new_job("taken") };
        let id = own.id;
        let answers = store.enqueue(vec![own, unique, taken]).await.unwrap();
        assert!(answers[0].is_ok() && answers[1].is_ok(), "{answers:?}");
        assert_eq!(answers[2].as_ref().unwrap_err().field(), Some("id"));
        let job = common[(writer + usize::from(round.unsigned_abs())) % common.len()];
        let edit = Command::Edit(Edit { priority: Some(round), ..Edit::default() });
        store.apply(request(job, Fence::None, edit.clone())).await.unwrap();
        let outdated = store.apply(request(job, Fence::Version(0), edit)).await;
        assert!(outdated.unwrap_err().is_version_mismatch());
        let cancel = Command::Cancel { grace: Duration::ZERO };
        assert!(store.apply(request(id, Fence::None, cancel)).await.unwrap().changed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_writers_say_is_one_log_without_a_gap() {
    let database = Database::create().unwrap();
    let nodes: Vec<Arc<Postgres>> = (0..3).map(|_| Arc::new(node(database.url(), 2))).collect();
    let first: Vec<NewJob> = (0..5).map(|_| new_job("common")).collect();
    let common: Arc<Vec<JobId>> = Arc::new(first.iter().map(|job| job.id).collect());
    nodes[0].enqueue(first).await.unwrap();

    // A stranger's transaction has a number from before everything, and holds one of the jobs for a while.
    let url = database.url();
    let (held, key) = std::sync::mpsc::channel::<()>();
    let stranger = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            let driver = tokio::spawn(connection);
            client
                .batch_execute(
                    "BEGIN; SELECT pg_current_xact_id(); UPDATE stepwell.job SET priority = 1 \
                                  WHERE key = 1",
                )
                .await
                .unwrap();
            held.send(()).unwrap();
            client.batch_execute("SELECT pg_sleep(0.3); ROLLBACK").await.unwrap();
            driver.abort();
        });
    });
    key.recv().unwrap();
    let writers = (0..WRITERS)
        .map(|writer| tokio::spawn(write(nodes[writer % nodes.len()].clone(), writer, common.clone())));
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    stranger.join().unwrap();

    let events = sound_log(&nodes[1]).await;
    let (writers, rounds) = (WRITERS, usize::from(ROUNDS.unsigned_abs()));
    // Two for each job of a writer's own, one for each change, one for each key, and the first five.
    assert_eq!(events.len(), 5 + rounds + 3 * writers * rounds);
    let counted: u64 = nodes[2].counts().await.unwrap().iter().map(|count| count.n).sum();
    let rows = database.query("SELECT key FROM stepwell.job").unwrap();
    assert_eq!(counted, rows.len() as u64, "the counters are what can be counted");
    assert_eq!(rows.len(), 5 + rounds + writers * rounds);
    for node in &nodes {
        node.close().await.unwrap();
    }
}
