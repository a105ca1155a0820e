//! A server that does not know the worker any more.

use serde_json::json;

use crate::conformance::{
    kinds::WAIT,
    rule::Rule,
    stage::{Played, Stage},
};

pub(super) async fn play(stage: &mut Stage) -> Played {
    let first = stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": stage.lease().as_millis() })).await?;
    let handed = stage.begun(Rule::RegistersAnew, &job, 0).await?;
    stage.site.bury(&first).await?;
    let (second, anew) = stage
        .see(Rule::RegistersAnew, "a second registration", |journal| {
            let second = (*journal.workers().get(1)?).to_owned();
            Some((second, journal.iter().rposition(|exchange| exchange.line == "POST /api/v1/workers")?))
        })
        .await?;
    let again = stage.handed(Rule::RegistersAnew, &job, 1).await?;
    stage.hold(Rule::RegistersAnew, again.worker == second, || {
        "a phase was claimed under the id that the server does not know".to_owned()
    });
    stage.ends(Rule::RegistersAnew, &job, "completed").await?;
    let journal = stage.journal();
    let registered = journal[anew].told().map(|told| told.at).unwrap_or_default();
    // What was on its way while it registered does not count.
    let late = journal.ends(&handed.lease).filter(|end| end.asked > registered + stage.beat()).count();
    stage.hold(Rule::RegistersAnew, late == 0, || {
        "it said something about what it had had, after it had registered anew".to_owned()
    });
    Ok(())
}
