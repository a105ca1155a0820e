//! All that has happened to a job.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::get::between;
use crate::{
    client::{JOBS, Session, query},
    failure::{FailedTo, Failure},
    output::{Fields, Members, Table, field, span, text_of},
};

/// Events of one answer.
const LIMIT: usize = 1_000;

/// As much of an answer as is needed.
#[derive(Deserialize)]
struct Polled {
    events: Vec<Box<RawValue>>,
    next: String,
}

pub(super) async fn timeline(session: &Session, id: &str, fields: &Fields) -> Result<u8, Failure> {
    fields.check(Members::Of("Event"))?;
    let (what, id) = ("read the job's events", session.client.id(&JOBS, id).await?);
    let mut events: Vec<Box<RawValue>> = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let asked = query([("after", &*after), ("limit", &LIMIT.to_string())]);
        let answer = session.client.get(what, &format!("/api/v1/jobs/{id}/events?{asked}")).await?;
        let polled: Polled = serde_json::from_str(answer.text()).failed_to(what)?;
        let is_last = polled.events.len() < LIMIT;
        events.extend(polled.events);
        if is_last {
            break;
        }
        after = polled.next;
    }
    let mut table = Table::new(&["AT", "AFTER", "EVENT", "PHASE", "WHAT"]);
    let mut before = String::new();
    for event in &events {
        let event: Value = serde_json::from_str(event.get()).failed_to(what)?;
        let at = text_of(&event, "at");
        let after = between(&before, &at).map_or_else(String::new, |after| format!("+{}", span(after)));
        let members = event["data"].as_object().into_iter().flatten();
        let data: Vec<String> = members
            .map(|(name, value)| {
                format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        table.row([
            at.clone(),
            after,
            field(&event, "type").to_owned(),
            text_of(&event, "phase"),
            data.join(" "),
        ]);
        before = at;
    }
    session.out.choose(&events, &table, fields)?;
    session.out.hint(&format!("stepwell jobs get {id}"));
    Ok(0)
}
