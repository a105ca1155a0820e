//! A phase that is the worker's no more.

use serde_json::json;
use stepwell::Stopwatch;

use crate::conformance::{
    kinds::{QUEUE, WAIT},
    rule::Rule,
    stage::{Played, Stage},
};

/// Longer than anybody waits.
const FOREVER_MS: u32 = 3_600_000;

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": FOREVER_MS })).await?;
    let handed = stage.begun(Rule::LetsGoOfTheLost, &job, 0).await?;
    // So that nobody claims it meanwhile.
    stage.site.act(&format!("/api/v1/queues/{QUEUE}/pause")).await?;
    let waited = Stopwatch::start();
    while stage.site.job(&job).await?["state"] == "running" {
        // Two that do not name it, with none of the worker's own between them, and it is given back.
        stage.site.beat_for(&worker).await?;
        stage.site.beat_for(&worker).await?;
        if waited.elapsed() > stage.trial.patience {
            return stage.breach(Rule::NamesItsLeases, "the job could not be taken from the worker");
        }
    }
    let lease = &handed.lease;
    let told = stage
        .see(Rule::LetsGoOfTheLost, "a heartbeat, or a report, that tells of the lost lease", |journal| {
            let refused = journal.reports(lease).find(|report| report.is_refused("lease-lost"));
            journal.standing(lease, "lost").or(refused.and_then(|report| Some(report.told()?.at)))
        })
        .await?;
    stage
        .see(Rule::LetsGoOfTheLost, "a heartbeat that does not name the lost lease any more", |journal| {
            journal
                .beats(&worker)
                .find(|beat| beat.asked > told && !beat.named().any(|named| named == *lease))
                .map(drop)
        })
        .await?;
    let late = stage.journal().ends(lease).filter(|end| end.asked > told).count();
    stage.hold(Rule::LetsGoOfTheLost, late == 0, || {
        "it said how a phase ended whose lease it knew to be lost".to_owned()
    });
    Ok(())
}
