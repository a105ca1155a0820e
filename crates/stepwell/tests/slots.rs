//! How queues share a process.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, PhaseResult, Stepwell};
use support::soon;

#[derive(Serialize, Deserialize)]
struct Render;
impl Job for Render {
    const KIND: &'static str = "render";
    type Output = ();
}
async fn render(_: &Ctx<Render>) -> PhaseResult<()> {
    Ok(())
}

#[tokio::test]
async fn a_full_queue_goes_on_at_once_beside_one_that_has_nothing_to_do() {
    let builder = Stepwell::in_memory().worker_fn(render).queue("gpu", 1);
    let stepwell = builder.open().await.unwrap();
    let mut jobs = Vec::new();
    for _ in 0..10 {
        jobs.push(stepwell.enqueue(Render).queue("gpu").await.unwrap());
    }
    let workers = stepwell.start();
    // A look that nobody asked for comes after 2.5 s at the earliest: nine of them are not in time.
    soon("the jobs end", async {
        for job in jobs {
            job.result().await.unwrap();
        }
    })
    .await;
    workers.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
}
