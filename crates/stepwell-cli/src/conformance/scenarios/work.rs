//! Jobs of all kinds, and nothing that goes wrong by itself.

use serde_json::{Value, json};
use stepwell::limits;

use crate::conformance::{
    call::Call,
    exchange::Exchange,
    kinds::{self, CHECKPOINT, ECHO, FAIL, LARGE, SAY, SNOOZE, STEPS},
    rule::Rule,
    stage::{Played, Stage},
};

/// Characters of the large payload. Each is three bytes.
const LARGE_CHARACTERS: usize = 100_000;
/// A message that has to arrive.
const MESSAGE: &str = "größer als erlaubt: ∞";

pub(super) async fn play(stage: &mut Stage) -> Played {
    stage.start().await?;
    let registered = stage.journal().calls(Call::Register).last().map(|asked| asked.body.clone());
    let fault = registered.as_ref().and_then(kinds::fault);
    stage.hold(Rule::Registers, fault.is_none(), || fault.unwrap_or_default());
    echoes(stage).await?;
    steps(stage).await?;
    checkpoints(stage).await?;
    failures(stage).await?;
    snoozes(stage).await?;
    says(stage).await?;
    is_too_large(stage).await
}

/// Values that are easily lost on the way.
fn payloads() -> Vec<Value> {
    vec![
        json!(null),
        json!(""),
        json!([]),
        json!({ "": { "null": null, "false": false, "zero": 0 } }),
        json!({ "numbers": [0, -1, 9_007_199_254_740_991_i64, 0.1, -2.5e-7, 1e21] }),
        json!({ "größe": "Ünïcödé ✓ 日本語 👩‍👩‍👧‍👦 \u{1} \u{7f} \u{2028} \\ \" /", "e\u{301}": "é" }),
        json!({ "large": "数".repeat(LARGE_CHARACTERS) }),
    ]
}

async fn echoes(stage: &mut Stage) -> Played {
    for payload in payloads() {
        let job = stage.site.enqueue(ECHO, payload.clone()).await?;
        let read = stage.ends(Rule::HandsOver, &job, "completed").await?;
        let handed = stage.handed(Rule::HandsOver, &job, 0).await?;
        let key = &handed.claim["phase"]["idempotencyKey"];
        let wanted = json!({ "payload": payload, "attempt": 1, "interrupted": false, "idempotencyKey": key });
        let result = &read["result"];
        stage.hold(Rule::HandsOver, *result == wanted, || {
            format!("{} in place of {}", brief(result), brief(&wanted))
        });
    }
    Ok(())
}

async fn steps(stage: &mut Stage) -> Played {
    let payload = json!({ "n": [1, "2"] });
    let job = stage.site.enqueue(STEPS, payload.clone()).await?;
    let read = stage.ends(Rule::HandsOver, &job, "completed").await?;
    let wanted = json!({ "one": payload, "two": { "one": payload }, "payload": payload });
    let result = &read["result"];
    stage.hold(Rule::HandsOver, *result == wanted, || format!("{result} in place of {wanted}"));
    Ok(())
}

async fn checkpoints(stage: &mut Stage) -> Played {
    let rule = Rule::SavesCheckpoints;
    let job = stage.site.enqueue(CHECKPOINT, json!({ "to": 4, "failAt": 2 })).await?;
    let read = stage.ends(rule, &job, "completed").await?;
    let wanted = json!({ "from": 2, "to": 4 });
    stage.hold(Rule::HandsOver, read["result"] == wanted, || {
        format!("{} in place of {wanted}: a checkpoint was not handed to the next try", read["result"])
    });
    let journal = stage.journal();
    let handed = journal.handed_of(&job);
    let saved: Vec<&Exchange> = handed
        .iter()
        .flat_map(|handed| journal.reports(&handed.lease))
        .filter(|report| report.call == Call::Checkpoint)
        .collect();
    let values: Vec<&Value> = saved.iter().map(|report| &report.body["value"]).collect();
    stage.hold(rule, values == [&json!(1), &json!(2), &json!(3), &json!(4)], || {
        format!("the checkpoints are {values:?}, and should be 1 to 4")
    });
    let hasty = saved.iter().any(|save| {
        let answered = save.told().map(|told| told.at);
        journal.reports(&save.subject).any(|next| next.asked > save.asked && Some(next.asked) < answered)
    });
    stage.hold(rule, !hasty, || "a phase went on before its checkpoint was answered".to_owned());
    Ok(())
}

async fn failures(stage: &mut Stage) -> Played {
    let rule = Rule::TellsFailures;
    let never = stage.site.enqueue(FAIL, json!({ "message": MESSAGE, "retry": "never", "times": 9 })).await?;
    let later = stage.site.enqueue(FAIL, json!({ "message": MESSAGE, "afterMs": 300, "times": 1 })).await?;
    let by_policy = stage.site.enqueue(FAIL, json!({ "message": MESSAGE, "times": 1 })).await?;
    let read = stage.ends(rule, &never, "failed").await?;
    let message = read["failure"]["message"].as_str().unwrap_or_default();
    stage.hold(rule, message.contains(MESSAGE), || format!("the message has become {message:?}"));
    let tries = &read["phases"][0]["tries"];
    stage.hold(rule, *tries == 1, || format!("`never` was tried {tries} times"));
    for (job, after, retry) in [(&later, json!(300), "`afterMs`"), (&by_policy, Value::Null, "the policy")] {
        let read = stage.ends(rule, job, "completed").await?;
        stage.hold(rule, read["result"] == json!({ "attempt": 2 }), || {
            format!("{} in place of {{\"attempt\":2}}, by {retry}", read["result"])
        });
        let journal = stage.journal();
        let handed = journal.handed_of(job);
        let failed = handed.first().and_then(|first| journal.ends(&first.lease).next());
        let told = failed.map(|fail| fail.body["afterMs"].clone()).unwrap_or_default();
        stage.hold(rule, told == after, || format!("`afterMs` is {told}, and should be {after}"));
    }
    Ok(())
}

async fn snoozes(stage: &mut Stage) -> Played {
    let rule = Rule::Snoozes;
    let job = stage.site.enqueue(SNOOZE, json!({ "delayMs": 250 })).await?;
    let read = stage.ends(rule, &job, "completed").await?;
    stage.hold(rule, read["result"] == json!({ "attempt": 1 }), || {
        format!("{} in place of {{\"attempt\":1}}: to snooze is no failure", read["result"])
    });
    let delay = stage.journal().calls(Call::Snooze).next().map(|snooze| snooze.body["delayMs"].clone());
    stage.hold(rule, delay == Some(json!(250)), || format!("`delayMs` is {delay:?}, and should be 250"));
    Ok(())
}

async fn says(stage: &mut Stage) -> Played {
    let rule = Rule::TellsProgress;
    let job = stage.site.enqueue(SAY, json!({ "lines": ["one", "zwei ✓", "三"], "total": 3 })).await?;
    stage.ends(rule, &job, "completed").await?;
    let logs = stage.site.logs(&job).await?;
    let lines: Vec<&str> =
        logs["data"].as_array().into_iter().flatten().filter_map(|line| line["text"].as_str()).collect();
    stage.hold(rule, lines == ["one", "zwei ✓", "三"], || format!("the lines of the log are {lines:?}"));
    let journal = stage.journal();
    let handed = journal.handed_of(&job);
    let told: Vec<&Value> = handed
        .iter()
        .flat_map(|handed| journal.reports(&handed.lease))
        .filter(|report| report.call == Call::Progress)
        .map(|report| &report.body["done"])
        .collect();
    stage.hold(rule, told == [&json!(1), &json!(2), &json!(3)], || format!("the progress was {told:?}"));
    Ok(())
}

/// A result that the server cannot keep.
async fn is_too_large(stage: &mut Stage) -> Played {
    let rule = Rule::FailsWhatIsRefused;
    let bytes = limits::RESULT_BYTES_MAX + 1_000;
    let job = stage.site.enqueue(LARGE, json!({ "bytes": bytes })).await?;
    stage.ends(rule, &job, "failed").await?;
    let journal = stage.journal();
    let handed = journal.handed_of(&job);
    let ends: Vec<Call> =
        handed.iter().flat_map(|handed| journal.ends(&handed.lease)).map(|end| end.call).collect();
    stage.hold(rule, ends == [Call::Complete, Call::Fail], || format!("it ended with {ends:?}"));
    Ok(())
}

/// As much of a value as is told.
fn brief(value: &Value) -> String {
    const CHARACTERS: usize = 200;
    let text = value.to_string();
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
