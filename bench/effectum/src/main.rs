//! effectum 0.7 as a subject, in the best configuration found for it.
//!
//! Its own wish for WAL is misspelt, so the file is switched before effectum opens it; `synchronous` stays as effectum
//! sets it.
use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use effectum::{Error, Job, JobRunner, RunningJob, Worker};
use rusqlite::Connection;
use stepwell_bench_subject::{Durability, Ledger, Payload, Queue, Result, run, sqlite};

const KIND: &str = "bench";

#[derive(Clone)]
struct Effectum {
    queue: Arc<effectum::Queue>,
    ledger: Arc<Ledger>,
    /// For looking at the tables from outside.
    reader: Arc<Mutex<Connection>>,
}

impl Queue for Effectum {
    type Workers = Worker;
    const SETTINGS: &str = "512 at once, more at 256, WAL forced";

    fn prepare(file: &str) -> Result<()> {
        let connection = Connection::open(file)?;
        connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        drop(connection);
        // The next one is effectum's first.
        sqlite::watch()
    }

    async fn open(file: &str, phases: u64, ledger: Arc<Ledger>) -> Result<Self> {
        if phases != 1 {
            return Err("effectum has no phases".into());
        }
        let queue = Arc::new(effectum::Queue::new(Path::new(file)).await?);
        let reader = Connection::open(file)?;
        reader.busy_timeout(Duration::from_secs(5))?;
        Ok(Self { queue, ledger, reader: Arc::new(Mutex::new(reader)) })
    }

    async fn enqueue(&self, payload: Payload) -> Result<()> {
        Job::builder(KIND).json_payload(&payload)?.add_to(&self.queue).await?;
        Ok(())
    }

    async fn enqueue_many(&self, payloads: Vec<Payload>) -> Result<()> {
        let jobs: Result<Vec<_>, Error> =
            payloads.iter().map(|payload| Ok(Job::builder(KIND).json_payload(payload)?.build())).collect();
        self.queue.add_jobs(jobs?).await?;
        Ok(())
    }

    async fn start(&self) -> Result<Worker> {
        let runner = JobRunner::builder(KIND, handle).build();
        let worker = Worker::builder(&self.queue, self.ledger.clone());
        Ok(worker.jobs([runner]).max_concurrency(512).min_concurrency(256).build().await?)
    }

    async fn durability(&self) -> Result<(String, Durability)> {
        // SAFETY: nothing has been asked of the queue yet, and its first connection is its writer for life.
        Ok((sqlite::version(), unsafe { sqlite::durability() }?))
    }

    async fn running(&self) -> Result<bool> {
        let reader = self.reader.lock().map_err(|_| "a reader panicked")?;
        Ok(reader.query_row("SELECT EXISTS (SELECT 1 FROM active_jobs)", [], |row| row.get(0))?)
    }
}

async fn handle(job: RunningJob, ledger: Arc<Ledger>) -> Result<(), Error> {
    ledger.handle(&job.json_payload()?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    run::<Effectum>().await
}
