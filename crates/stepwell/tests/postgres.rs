//! Several nodes on one PostgreSQL database.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, JobId, JobState, Phase, PhaseResult, Plan, Reason, Stepwell, Worker, Workers};
use stepwell_postgres_rig::Database;
use support::{Second, Spell, Speller, reaches, soon};

/// A node that works, and its workers.
async fn node(url: &str, speller: &Speller) -> (Stepwell, Workers) {
    let stepwell = Stepwell::postgres(url).worker(speller.clone()).open().await.unwrap();
    let workers = stepwell.start();
    (stepwell, workers)
}

async fn one_runs_what_another_enqueues(url: &str) {
    let speller = Speller::new(Second::Return);
    let (_, workers) = node(url, &speller).await;
    let front = Stepwell::postgres(url).open().await.unwrap();
    let job = front.enqueue(Spell::new("a")).await.unwrap();
    assert_eq!(soon("the job ends", job.result()).await.unwrap(), "a123");
    assert_eq!(speller.runs(), [1, 1, 1]);
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
    front.close().await.unwrap();
}

#[tokio::test]
async fn a_job_runs_on_another_node_than_it_was_enqueued_on() {
    let database = Database::create().unwrap();
    one_runs_what_another_enqueues(&database.url()).await;
}

#[tokio::test]
async fn nodes_behind_a_pooler_find_each_others_jobs() {
    let database = Database::create().unwrap();
    one_runs_what_another_enqueues(&database.bouncer_url().unwrap()).await;
}

#[tokio::test]
async fn a_running_job_is_cancelled_from_another_node() {
    let database = Database::create().unwrap();
    let speller = Speller::new(Second::WaitPolitely);
    let (_, workers) = node(&database.url(), &speller).await;
    let front = Stepwell::postgres(database.url()).open().await.unwrap();
    let job = front.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    job.cancel().await.unwrap();
    let ended = soon("the job ends", job.ended()).await.unwrap();
    assert_eq!((ended.state, ended.reason), (JobState::Cancelled, Some(Reason::Requested)));
    assert!(speller.0.saw_cancel.load(std::sync::atomic::Ordering::SeqCst));
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
    front.close().await.unwrap();
}

#[tokio::test]
async fn two_schemas_of_one_database_know_nothing_of_each_other() {
    let database = Database::create().unwrap();
    let one = Stepwell::postgres(database.url()).open().await.unwrap();
    let other = Stepwell::postgres(database.url()).schema("other").open().await.unwrap();
    let job = one.enqueue(Spell::new("a")).await.unwrap();
    assert!(other.job(job.id()).await.unwrap_err().is_not_found());
    assert_eq!((one.head(), other.head()), (1, 0));
    one.close().await.unwrap();
    other.close().await.unwrap();
}

#[derive(Serialize, Deserialize)]
struct Count {
    n: u32,
}
impl Job for Count {
    const KIND: &'static str = "count";
    type Output = u32;
}

/// Which job ran how often, on whatever node.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<BTreeMap<u32, u32>>>);

impl Worker for Runs {
    type Job = Count;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u32> {
        plan.phase("count", (), Self::count)
    }
}

impl Runs {
    async fn count(&self, cx: &Ctx<Count>) -> PhaseResult<u32> {
        *self.0.lock().unwrap().entry(cx.job().n).or_default() += 1;
        Ok(cx.job().n)
    }
    async fn node(&self, url: &str) -> (Stepwell, Workers) {
        let stepwell = Stepwell::postgres(url).worker(self.clone()).open().await.unwrap();
        let workers = stepwell.start();
        (stepwell, workers)
    }
}

/// Every event of the log, by its place, and how many terminal ones each job has.
async fn check_log(stepwell: &Stepwell, jobs: &[JobId]) {
    let mut ends: BTreeMap<JobId, u32> = BTreeMap::new();
    let mut last: BTreeMap<JobId, u64> = BTreeMap::new();
    let (head, mut next) = (stepwell.head(), 1);
    let mut events = stepwell.events().after(0).subscribe();
    soon("the log is read", async {
        while next <= head {
            let event = events.next().await.unwrap();
            assert_eq!(event.pos, next, "positions are dense");
            next += 1;
            let seq = last.entry(event.job).or_default();
            *seq += 1;
            assert_eq!(event.job_seq, *seq, "the events of a job are in order");
            *ends.entry(event.job).or_default() += u32::from(event.event_type.is_terminal());
        }
    })
    .await;
    for job in jobs {
        assert_eq!(ends.get(job), Some(&1), "job {job} ends once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_run_each_job_once_and_leave_one_log() {
    const JOBS: u32 = 400;
    let database = Database::create().unwrap();
    let runs = Runs::default();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(runs.node(&database.url()).await);
    }
    let mut jobs = Vec::new();
    for n in 0..JOBS {
        let (stepwell, _) = &nodes[n as usize % nodes.len()];
        jobs.push(stepwell.enqueue(Count { n }));
    }
    let jobs = futures_util::future::join_all(jobs.into_iter().map(IntoFuture::into_future)).await;
    let jobs: Vec<_> = jobs.into_iter().map(Result::unwrap).collect();
    for job in &jobs {
        soon("every job ends", job.result()).await.unwrap();
    }
    let ran = runs.0.lock().unwrap().clone();
    assert_eq!(ran.len() as u32, JOBS);
    assert!(ran.values().all(|times| *times == 1), "{ran:?}");
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id()).collect();
    check_log(&nodes[0].0, &ids).await;
    for (_, workers) in nodes {
        workers.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_go_on_when_the_server_ends_every_connection() {
    let database = Database::create().unwrap();
    let (runs, speller) = (Runs::default(), Speller::new(Second::Wait));
    let (stepwell, workers) = runs.node(&database.url()).await;
    let (_, spelling) = node(&database.url(), &speller).await;
    let waiting = stepwell.enqueue(Spell::new("a")).await.unwrap();
    speller.begun().await;
    let mut jobs = Vec::new();
    for n in 0..60 {
        if n % 20 == 10 {
            database
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .unwrap();
        }
        jobs.push(stepwell.enqueue(Count { n }).await.unwrap());
    }
    speller.open_gate();
    for job in &jobs {
        soon("every job ends", job.result()).await.unwrap();
    }
    assert_eq!(soon("the job that ran ends", waiting.result()).await.unwrap(), "a123");
    reaches(&stepwell, &waiting, JobState::Completed).await;
    assert_eq!(speller.runs(), [1, 1, 1], "what ran was not run again");
    let mut ids: Vec<JobId> = jobs.iter().map(|job| job.id()).collect();
    ids.push(waiting.id());
    check_log(&stepwell, &ids).await;
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
    spelling.shutdown(Duration::from_secs(5)).await.unwrap();
}
