//! A network that drops answers.

use serde_json::json;

use crate::conformance::{
    call::Call,
    kinds::{CHECKPOINT, STEPS},
    rule::Rule,
    stage::{Played, Stage},
    trick::Trick,
};

/// What is lost, once each.
const LOST: [Call; 5] = [Call::Register, Call::Claim, Call::Checkpoint, Call::Fail, Call::Complete];

pub(super) async fn play(stage: &mut Stage) -> Played {
    for call in LOST {
        stage.site.gate.plan(Trick::LoseAnswer(call));
    }
    stage.start().await?;
    let job = stage.site.enqueue(CHECKPOINT, json!({ "to": 2, "failAt": 1 })).await?;
    stage
        .see(Rule::ClaimsAgain, "the same claim again, when its answer was lost", |journal| {
            let lost = journal.calls(Call::Claim).find(|claim| claim.is_lost())?;
            journal
                .calls(Call::Claim)
                .find(|claim| claim.asked > lost.asked && claim.is_same_as(lost))
                .map(drop)
        })
        .await?;
    let read = stage.ends(Rule::SaysAgain, &job, "completed").await?;
    let steps = stage.site.enqueue(STEPS, json!(1)).await?;
    // The one whose answer is lost has claimed the next phase.
    stage.site.gate.plan(Trick::LoseAnswer(Call::Complete));
    let stepped = stage.ends(Rule::SaysAgain, &steps, "completed").await?;

    let journal = stage.journal();
    for (nth, lost) in journal.iter().enumerate() {
        if !lost.is_lost() || !lost.call.is_report() {
            continue;
        }
        let next =
            journal.iter().skip(nth + 1).find(|next| next.call.is_report() && next.subject == lost.subject);
        let again = next.is_some_and(|next| next.is_same_as(lost));
        let next = next.map_or("nothing", |next| &next.line);
        stage.hold(Rule::SaysAgain, again, || {
            format!("the answer to {} was lost, and what came next under the lease was {next}", lost.line)
        });
    }
    let tries = &read["phases"][0]["tries"];
    stage.hold(Rule::SaysAgain, *tries == 2, || format!("a phase was tried {tries} times, and not 2"));
    let claimed = journal.handed_of(&job).len();
    stage.hold(Rule::ClaimsAgain, claimed == 2, || format!("a phase was claimed {claimed} times, and not 2"));
    let phases = stepped["phases"].as_array().cloned().unwrap_or_default();
    let once = phases.iter().all(|phase| phase["tries"] == 1);
    stage.hold(Rule::SaysAgain, once, || "a phase was run again because an answer was lost".to_owned());
    Ok(())
}
