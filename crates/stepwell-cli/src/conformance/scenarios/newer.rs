//! A server that is newer than the worker.

use serde_json::json;

use crate::conformance::{
    call::Call,
    kinds::{CHECKPOINT, ECHO, STEPS},
    rule::Rule,
    stage::{Played, Stage},
    trick::Trick,
};

pub(super) async fn play(stage: &mut Stage) -> Played {
    stage.site.gate.plan(Trick::AddUnknown);
    stage.start().await?;
    let rule = Rule::IgnoresTheUnknown;
    for (kind, payload) in
        [(ECHO, json!({ "a": 1 })), (STEPS, json!(1)), (CHECKPOINT, json!({ "to": 2, "failAt": 1 }))]
    {
        let job = stage.site.enqueue(kind, payload).await?;
        stage.ends(rule, &job, "completed").await?;
    }
    stage
        .see(rule, "a second heartbeat", |journal| {
            journal.calls(Call::Heartbeat).filter(|beat| beat.granted().is_some()).nth(1).map(drop)
        })
        .await?;
    Ok(())
}
