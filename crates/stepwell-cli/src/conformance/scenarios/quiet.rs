//! An operator who wants a worker to be quiet.

use serde_json::json;

use crate::conformance::{
    kinds::WAIT,
    rule::Rule,
    stage::{Played, Stage},
};

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": (stage.lease() * 2).as_millis() })).await?;
    let handed = stage.begun(Rule::IsQuiet, &job, 0).await?;
    stage.site.act(&format!("/api/v1/workers/{worker}/quiet")).await?;
    let told = stage
        .see(Rule::IsQuiet, "a heartbeat that is answered with `quiet`", |journal| {
            journal.desired(&worker, "quiet")
        })
        .await?;
    stage.ends(Rule::IsQuiet, &job, "completed").await?;
    let journal = stage.journal();
    let end = journal.ends(&handed.lease).find(|end| end.granted().is_some());
    stage.hold(Rule::IsQuiet, end.is_some(), || "the phase that ran was not let to its end".to_owned());
    // What was on its way does not count.
    let claims = journal.claims(&worker).filter(|claim| claim.asked > told + stage.beat()).count();
    stage.hold(Rule::IsQuiet, claims == 0, || format!("{claims} claims after it was told to be quiet"));
    let end = end.map(|end| end.asked).unwrap_or_default();
    let beats = journal.beats(&worker).filter(|beat| beat.asked > told && beat.asked < end).count();
    stage.hold(Rule::IsQuiet, beats > 0, || "no heartbeat after it was told to be quiet".to_owned());
    Ok(())
}
