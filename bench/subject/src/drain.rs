//! Running everything that is due, as fast as it goes.
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{Figures, Ledger, Memory, Queue, Request, Result, clock, queue::Measured};

/// Short beside a drain of seconds, long enough to cost nothing.
const GLANCE: Duration = Duration::from_millis(2);

/// From before the workers start until the store has recorded the last end.
pub(crate) async fn measure<Q: Queue>(request: &Request, queue: &Q, ledger: &Ledger) -> Result<Measured<Q>> {
    let (start, cpu) = (Instant::now(), clock::cpu_time());
    let workers = queue.start().await?;
    while ledger.handled() < request.jobs {
        sleep(GLANCE).await;
    }
    while queue.running().await? {
        sleep(GLANCE).await;
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), clock::cpu_time() - cpu);
    // Before the ledger is counted, so that a job that runs a second time has time to show.
    sleep(Duration::from_millis(200)).await;
    let memory = Memory::read()?;
    let figures = Figures::from([
        ("jobs_per_second".into(), request.jobs as f64 / seconds),
        ("phases_per_second".into(), (request.jobs * request.phases) as f64 / seconds),
        ("cpu_us_per_job".into(), cpu.as_secs_f64() * 1e6 / request.jobs.max(1) as f64),
        ("peak_mib".into(), memory.peak_mib),
        ("lost".into(), ledger.lost() as f64),
        ("repeated".into(), ledger.repeated() as f64),
    ]);
    Ok((figures, Some(workers)))
}

/// From the beginning of the process until its first handler begins.
pub(crate) async fn first<Q: Queue>(begun_ns: u64, queue: &Q, ledger: &Ledger) -> Result<Measured<Q>> {
    let workers = queue.start().await?;
    while ledger.first_ns() == 0 {
        sleep(GLANCE).await;
    }
    let took_ms = ledger.first_ns().saturating_sub(begun_ns) as f64 / 1e6;
    let figures = Figures::from([("first_claim_ms".into(), took_ms)]);
    Ok((figures, Some(workers)))
}
