//! What was told to whom, and how that went.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use stepwell::Stopwatch;

use crate::{
    client::{DELIVERIES, JOBS, Query, Session, WEBHOOKS},
    failure::{FailedTo, Failure, code},
    output::{Ago, Fields, Members, Table, field, short, text_of, tint},
};

/// How long a test may take.
const TEST_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at a test.
const TICK: Duration = Duration::from_millis(200);
/// Deliveries that one request sends again, at most.
const REPLAYED_MAX: u32 = 1_000;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Waiting,
    Sending,
    Delivered,
    Failed,
    Skipped,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(clap::Args)]
pub(super) struct List {
    /// Only to this endpoint.
    webhook: Option<String>,
    /// Only about this job.
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// In this state.
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// That came to be at this time or later: 2027-03-01T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// That came to be before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Goes on after an earlier list, with what that said at its end.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

#[derive(clap::Args)]
pub(super) struct Several {
    /// The deliveries.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(clap::Args)]
pub(super) struct Replay {
    /// The endpoint.
    webhook: String,
    /// Those in this state; failed unless set.
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// Those that came to be at this time or later: 2027-03-01T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those that came to be before this time.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

pub(super) async fn list(session: &Session, list: &List) -> Result<u8, Failure> {
    let what = "list the deliveries";
    list.fields.check(Members::Of("Delivery"))?;
    let webhook = match &list.webhook {
        Some(id) => Some(session.client.id(&WEBHOOKS, id).await?),
        None => None,
    };
    let job = match &list.job {
        Some(id) => Some(session.client.id(&JOBS, id).await?),
        None => None,
    };
    let mut pairs: Query<'_> = Vec::new();
    pairs.extend(webhook.as_deref().map(|id| ("endpoint", id)));
    pairs.extend(job.as_deref().map(|id| ("job", id)));
    pairs.extend(list.state.map(|state| ("state", state.as_str())));
    pairs.extend(list.since.as_deref().map(|at| ("since", at)));
    pairs.extend(list.until.as_deref().map(|at| ("until", at)));
    let (limit, cursor) = (list.limit as usize, list.cursor.clone());
    let listed = session.client.list(what, "/api/v1/deliveries", &pairs, limit, cursor).await?;
    let (ago, people) = (Ago::now(), session.out.is_for_people());
    let id_of = |id: &str| if people { short(id) } else { id.to_owned() };
    let when = |at: &str| if people { ago.of(at) } else { at.to_owned() };
    let mut table =
        Table::new(&["ID", "STATE", "EVENT", "JOB", "WEBHOOK", "ATTEMPTS", "CREATED", "NEXT", "ERROR"]);
    for item in &listed.items {
        let delivery: Value = serde_json::from_str(item.get()).failed_to(what)?;
        table.row([
            id_of(field(&delivery, "id")),
            text_of(&delivery, "state"),
            text_of(&delivery, "event"),
            id_of(field(&delivery, "jobId")),
            id_of(field(&delivery, "webhookId")),
            text_of(&delivery, "attempts"),
            when(field(&delivery, "createdAt")),
            when(field(&delivery, "nextAttemptAt")),
            text_of(&delivery, "error"),
        ]);
        table.paint(1, tint(field(&delivery, "state")));
    }
    session.out.choose(&listed.items, &table, &list.fields)?;
    match listed.next {
        Some(next) => session.out.hint(&format!("the same with --cursor {next}")),
        None if table.is_empty() => {}
        None => session.out.hint("stepwell webhooks delivery ID, or stepwell webhooks redeliver ID"),
    }
    Ok(0)
}

pub(super) async fn get(session: &Session, id: &str) -> Result<u8, Failure> {
    let id = session.client.id(&DELIVERIES, id).await?;
    let answer = session.client.get("read the delivery", &format!("/api/v1/deliveries/{id}")).await?;
    if session.out.is_json() {
        session.out.line(answer.text())?;
        return Ok(0);
    }
    let delivery = answer.value()?;
    let names = [
        "id",
        "state",
        "event",
        "jobId",
        "webhookId",
        "attempts",
        "createdAt",
        "nextAttemptAt",
        "finishedAt",
    ];
    let mut facts: Vec<(&str, String)> = names.map(|name| (name, text_of(&delivery, name))).into();
    facts.push(("error", text_of(&delivery, "error")));
    facts.push(("body", delivery["body"].to_string()));
    for attempt in delivery["attemptLog"].as_array().into_iter().flatten() {
        let how = match (attempt["status"].as_u64(), field(attempt, "error")) {
            (Some(status), "") => status.to_string(),
            (_, error) => error.to_owned(),
        };
        facts.push(("attempt", format!("{} {how} {}ms", field(attempt, "at"), attempt["durationMs"])));
    }
    session.out.facts(&facts)?;
    Ok(0)
}

/// Does something to several deliveries, one after the other.
pub(super) async fn act(session: &Session, several: &Several, verb: &str) -> Result<u8, Failure> {
    let what = if verb == "skip" { "give up the delivery" } else { "send the delivery again" };
    for id in &several.ids {
        let id = session.client.id(&DELIVERIES, id).await?;
        let answer = session.client.act(what, &format!("/api/v1/deliveries/{id}/{verb}")).await?;
        match session.out.is_json() {
            true => session.out.line(answer.text())?,
            false => session.out.line(&format!("{id}\t{}", text_of(&answer.value()?, "state")))?,
        }
    }
    Ok(0)
}

/// Sends something, and waits for how the first attempt goes.
pub(super) async fn test(session: &Session, id: &str) -> Result<u8, Failure> {
    let (what, id) = ("test the webhook", session.client.id(&WEBHOOKS, id).await?);
    let sent = session.client.act(what, &format!("/api/v1/webhooks/{id}/test")).await?.value()?;
    let delivery = field(&sent, "deliveryId");
    let begun = Stopwatch::start();
    loop {
        let answer = session.client.get(what, &format!("/api/v1/deliveries/{delivery}")).await?;
        let found = answer.value()?;
        if found["attemptLog"].as_array().is_some_and(|attempts| !attempts.is_empty()) {
            let (state, error) = (field(&found, "state"), field(&found, "error"));
            match session.out.is_json() {
                true => session.out.line(answer.text())?,
                false => session.out.line(format!("{delivery}\t{state}\t{error}").trim_end())?,
            }
            return Ok(if state == "delivered" { 0 } else { code::FAILURE });
        }
        if begun.elapsed() > TEST_WITHIN {
            let why = "it has not been sent in time; a server must run that works on this store";
            return Err(Failure::with_code(code::TIMED_OUT, what, why));
        }
        tokio::time::sleep(TICK).await;
    }
}

pub(super) async fn replay(session: &Session, replay: &Replay) -> Result<u8, Failure> {
    let what = "send the deliveries again";
    let id = session.client.id(&WEBHOOKS, &replay.webhook).await?;
    let mut body = json!({ "limit": REPLAYED_MAX });
    let chosen = [
        ("state", replay.state.map(State::as_str)),
        ("since", replay.since.as_deref()),
        ("until", replay.until.as_deref()),
    ];
    for (name, value) in chosen {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    let mut replayed = 0;
    loop {
        let answer =
            session.client.post(what, &format!("/api/v1/webhooks/{id}/replay"), &body).await?.value()?;
        replayed += answer["replayed"].as_u64().unwrap_or(0);
        match &answer["next"] {
            Value::Null => break,
            next => body["cursor"] = next.clone(),
        }
    }
    match session.out.is_json() {
        true => session.out.line(&json!({ "replayed": replayed }).to_string())?,
        false => session.out.line(&format!("{replayed}\treplayed"))?,
    }
    session.out.hint(&format!("stepwell webhooks deliveries {id}"));
    Ok(0)
}
