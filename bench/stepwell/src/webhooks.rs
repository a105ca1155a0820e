//! Draining a file while every end is told to a receiver on this machine, or to nobody.
use std::time::{Duration, Instant};

use stepwell::{Stepwell, Workers, webhook::NewEndpoint};
use stepwell_bench_subject::{Figures, Ledger, Request, Result};
use tokio::time::sleep;

use crate::sink::Sink;

const GLANCE: Duration = Duration::from_millis(2);

/// The drain ends when all jobs have, whatever is still to be delivered; the measurement when that has been, too.
pub(crate) async fn measure(
    request: &Request,
    stepwell: &Stepwell,
    ledger: &Ledger,
) -> Result<(Figures, Option<Workers>)> {
    let sink = Sink::start()?;
    let expected = if request.endpoints > 0 { request.jobs } else { 0 };
    for _ in 0..request.endpoints.min(1) {
        stepwell.webhooks().create(NewEndpoint::new(sink.url())).await?;
    }
    let start = Instant::now();
    let workers = stepwell.start();
    while ledger.handled() < request.jobs {
        sleep(GLANCE).await;
    }
    while unfinished(stepwell, true).await? > 0 {
        sleep(GLANCE).await;
    }
    let drained = start.elapsed().as_secs_f64();
    // What the store says counts in the end: that a delivery has arrived is also recorded.
    while sink.deliveries() < expected || unfinished(stepwell, false).await? > 0 {
        sleep(GLANCE).await;
    }
    let lost = expected.abs_diff(sink.deliveries()) + ledger.lost();
    let figures = Figures::from([
        ("jobs_per_second".into(), request.jobs as f64 / drained),
        ("deliveries_per_second".into(), sink.per_second()),
        ("lost".into(), lost as f64),
        ("repeated".into(), ledger.repeated() as f64),
    ]);
    Ok((figures, Some(workers)))
}

/// Jobs that have not ended: those of the benchmark, or all of them, deliveries included.
async fn unfinished(stepwell: &Stepwell, only_ours: bool) -> Result<u64> {
    let counts = stepwell.counts().await?;
    let live = counts.iter().filter(|count| !count.state.is_terminal());
    let counted = live.filter(|count| !only_ours || &*count.kind == "one_phase");
    Ok(counted.map(|count| count.n).sum())
}
