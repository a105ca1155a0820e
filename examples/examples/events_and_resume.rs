//! Events are stored. A listener that remembers the last position it has seen misses nothing while it is away.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Event, EventStream, Job, PhaseResult, Stepwell};

#[derive(Serialize, Deserialize)]
struct Tick {
    n: u32,
}

impl Job for Tick {
    const KIND: &'static str = "tick";
    type Output = u32;
}

async fn tick(cx: &Ctx<Tick>) -> PhaseResult<u32> {
    Ok(cx.job().n)
}

/// Listens until a job has completed, and answers with the last position.
async fn listen(events: &mut EventStream) -> u64 {
    while let Some(Event { pos, event_type, .. }) = events.next().await {
        println!("{pos} {event_type}");
        if event_type.is_terminal() {
            return pos;
        }
    }
    0
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let path = home.path().join("app.db");

    let stepwell = Stepwell::sqlite(&path).worker_fn(tick).open().await?;
    let workers = stepwell.start();
    let mut events = stepwell.events().of_kind::<Tick>().after(0).subscribe();
    stepwell.enqueue(Tick { n: 1 }).await?;
    let seen = listen(&mut events).await;
    drop(events);

    println!("the listener is away");
    stepwell.enqueue(Tick { n: 2 }).await?.result().await?;
    workers.shutdown(Duration::from_secs(5)).await?;

    println!("it is back, after a restart");
    let stepwell = Stepwell::sqlite(&path).worker_fn(tick).open().await?;
    listen(&mut stepwell.events().of_kind::<Tick>().after(seen).subscribe()).await;
    stepwell.close().await?;
    Ok(())
}

// Output:
// 1 job:enqueued
// 2 job:started
// 3 job:phase:started
// 4 job:phase:completed
// 5 job:completed
// the listener is away
// it is back, after a restart
// 6 job:enqueued
// 7 job:started
// 8 job:phase:started
// 9 job:phase:completed
// 10 job:completed
