//! Enqueueing many jobs with few calls, one caller.
use std::{future::Future, time::Instant};

use crate::{Figures, Payload, Result};

pub const PER_CALL: u64 = 1_000;

/// # Errors
/// If enqueueing fails.
pub async fn measure<F, Fut>(jobs: u64, mut enqueue_many: F) -> Result<Figures>
where
    F: FnMut(Vec<Payload>) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let start = Instant::now();
    let mut next = 0;
    while next < jobs {
        let end = jobs.min(next + PER_CALL);
        enqueue_many((next..end).map(Payload::new).collect()).await?;
        next = end;
    }
    Ok(Figures::from([("jobs_per_second".into(), jobs as f64 / start.elapsed().as_secs_f64())]))
}
