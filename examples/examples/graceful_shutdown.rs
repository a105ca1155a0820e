//! A shutdown lets the running phase end. What comes after it runs at the next start, and what came before it does not.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, JobId, Phase, PhaseResult, Plan, Stepwell, Worker};
use tokio::sync::Notify;

#[derive(Serialize, Deserialize)]
struct Import;

impl Job for Import {
    const KIND: &'static str = "import";
    type Output = u32;
}

/// Lets the shutdown begin in the middle of `fetch`.
#[derive(Default)]
struct Importer {
    begun: std::sync::Arc<Notify>,
    go_on: std::sync::Arc<Notify>,
}

impl Worker for Importer {
    type Job = Import;

    fn plan(plan: &Plan<Self>) -> Phase<'_, u32> {
        let rows = plan.phase("fetch", (), Self::fetch);
        plan.phase("store", rows, Self::store)
    }
}

impl Importer {
    async fn fetch(&self, _: &Ctx<Import>) -> PhaseResult<u32> {
        println!("fetch begins");
        self.begun.notify_one();
        self.go_on.notified().await;
        println!("fetch ends");
        Ok(7)
    }
    async fn store(&self, _: &Ctx<Import>, rows: u32) -> PhaseResult<u32> {
        println!("store begins with {rows} rows");
        Ok(rows)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("app.db");
    let id = first_start(&path).await?;

    let stepwell = Stepwell::sqlite(&path).worker(Importer::default()).open().await?;
    let workers = stepwell.start();
    println!("{} rows", stepwell.handle::<Import>(id).result().await?);
    workers.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

async fn first_start(path: &std::path::Path) -> Result<JobId, Box<dyn std::error::Error>> {
    let importer = Importer::default();
    let (begun, go_on) = (importer.begun.clone(), importer.go_on.clone());
    let stepwell = Stepwell::sqlite(path).worker(importer).open().await?;
    let workers = stepwell.start();
    let job = stepwell.enqueue(Import).await?;
    begun.notified().await;

    // The shutdown waits for `fetch`, and `fetch` for us: a real one would end in its own time.
    let shutdown = workers.shutdown(Duration::from_secs(5));
    let release = async {
        println!("shutting down");
        go_on.notify_one();
    };
    let (ended, ()) = tokio::join!(shutdown, release);
    ended?;
    println!("down");
    Ok(job.id())
}

// Output:
// fetch begins
// shutting down
// fetch ends
// down
// store begins with 7 rows
// 7 rows
