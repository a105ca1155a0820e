//! Stepwell as a subject: its defaults, which keep every event and all history, at `synchronous=FULL`.
mod jobs;
mod seed;
mod sink;
mod webhooks;

use std::{path::Path, sync::Arc, time::Duration};

use stepwell::{JobState, Stepwell, Workers, webhook::WebhookOptions};
use stepwell_bench_subject::{Durability, Figures, Ledger, Payload, Queue, Request, Result, run};

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

    async fn open(db: &Path, phases: u64, ledger: Arc<Ledger>) -> Result<Self> {
        let webhooks = WebhookOptions::new().allow("127.0.0.1").at_once(DELIVERIES_AT_ONCE);
        let builder = Stepwell::sqlite(db).queue("default", AT_ONCE).webhooks(webhooks);
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

    fn durability(&self) -> Result<Durability> {
        // The writer belongs to the store's own thread, so it is the store that has to read its pragmas back.
        let durability = self.stepwell.describe().durability;
        let synchronous = match durability.rsplit('=').next() {
            Some("FULL") => 2,
            Some("NORMAL") => 1,
            _ => return Err(format!("unexpected durability: {durability}").into()),
        };
        Ok(Durability { journal_mode: "wal".into(), synchronous })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    run::<Subject>().await
}
