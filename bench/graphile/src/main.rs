//! graphile_worker 0.14 as a subject, as its own benchmark sets it up: the fastest configuration found for it.
//!
//! It deletes a job when it has ended, and keeps no events.
use std::{sync::Arc, time::Duration};

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row, postgres::PgPoolOptions};
use stepwell_bench_subject::{Durability, Ledger, Payload, Queue, Result, run};
use tokio::task::JoinHandle;

const CONNECTIONS: u32 = 20;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Task(Payload);

impl TaskHandler for Task {
    const IDENTIFIER: &'static str = "bench";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(ledger) = context.get_ext::<Arc<Ledger>>() {
            ledger.handle(&self.0);
        }
    }
}

#[derive(Clone)]
struct Graphile {
    pool: PgPool,
    utils: Arc<WorkerUtils>,
    ledger: Arc<Ledger>,
}

impl Queue for Graphile {
    type Workers = JoinHandle<()>;
    const SETTINGS: &str =
        "500 at once, local queue of 5,000, poll and completion batches 5 ms, 20 connections";

    async fn open(url: &str, phases: u64, ledger: Arc<Ledger>) -> Result<Self> {
        if phases != 1 {
            return Err("graphile_worker has no phases".into());
        }
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await?;
        let worker = WorkerOptions::default().pg_pool(pool.clone()).define_job::<Task>().init().await?;
        Ok(Self { utils: Arc::new(worker.create_utils()), pool, ledger })
    }

    async fn enqueue(&self, payload: Payload) -> Result<()> {
        self.utils.add_job(Task(payload), JobSpec::default()).await?;
        Ok(())
    }

    async fn enqueue_many(&self, payloads: Vec<Payload>) -> Result<()> {
        let spec = JobSpec::default();
        let jobs: Vec<_> = payloads.into_iter().map(|payload| (Task(payload), &spec)).collect();
        self.utils.add_jobs(&jobs).await?;
        Ok(())
    }

    async fn start(&self) -> Result<JoinHandle<()>> {
        let worker = WorkerOptions::default()
            .pg_pool(self.pool.clone())
            .define_job::<Task>()
            .add_extension(self.ledger.clone())
            .concurrency(500)
            .poll_interval(Duration::from_millis(5))
            .complete_job_batch_delay(Duration::from_millis(5))
            .local_queue(LocalQueueConfig::default().with_size(5_000))
            .init()
            .await?;
        Ok(tokio::spawn(async move {
            if let Err(error) = worker.run().await {
                eprintln!("the worker ended: {error}");
            }
        }))
    }

    async fn running(&self) -> Result<bool> {
        let left = sqlx::query("SELECT EXISTS (SELECT 1 FROM graphile_worker._private_jobs)");
        Ok(left.fetch_one(&self.pool).await?.get(0))
    }

    async fn durability(&self) -> Result<(String, Durability)> {
        let setting: String = sqlx::query("SHOW synchronous_commit").fetch_one(&self.pool).await?.get(0);
        Ok(("PostgreSQL".into(), Durability::postgres(&setting)))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    run::<Graphile>().await
}
