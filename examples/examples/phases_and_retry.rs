//! A phase that failed runs again; the phases before it do not.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, Phase, PhaseError, PhaseResult, Plan, Retry, Stepwell, Worker};

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
}

impl Job for Order {
    const KIND: &'static str = "order";
    type Output = String;
}

/// A shop whose courier answers only at the third call.
#[derive(Default)]
struct Shop {
    calls: AtomicU32,
}

impl Worker for Shop {
    type Job = Order;

    fn plan(plan: &Plan<Self>) -> Phase<'_, String> {
        let price = plan.phase("charge", (), Self::charge);
        plan.phase("ship", price, Self::ship).retry(Retry::fixed(5, Duration::from_millis(1)))
    }
}

impl Shop {
    async fn charge(&self, cx: &Ctx<Order>) -> PhaseResult<u32> {
        if cx.job().item.is_empty() {
            // A further try would find the same empty order.
            return Err(PhaseError::permanent("nothing was ordered"));
        }
        println!("charged for {}", cx.job().item);
        Ok(12)
    }

    async fn ship(&self, cx: &Ctx<Order>, price: u32) -> PhaseResult<String> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < 2 {
            println!("try {} failed", cx.attempt());
            return Err("the courier does not answer".into());
        }
        Ok(format!("{} for {price}, shipped at try {}", cx.job().item, cx.attempt()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = tempfile::tempdir()?;
    let stepwell = Stepwell::sqlite(home.path().join("app.db")).worker(Shop::default()).open().await?;
    let workers = stepwell.start();

    let lamp = stepwell.enqueue(Order { item: "lamp".into() }).await?;
    println!("{}", lamp.result().await?);
    let nothing = stepwell.enqueue(Order { item: String::new() }).await?;
    println!("{}", nothing.result().await.expect_err("nothing cannot be shipped"));

    workers.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

// Output:
// charged for lamp
// try 1 failed
// try 2 failed
// lamp for 12, shipped at try 3
// job failed in phase `charge`: nothing was ordered
