//! SIGTERM while a phase runs that does not end.

use rustix::process::Signal;
use serde_json::json;

use crate::conformance::{
    kinds::WAIT,
    rule::Rule,
    stage::{Played, Stage},
};

/// Longer than any grace.
const FOREVER_MS: u32 = 3_600_000;

pub(super) async fn play(stage: &mut Stage) -> Played {
    let worker = stage.start().await?;
    let job = stage.site.enqueue(WAIT, json!({ "ms": FOREVER_MS })).await?;
    stage.begun(Rule::GivesBack, &job, 0).await?;
    stage.signal(0, Signal::TERM);
    super::terminated::gives_back(stage, Rule::GivesBack, &worker, &job).await
}
