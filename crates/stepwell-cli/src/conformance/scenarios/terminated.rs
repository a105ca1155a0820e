//! An operator who ends a worker.

use serde_json::json;

use crate::conformance::{
    call::Call,
    kinds::WAIT,
    rule::Rule,
    stage::{Played, Stage},
};

/// Longer than any grace.
const FOREVER_MS: u32 = 3_600_000;

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let short = stage.site.enqueue(WAIT, json!({ "ms": stage.lease().as_millis() })).await?;
    let long = stage.site.enqueue(WAIT, json!({ "ms": FOREVER_MS })).await?;
    for job in [&short, &long] {
        stage.begun(Rule::Terminates, job, 0).await?;
    }
    stage.site.act(&format!("/api/v1/workers/{worker}/terminate")).await?;
    stage
        .see(Rule::Terminates, "a heartbeat that is answered with `terminate`", |journal| {
            journal.desired(&worker, "terminate")
        })
        .await?;
    gives_back(stage, Rule::Terminates, &worker, &long).await?;
    let read = stage.site.job(&short).await?;
    stage.hold(Rule::Terminates, read["state"] == "completed", || {
        format!("a job whose phase had time to end is {}", read["state"])
    });
    Ok(())
}

/// The worker ends, and the job waits as if it had never been claimed.
pub(super) async fn gives_back(stage: &mut Stage, rule: Rule, worker: &str, job: &str) -> Played {
    stage.exits(rule, 0).await?;
    let journal = stage.journal();
    let left = journal.calls(Call::Leave).find(|leave| leave.subject == worker && leave.granted().is_some());
    stage.hold(Rule::Leaves, left.is_some(), || "the worker has ended without `DELETE`".to_owned());
    let read = stage.site.job(job).await?;
    let events = stage.site.events(job).await?;
    let failed = events.iter().any(|event| event == "job:phase:failed" || event == "job:interrupted");
    let waits = read["state"] == "pending" && !failed;
    stage.hold(rule, waits, || format!("the job is {} after {}", read["state"], events.join(", ")));
    Ok(())
}
