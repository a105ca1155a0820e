//! Fills the file with jobs that are only to be in the way: those that have ended have really been run.
use std::time::Duration;

use stepwell::{JobState, Stepwell, limits::ENQUEUE_BATCH_MAX};
use stepwell_bench_subject::{Payload, Request, Result};
use tokio::time::sleep;

use crate::jobs::OnePhase;

const DAY: Duration = Duration::from_hours(24);
const GLANCE: Duration = Duration::from_millis(20);

pub(crate) async fn fill(stepwell: &Stepwell, request: &Request) -> Result<()> {
    if request.finished > 0 {
        let workers = stepwell.start();
        enqueue(stepwell, request.finished, None).await?;
        while completed(stepwell).await? < request.finished {
            sleep(GLANCE).await;
        }
        // From here on nothing is claimed.
        drop(workers);
    }
    enqueue(stepwell, request.scheduled, Some(DAY)).await?;
    enqueue(stepwell, request.ready, None).await
}

async fn completed(stepwell: &Stepwell) -> Result<u64> {
    let counts = stepwell.counts().await?;
    Ok(counts.iter().filter(|count| count.state == JobState::Completed).map(|count| count.n).sum())
}

async fn enqueue(stepwell: &Stepwell, mut jobs: u64, delay: Option<Duration>) -> Result<()> {
    while jobs > 0 {
        let batch = jobs.min(ENQUEUE_BATCH_MAX as u64);
        // The id lies outside every ledger: these jobs are not counted.
        let payloads = (0..batch).map(|_| OnePhase(Payload::new(u64::MAX)));
        let enqueued = stepwell
            .enqueue_many(payloads)
            .each(|_, enqueue| match delay {
                Some(delay) => enqueue.delay(delay),
                None => enqueue,
            })
            .await?;
        enqueued.into_iter().try_for_each(|job| job.map(drop))?;
        jobs -= batch;
    }
    Ok(())
}
