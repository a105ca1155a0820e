//! A phase that takes longer than a lease.

use serde_json::json;

use crate::conformance::{
    exchange::Exchange,
    kinds::WAIT,
    rule::Rule,
    stage::{Played, Stage},
};

/// Heartbeats in one interval that are too many.
const EAGER: u32 = 4;

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let ms = (stage.lease() * 5 / 2).as_millis();
    let job = stage.site.enqueue(WAIT, json!({ "ms": ms })).await?;
    let handed = stage.handed(Rule::Beats, &job, 0).await?;
    let lease = &handed.lease;
    stage
        .see(Rule::NamesItsLeases, "a heartbeat that names the lease of what runs", |journal| {
            journal.beats(&worker).any(|beat| beat.named().any(|named| named == lease)).then_some(())
        })
        .await?;
    stage.ends(Rule::Beats, &job, "completed").await?;
    let journal = stage.journal();
    let end = journal.ends(&handed.lease).map(|end| end.asked).next();
    let Some(end) = end else {
        return stage.breach(Rule::Beats, "the job was completed under another lease");
    };

    let spell = end.saturating_sub(handed.at);
    let during = |beat: &&Exchange| beat.asked > handed.at && beat.asked < end;
    let beats: Vec<&Exchange> = journal.beats(&worker).filter(during).collect();
    let n = u32::try_from(beats.len()).unwrap_or(u32::MAX);
    let told = format!(
        "{n} heartbeats in {} ms, with `heartbeatMs` {}",
        spell.as_millis(),
        stage.beat().as_millis()
    );
    // On average: what this machine does besides is not held against the worker.
    let few = (n + 1) * stage.lease() * 2 / 3 < spell;
    let many = n.saturating_sub(EAGER) * stage.beat() > spell * EAGER;
    stage.hold(Rule::Beats, !few && !many, || told);

    // The first one may have been on its way.
    let nameless =
        beats.iter().skip(1).filter(|beat| !beat.named().any(|lease| lease == handed.lease)).count();
    stage.hold(Rule::NamesItsLeases, nameless == 0, || {
        format!("{nameless} heartbeats did not name the lease of a phase that ran")
    });
    Ok(())
}
