//! A phase that does not let its thread go.

use serde_json::json;

use crate::conformance::{
    kinds::BLOCK,
    rule::Rule,
    stage::{Played, Stage},
};

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let ms = (stage.lease() * 2).as_millis();
    let job = stage.site.enqueue(BLOCK, json!({ "ms": ms })).await?;
    let handed = stage.begun(Rule::BeatsMeanwhile, &job, 0).await?;
    stage.ends(Rule::BeatsMeanwhile, &job, "completed").await?;
    let journal = stage.journal();
    let end = journal.ends(&handed.lease).find(|end| end.granted().is_some()).map(|end| end.asked);
    let Some(end) = end else {
        let seen = "the lease was lost while the phase blocked its thread";
        return stage.breach(Rule::BeatsMeanwhile, seen);
    };
    // The first and the last third may be those in which it does not block yet, or not any more.
    let third = end.saturating_sub(handed.at) / 3;
    let during =
        journal.beats(&worker).filter(|beat| beat.asked > handed.at + third && beat.asked + third < end);
    let n = during.count();
    stage.hold(Rule::BeatsMeanwhile, n > 0, || "no heartbeat while the phase blocked its thread".to_owned());
    Ok(())
}
