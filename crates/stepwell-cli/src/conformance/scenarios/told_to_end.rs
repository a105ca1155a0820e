//! SIGTERM while a phase runs that ends before long.

use rustix::process::Signal;
use serde_json::json;

use crate::conformance::{
    call::Call,
    kinds::{ECHO, WAIT},
    rule::Rule,
    stage::{Played, Stage},
};

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": stage.lease().as_millis() })).await?;
    let handed = stage.begun(Rule::LetsPhasesEnd, &job, 0).await?;
    stage.signal(0, Signal::TERM);
    let quiet = stage
        .see(Rule::LetsPhasesEnd, "a heartbeat that says `quiet`", |journal| {
            journal.beats(&worker).find(|beat| beat.body["state"] == "quiet").map(|beat| beat.asked)
        })
        .await?;
    let later = stage.site.enqueue(ECHO, json!(null)).await?;
    stage.exits(Rule::Leaves, 0).await?;
    let read = stage.site.job(&job).await?;
    stage.hold(Rule::LetsPhasesEnd, read["state"] == "completed", || {
        format!("the job that ran is {}, and its phase had time to end", read["state"])
    });
    let read = stage.site.job(&later).await?;
    stage.hold(Rule::LetsPhasesEnd, read["state"] == "pending", || {
        format!("a job that came after SIGTERM is {}", read["state"])
    });
    let journal = stage.journal();
    let claims = journal.claims(&worker).filter(|claim| claim.asked > quiet).count();
    stage.hold(Rule::LetsPhasesEnd, claims == 0, || format!("{claims} claims after SIGTERM"));
    let end = journal.ends(&handed.lease).last().map(|end| end.asked).unwrap_or_default();
    let left = journal.calls(Call::Leave).find(|leave| leave.subject == worker && leave.granted().is_some());
    let in_order = left.is_some_and(|leave| leave.asked > end);
    stage.hold(Rule::Leaves, in_order, || {
        "the worker has ended without `DELETE` after its last report".to_owned()
    });
    Ok(())
}
