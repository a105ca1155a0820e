//! Nothing to do, and then something.

use serde_json::json;

use crate::conformance::{
    kinds::ECHO,
    rule::Rule,
    stage::{Played, Stage},
};

/// The shortest wait of a worker that runs nothing.
const WAIT_MS_MIN: u64 = 1_000;
/// Claims within one lease that are too many, at any length of it.
const CLAIMS_MAX: usize = 4;

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    stage.see(Rule::WaitsInTheClaim, "a claim", |journal| journal.claims(&worker).next().map(drop)).await?;
    // Whether it asks too often is seen in time only.
    tokio::time::sleep(stage.lease()).await;
    let journal = stage.journal();
    let n = journal.claims(&worker).count();
    let lease_ms = stage.lease().as_millis();
    let allowed = CLAIMS_MAX + usize::try_from(stage.lease().as_secs()).unwrap_or(0);
    stage.hold(Rule::WaitsInTheClaim, n <= allowed, || {
        format!("{n} claims within {lease_ms} ms, with nothing to do")
    });
    let short =
        journal.claims(&worker).find(|claim| claim.body["waitMs"].as_u64().unwrap_or(0) < WAIT_MS_MIN);
    let wait = short.map(|claim| claim.body["waitMs"].clone());
    stage.hold(Rule::WaitsInTheClaim, short.is_none(), || {
        format!("a claim with `waitMs` {}, with nothing to do", wait.unwrap_or_default())
    });
    let job = stage.site.enqueue(ECHO, json!({})).await?;
    stage.ends(Rule::WaitsInTheClaim, &job, "completed").await?;
    Ok(())
}
