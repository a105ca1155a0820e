//! A worker that sleeps for longer than its lease, while another one takes over.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::conformance::{
    kinds::{ECHO, WAIT},
    rule::Rule,
    stage::{Played, Stage},
    trick::Trick,
};

pub(super) async fn play(stage: &mut Stage) -> Played {
    let rule = Rule::SleepsThrough;
    let first = stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": (stage.lease() / 2).as_millis() })).await?;
    let handed = stage.begun(rule, &job, 0).await?;
    stage.signal(0, Signal::STOP);
    let second = stage.start().await?;
    let taken = stage.handed(rule, &job, 1).await?;
    let interrupted = &taken.claim["phase"]["interrupted"];
    stage.hold(Rule::HandsOver, *interrupted == true, || format!("`interrupted` is {interrupted}"));
    let completed = stage.ends(rule, &job, "completed").await?;

    // Its late answer comes first, and whatever else it asks is held until then.
    stage.site.gate.plan(Trick::Hold(first.clone()));
    stage.signal(0, Signal::CONT);
    late_answer(stage, &handed.lease).await;
    stage.site.gate.undo();
    stage
        .see(rule, "a registration of the worker that was asleep", |journal| {
            journal.workers().iter().find(|id| **id != first && **id != second).map(drop)
        })
        .await?;
    let read = stage.site.job(&job).await?;
    stage.hold(rule, read == completed, || "the late answer has changed the job".to_owned());
    let journal = stage.journal();
    let refused = journal.ends(&handed.lease).find(|end| end.told().is_some());
    let was_refused = refused.is_none_or(|end| end.is_refused("lease-lost"));
    stage.hold(rule, was_refused, || "a late answer was not refused".to_owned());

    // It works on, by itself.
    stage.signal(1, Signal::TERM);
    stage.exits(Rule::Leaves, 1).await?;
    let next = stage.site.enqueue(ECHO, json!({})).await?;
    stage.ends(rule, &next, "completed").await?;
    Ok(())
}

/// Waits for the late answer, and not for long: a worker that knows how long it has slept says none.
async fn late_answer(stage: &Stage, lease: &str) {
    let patience: Duration = stage.beat();
    let told = stage.see(Rule::SleepsThrough, "a late answer", |journal| {
        journal.ends(lease).find(|end| end.told().is_some()).map(drop)
    });
    tokio::time::timeout(patience * 2, told).await.ok();
}
