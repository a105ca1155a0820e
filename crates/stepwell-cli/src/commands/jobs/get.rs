//! One job, as it stands.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use stepwell::wire;

use crate::{
    client::{JOBS, Session},
    failure::{FailedTo, Failure},
    output::{Ago, Fields, Members, Table, field, span, text_of, tint},
};

/// What a job holds of others.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

pub(super) async fn get(session: &Session, id: &str) -> Result<u8, Failure> {
    let (what, id) = ("read the job", session.client.id(&JOBS, id).await?);
    let answer = session.client.get(what, &format!("/api/v1/jobs/{id}")).await?;
    if session.out.is_json() {
        session.out.line(answer.text())?;
        return Ok(0);
    }
    let job = answer.value()?;
    let people = session.out.is_for_people();
    let mut facts = facts(&job, people);
    // As they were written: numbers keep their digits.
    let raw: Raw<'_> = serde_json::from_str(answer.text()).failed_to(what)?;
    facts.push(("payload", raw.payload.get().to_owned()));
    facts.push(("result", raw.result.map_or_else(String::new, |result| result.get().to_owned())));
    session.out.facts(&facts)?;
    session.out.write(&phases(&job, people))?;
    match field(&job, "state") {
        "failed" => session.out.hint(&format!("stepwell jobs retry {id}")),
        "pending" | "running" => {
            let answer = session.client.get(what, &format!("/api/v1/jobs/{id}/explain")).await?;
            session.out.say(&text_of(&answer.value()?, "text"));
            session.out.hint(&format!("stepwell jobs watch {id}"));
        }
        _ => session.out.hint(&format!("stepwell jobs timeline {id}")),
    }
    Ok(0)
}

/// A job as names and values.
fn facts(job: &Value, people: bool) -> Vec<(&str, String)> {
    let ago = Ago::now();
    let state = match text_of(job, "reason") {
        reason if reason.is_empty() => text_of(job, "state"),
        reason => format!("{} ({reason})", text_of(job, "state")),
    };
    let mut facts: Vec<(&str, String)> =
        ["id", "kind", "queue"].map(|name| (name, text_of(job, name))).into();
    facts.push(("state", state));
    facts.push(("error", text_of(&job["failure"], "message")));
    facts.push(("failed in", text_of(&job["failure"], "phase")));
    let named = [("run", "run"), ("attempt", "attempt"), ("priority", "priority"), ("unique", "uniqueKey")];
    facts.extend(named.map(|(name, member)| (name, text_of(job, member))));
    facts.push(("tags", text_of(job, "tags")));
    for (name, value) in job["attributes"].as_object().into_iter().flatten() {
        facts.push(("attribute", format!("{name}={}", value.as_str().unwrap_or_default())));
    }
    for (name, member) in [("enqueued", "enqueuedAt"), ("not before", "runAt"), ("finished", "finishedAt")] {
        let at = field(job, member);
        let shown = if people && !at.is_empty() { format!("{at}, {}", ago.of(at)) } else { at.to_owned() };
        facts.push((name, shown));
    }
    if let Some(progress) = job["progress"].as_object() {
        let note = progress.get("note").and_then(Value::as_str).unwrap_or_default();
        let (done, total) = (&progress["done"], &progress["total"]);
        facts.push(("progress", format!("{done} of {total} {note}").trim_end().to_owned()));
    }
    facts.push(("webhook", text_of(&job["webhook"], "url")));
    facts
}

fn phases(job: &Value, people: bool) -> String {
    let mut table = Table::new(&["PHASE", "STATE", "TRIES", "TOOK", "ERROR"]);
    for phase in job["phases"].as_array().into_iter().flatten() {
        table.row([
            text_of(phase, "name"),
            text_of(phase, "state"),
            format!("{}/{}", phase["tries"], phase["maxTries"]),
            took(phase).map_or_else(String::new, span),
            text_of(phase, "error"),
        ]);
        table.paint(1, tint(field(phase, "state")));
    }
    match people {
        true if table.is_empty() => String::new(),
        true => format!("\n{}", table.aligned(None)),
        false => table.plain().lines().map(|line| format!("phase\t{line}\n")).collect(),
    }
}

/// From the beginning of its last try to its end.
pub(super) fn took(phase: &Value) -> Option<Duration> {
    between(field(phase, "startedAt"), field(phase, "finishedAt"))
}

/// The time between two times.
pub(super) fn between(from: &str, to: &str) -> Option<Duration> {
    let (from, to) = (wire::parse_rfc3339(from).ok()?, wire::parse_rfc3339(to).ok()?);
    Some(to.since(from))
}

pub(super) async fn logs(session: &Session, id: &str, fields: &Fields) -> Result<u8, Failure> {
    fields.check(Members::Of("LogLine"))?;
    let (what, id) = ("read the job's log", session.client.id(&JOBS, id).await?);
    let lines = session.client.whole(what, &format!("/api/v1/jobs/{id}/logs")).await?;
    let mut table = Table::new(&["AT", "PHASE", "TEXT"]);
    for line in &lines {
        let line: Value = serde_json::from_str(line.get()).failed_to(what)?;
        table.row(["at", "phase", "text"].map(|name| text_of(&line, name)));
    }
    session.out.choose(&lines, &table, fields)?;
    session.out.hint(&format!("stepwell jobs get {id}"));
    Ok(0)
}
