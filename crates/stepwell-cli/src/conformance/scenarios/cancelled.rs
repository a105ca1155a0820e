//! A job that somebody cancels while it runs.

use serde_json::json;

use crate::conformance::{
    call::Call,
    kinds::WAIT,
    rule::Rule,
    stage::{Played, Stage},
};

/// Longer than anybody waits.
const FOREVER_MS: u32 = 3_600_000;

pub(super) async fn play(stage: &mut Stage) -> Played {
    stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": FOREVER_MS })).await?;
    let handed = stage.begun(Rule::ObeysCancel, &job, 0).await?;
    stage.site.act(&format!("/api/v1/jobs/{job}/cancel")).await?;
    let lease = &handed.lease;
    stage
        .see(Rule::ObeysCancel, "a heartbeat that is answered with `cancel`", |journal| {
            journal.standing(lease, "cancel")
        })
        .await?;
    let end = stage
        .see(Rule::ObeysCancel, "the end of a phase that was told to stop", |journal| {
            journal.ends(lease).next().map(|end| end.call)
        })
        .await?;
    stage.hold(Rule::ObeysCancel, end != Call::Complete, || {
        "a phase that waits until it is stopped was said to be complete".to_owned()
    });
    stage.ends(Rule::ObeysCancel, &job, "cancelled").await?;
    Ok(())
}
