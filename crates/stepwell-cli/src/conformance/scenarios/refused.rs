//! A server that has no time, or something before it that says so.

use std::time::Duration;

use serde_json::json;

use crate::conformance::{
    call::Call,
    kinds::ECHO,
    rule::Rule,
    stage::{Played, Stage},
    trick::{Refusal, Trick},
};

/// In whole seconds, as the header has it.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// A clock may differ by so much.
const PRECISION: Duration = Duration::from_millis(20);

pub(super) async fn play(stage: &mut Stage) -> Played {
    for (call, status, is_problem) in [
        (Call::Register, 503, true),
        (Call::Claim, 429, true),
        (Call::Claim, 503, false),
        (Call::Complete, 503, true),
        (Call::Complete, 502, false),
    ] {
        let refusal = Refusal { status, retry_after: RETRY_AFTER, is_problem };
        stage.site.gate.plan(Trick::Refuse(call, refusal));
    }
    // A heartbeat that is refused is followed by the next one, as always.
    let at_once = Refusal { status: 503, retry_after: Duration::ZERO, is_problem: true };
    stage.site.gate.plan(Trick::Refuse(Call::Heartbeat, at_once));
    stage.launch()?;
    stage.see(Rule::ComesBackLater, "a registration", |journal| journal.workers().first().map(drop)).await?;
    let job = stage.site.enqueue(ECHO, json!({})).await?;
    let read = stage.ends(Rule::ComesBackLater, &job, "completed").await?;
    let tries = &read["phases"][0]["tries"];
    stage
        .hold(Rule::ComesBackLater, *tries == 1, || format!("a phase was tried {tries} times, and not once"));

    let journal = stage.journal();
    for (nth, refused) in journal.iter().enumerate() {
        let Some(answer) = refused.told().filter(|_| refused.call != Call::Heartbeat) else { continue };
        let Some(after) = answer.retry_after.filter(|_| matches!(answer.status, 429 | 502 | 503)) else {
            continue;
        };
        let told = format!("{}, answered with {}", refused.line, answer.status);
        let Some(again) = journal.iter().skip(nth + 1).find(|exchange| exchange.is_same_as(refused)) else {
            stage.hold(Rule::ComesBackLater, false, || format!("{told}, was not sent again, the same"));
            continue;
        };
        let waited = again.asked.saturating_sub(answer.at);
        stage.hold(Rule::ComesBackLater, waited + PRECISION >= after, || {
            format!(
                "{told} and `Retry-After: {}`, was sent again after {} ms",
                after.as_secs(),
                waited.as_millis()
            )
        });
    }
    Ok(())
}
