//! Stepwell as a subject: its defaults, which keep every event and all history, at `synchronous=FULL` on SQLite and
//! `synchronous_commit=on` on PostgreSQL.
mod jobs;
mod seed;
mod sink;
mod webhooks;

use std::{sync::Arc, time::Duration};

use stepwell::{JobState, Stepwell, Workers, webhook::WebhookOptions};
use stepwell_bench_subject::{Durability, Figures, Ledger, Payload, Queue, Request, Result, run, sqlite};

use crate::jobs::{OnePhase, RunOnePhase, RunThreePhases, ThreePhases};

/// What effectum gets as well.
const AT_ONCE: usize = 512;
/// Deliveries to one endpoint at once, instead of 4.
const DELIVERIES_AT_ONCE: usize = 64;
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Subject {
    stepwell: Stepwell,
    phases: u64,
}

impl Queue for Subject {
    type Workers = Workers;
    const SETTINGS: &'static str = "512 at once, events and history kept";

    async fn open(store: &str, phases: u64, ledger: Arc<Ledger>) -> Result<Self> {
        let webhooks = WebhookOptions::new().allow("127.0.0.1").at_once(DELIVERIES_AT_ONCE);
        let builder = match store.starts_with("postgres://") {
            true => Stepwell::postgres(store),
            false => Stepwell::sqlite(store),
        };
        let builder = builder.queue("default", AT_ONCE).webhooks(webhooks);
        let builder = match phases {
            1 => builder.worker(RunOnePhase { ledger }),
            3 => builder.worker(RunThreePhases { ledger }),
            _ => return Err("there are jobs of one phase and of three".into()),
        };
        Ok(Self { stepwell: builder.open().await?, phases })
    }

    async fn enqueue(&self, payload: Payload) -> Result<()> {
        if self.phases == 1 {
            self.stepwell.enqueue(OnePhase(payload)).await?;
        } else {
            self.stepwell.enqueue(ThreePhases(payload)).await?;
        }
        Ok(())
    }

    async fn enqueue_many(&self, payloads: Vec<Payload>) -> Result<()> {
        // Each job is answered by itself.
        if self.phases == 1 {
            let jobs = self.stepwell.enqueue_many(payloads.into_iter().map(OnePhase)).await?;
            jobs.into_iter().try_for_each(|job| job.map(drop))?;
        } else {
            let jobs = self.stepwell.enqueue_many(payloads.into_iter().map(ThreePhases)).await?;
            jobs.into_iter().try_for_each(|job| job.map(drop))?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<Workers> {
        Ok(self.stepwell.start())
    }

    async fn running(&self) -> Result<bool> {
        let counts = self.stepwell.counts().await?;
        Ok(counts.iter().any(|count| count.state == JobState::Running && count.n > 0))
    }

    async fn seed(&self, request: &Request) -> Result<()> {
        seed::fill(&self.stepwell, request).await
    }

    async fn other(&self, request: &Request, ledger: &Ledger) -> Result<(Figures, Option<Workers>)> {
        match request.command.as_str() {
            "webhooks" => webhooks::measure(request, &self.stepwell, ledger).await,
            _ => request.unknown(),
        }
    }

    async fn close(&self, workers: Option<Workers>) -> Result<()> {
        match workers {
            Some(workers) => workers.shutdown(GRACE).await?,
            None => self.stepwell.close().await?,
        }
        Ok(())
    }

    async fn durability(&self) -> Result<(String, Durability)> {
        // The writers belong to the store, so it is the store that has to say what they read back.
        let described = self.stepwell.describe();
        let unexpected = || format!("unexpected durability: {}", described.durability);
        let (_, setting) = described.durability.rsplit_once('=').ok_or_else(unexpected)?;
        if described.store == "postgres" {
            return Ok(("PostgreSQL".into(), Durability::postgres(setting)));
        }
        let synchronous = match setting {
            "FULL" => 2,
            "NORMAL" => 1,
            _ => return Err(unexpected().into()),
        };
        Ok((sqlite::version(), Durability::sqlite("wal", synchronous)))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    run::<Subject>().await
}
