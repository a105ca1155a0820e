//! Many callers, each enqueueing one job after the other and waiting until it is durable.
use std::{future::Future, time::Instant};

use tokio::task::JoinHandle;

use crate::{Figures, Payload, Request, Result};

/// # Errors
/// If enqueueing fails, or a caller panics.
pub async fn measure<F, Fut>(request: &Request, enqueue: F) -> Result<Figures>
where
    F: Fn(Payload) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let (jobs, callers) = (request.jobs, request.callers);
    let start = Instant::now();
    let tasks: Vec<JoinHandle<Result<()>>> = (0..callers)
        .map(|caller| {
            let enqueue = enqueue.clone();
            tokio::spawn(async move {
                for id in (caller..jobs).step_by(callers as usize) {
                    enqueue(Payload::new(id)).await?;
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(Figures::from([("jobs_per_second".into(), jobs as f64 / start.elapsed().as_secs_f64())]))
}
