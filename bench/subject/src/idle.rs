//! What a worker costs while there is nothing to do.
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{Figures, Memory, Queue, Request, Result, clock, queue::Measured};

pub(crate) async fn measure<Q: Queue>(request: &Request, queue: &Q) -> Result<Measured<Q>> {
    let workers = queue.start().await?;
    sleep(Duration::from_secs(2)).await;
    let (start, cpu) = (Instant::now(), clock::cpu_time());
    sleep(Duration::from_secs(request.seconds)).await;
    let cpu = (clock::cpu_time() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let memory = Memory::read()?;
    let figures = Figures::from([
        ("cpu_percent".into(), cpu * 100.0),
        ("cpu_ms_per_10_s".into(), cpu * 10_000.0),
        ("rest_mib".into(), memory.now_mib),
    ]);
    Ok((figures, Some(workers)))
}
