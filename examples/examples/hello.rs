//! The smallest job there is: one function.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, PhaseResult, Stepwell};

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Job for Greet {
    const KIND: &'static str = "greet";
    type Output = String;
}

async fn greet(cx: &Ctx<Greet>) -> PhaseResult<String> {
    Ok(format!("hello, {}", cx.job().name))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let stepwell = Stepwell::sqlite(home.path().join("app.db")).worker_fn(greet).open().await?;
    let workers = stepwell.start();

    // When this returns, the job is on disk.
    let job = stepwell.enqueue(Greet { name: "Ada".into() }).await?;
    println!("{}", job.result().await?);

    workers.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

// Output:
// hello, Ada
