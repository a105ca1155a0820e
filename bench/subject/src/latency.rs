//! How long a job waits for an idle worker, from the beginning of the enqueue call.
use std::{
    future::Future,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{Figures, Ledger, Payload, Queue, Request, Result, Samples, queue::Measured};

/// Far enough apart that each job finds the worker idle.
const GAP: Duration = Duration::from_millis(20);
/// Until the queue has done what it does once after its start.
const SETTLE: Duration = Duration::from_millis(1_500);

pub(crate) async fn measure<Q: Queue>(request: &Request, queue: &Q, ledger: &Ledger) -> Result<Measured<Q>> {
    let workers = queue.start().await?;
    sleep(SETTLE).await;
    let mut figures = spaced(request.jobs, |payload| queue.enqueue(payload)).await?;
    figures.extend(waits(request.jobs, ledger).await);
    Ok((figures, Some(workers)))
}

/// The same, enqueued by another process on the same store.
pub(crate) async fn measure_across<Q: Queue>(
    request: &Request,
    queue: &Q,
    ledger: &Ledger,
) -> Result<Measured<Q>> {
    let workers = queue.start().await?;
    sleep(SETTLE).await;
    let mut caller = Command::new(std::env::current_exe()?)
        .args(["call", "--jobs", &request.jobs.to_string(), "--store"])
        .arg(&request.store)
        .stdout(Stdio::null())
        .spawn()?;
    let figures = waits(request.jobs, ledger).await;
    if !caller.wait()?.success() {
        return Err("the calling process failed".into());
    }
    Ok((figures, Some(workers)))
}

/// The other process of [`measure_across`]: it enqueues and runs nothing.
pub(crate) async fn call<Q: Queue>(request: &Request, queue: &Q) -> Result<Figures> {
    sleep(SETTLE).await;
    spaced(request.jobs, |payload| queue.enqueue(payload)).await
}

/// How long single enqueues take that come one after the other with time between them.
///
/// # Errors
/// If enqueueing fails.
pub async fn spaced<F, Fut>(jobs: u64, mut enqueue: F) -> Result<Figures>
where
    F: FnMut(Payload) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let mut ticks = interval(GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut took_ms = Vec::new();
    for id in 0..jobs {
        ticks.tick().await;
        let start = Instant::now();
        enqueue(Payload::new(id)).await?;
        took_ms.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let took_ms: Samples = took_ms.into_iter().collect();
    Ok(Figures::from([
        ("enqueue_p50_ms".into(), took_ms.median()),
        ("enqueue_p99_ms".into(), took_ms.quantile(0.99)),
    ]))
}

async fn waits(jobs: u64, ledger: &Ledger) -> Figures {
    while ledger.handled() < jobs {
        sleep(Duration::from_millis(5)).await;
    }
    // The last job's end is still to be recorded, and the driver counts what the store has recorded.
    sleep(Duration::from_millis(200)).await;
    let waits_ms = ledger.waits_ms();
    Figures::from([
        ("p50_ms".into(), waits_ms.median()),
        ("p99_ms".into(), waits_ms.quantile(0.99)),
        ("max_ms".into(), waits_ms.max()),
        ("lost".into(), ledger.lost() as f64),
        ("repeated".into(), ledger.repeated() as f64),
    ])
}
