//! A phase that may crash, in a process of its own: its job fails, and the program lives on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::{Builder, Ctx, Job, Phase, PhaseResult, Plan, Retry, Stepwell, Worker};

#[derive(Serialize, Deserialize)]
struct Page(u32);

impl Job for Page {
    const KIND: &'static str = "page";
    type Output = u32;
}

struct Renderer;

impl Worker for Renderer {
    type Job = Page;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u32> {
        let render = plan.blocking("render", (), Self::render);
        render.isolated().timeout(Duration::from_mins(1)).retry(Retry::never())
    }
}

impl Renderer {
    /// What a library in C does that does not like the second page.
    fn render(&self, cx: &Ctx<Page>) -> PhaseResult<u32> {
        match cx.job().0 {
            2 => std::process::abort(),
            page => Ok(page * 42),
        }
    }
}

/// What the program works: said to the queue, and to the children.
fn workers(builder: Builder) -> Builder {
    builder.worker(Renderer)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In a child this runs the phase, and does not return.
    stepwell::process::begin_with(workers);
    render()
}

#[tokio::main]
async fn render() -> Result<(), Box<dyn std::error::Error>> {
    let stepwell = workers(Stepwell::in_memory()).open().await?;
    let workers = stepwell.start();
    for page in 1..=3 {
        match stepwell.enqueue(Page(page)).await?.result().await {
            Ok(pixels) => println!("page {page}: {pixels} pixels"),
            Err(error) => println!("page {page}: {error}"),
        }
    }
    workers.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

// Output:
// page 1: 42 pixels
// page 2: job failed in phase `render`: was ended by signal 6, SIGABRT
// page 3: 126 pixels
