//! Jobs for later, and jobs of which there should be only one. Time is turned by hand here, as tests do.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, JobState, PhaseResult, Priority, Stepwell, Unique, testing::TestBed};

#[derive(Serialize, Deserialize)]
struct Report {
    month: String,
}

impl Job for Report {
    const KIND: &'static str = "report";
    type Output = String;
}

async fn report(cx: &Ctx<Report>) -> PhaseResult<String> {
    println!("writing {}", cx.job().month);
    Ok(cx.job().month.clone())
}

fn month(month: &str) -> Report {
    Report { month: month.into() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bed = TestBed::from(Stepwell::in_memory().worker_fn(report)).await;

    let hour = Duration::from_hours(1);
    let march = bed.enqueue(month("March")).delay(hour).unique(Unique::key("March")).await?;
    let again = bed.enqueue(month("March")).unique(Unique::key("March")).await?;
    println!("the same job: {}", again.is_duplicate() && again.id() == march.id());

    bed.enqueue(month("April")).await?;
    bed.enqueue(month("May")).priority(Priority::HIGH).await?;
    bed.run_until_idle().await;
    println!("March is {}: {}", march.state().await?, bed.explain(march.id()).await?);

    bed.advance(hour);
    bed.run_until_idle().await;
    assert_eq!(march.state().await?, JobState::Completed);

    // It has ended, so the key is free; within a window, it still counts.
    let within = Unique::key("March").within(Duration::from_hours(24));
    println!("enqueued again: {}", !bed.enqueue(month("March")).unique(within).await?.is_duplicate());
    Ok(())
}

// Output:
// the same job: true
// writing May
// writing April
// March is pending: it is scheduled for later
// writing March
// enqueued again: false
