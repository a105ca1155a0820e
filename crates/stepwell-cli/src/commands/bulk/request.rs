//! A bulk operation that is asked for.

use clap::ValueEnum;
use http::Method;
use serde::Serialize;
use serde_json::Value;

use super::{command::one, progress};
use crate::{
    client::{Session, segment},
    commands::jobs::State,
    failure::{FailedTo, Failure, code},
    output::{field, short, text_of},
};

#[derive(clap::Args)]
pub(super) struct Run {
    /// What is done to each job.
    action: Action,
    #[command(flatten)]
    selection: Selection,
    /// Selects every job.
    #[arg(long)]
    all: bool,
    /// For retry: every phase runs again, those that have completed, too.
    #[arg(long)]
    from_start: bool,
    /// For set-priority: the new one.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i16>,
    /// For set-queue: the new one.
    #[arg(long, value_name = "QUEUE")]
    to_queue: Option<String>,
    /// Says how many jobs it would be about, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Makes the request count once in 24 hours, however often it is sent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Waits for its end.
    #[arg(long)]
    wait: bool,
    /// Does not ask before it deletes.
    #[arg(long)]
    yes: bool,
}

/// What is done to each job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "camelCase")]
enum Action {
    /// Those that wait or run are cancelled.
    Cancel,
    /// Those that failed or were cancelled get a fresh set of tries.
    Retry,
    /// Those that have ended are removed.
    Delete,
    /// Those that wait run now.
    RunNow,
    /// Those that wait get another priority.
    SetPriority,
    /// Those that wait get another queue.
    SetQueue,
}

/// Which jobs. Everything that is given must match.
#[derive(clap::Args, Serialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    /// In this state.
    #[arg(long, value_name = "STATE")]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "state")]
    state: Option<State>,
    /// Of this kind.
    #[arg(long, value_name = "KIND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// In this queue.
    #[arg(long, value_name = "QUEUE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    /// With this tag.
    #[arg(long, value_name = "TAG")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// With this search attribute.
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = crate::pair::parse)]
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "attribute")]
    attribute: Option<(String, String)>,
    /// With this unique key.
    #[arg(long = "unique", value_name = "KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_key: Option<String>,
}

fn state<S: serde::Serializer>(state: &Option<State>, serializer: S) -> Result<S::Ok, S::Error> {
    state.map(State::as_str).serialize(serializer)
}

fn attribute<S: serde::Serializer>(
    pair: &Option<(String, String)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let object = pair.as_ref().map(|(name, value)| serde_json::json!({ "name": name, "value": value }));
    object.serialize(serializer)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    action: Action,
    filter: &'a Selection,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_start: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
}

pub(super) const PATH: &str = "/api/v1/bulk-operations";

pub(super) async fn run(session: &Session, asked: &Run) -> Result<u8, Failure> {
    let what = "begin the bulk operation";
    let filter = serde_json::to_value(&asked.selection).failed_to(what)?;
    let is_empty = filter.as_object().is_none_or(serde_json::Map::is_empty);
    if is_empty != asked.all {
        let why = match asked.all {
            true => "--all selects every job, and the other words only some; leave one out",
            false => "no jobs are selected; say which with --state, --kind, --queue and so on, or --all",
        };
        return Err(Failure::with_code(code::USAGE, what, why));
    }
    let mut request = Request {
        action: asked.action,
        filter: &asked.selection,
        dry_run: true,
        from_start: asked.from_start,
        priority: asked.priority,
        queue: asked.to_queue.as_deref(),
    };
    if asked.dry_run {
        return preview(session, session.client.post(what, PATH, &request).await?.text());
    }
    if asked.action == Action::Delete && !asked.yes {
        let preview = session.client.post(what, PATH, &request).await?.value()?;
        session.out.confirm(false, &format!("delete {} jobs", matched(&preview)), "delete").await?;
    }
    request.dry_run = false;
    let body = serde_json::to_vec(&request).failed_to(what)?;
    let key = asked.idempotency_key.as_deref();
    let headers: Vec<(&str, &str)> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
    let answer = session.client.ask(what, Method::POST, PATH, &headers, body.into()).await?;
    let made = answer.value()?;
    let id = field(&made, "id");
    if asked.wait {
        return progress::until_end(session, &format!("{PATH}/{}", segment(id))).await;
    }
    one(session, answer.text())?;
    session.out.hint(&format!("stepwell bulk watch {id}"));
    Ok(0)
}

/// How many jobs, as far as they were counted.
pub(super) fn matched(preview: &Value) -> String {
    let more = if preview["exact"] == true { "" } else { " or more" };
    format!("{}{more}", preview["matched"])
}

fn preview(session: &Session, text: &str) -> Result<u8, Failure> {
    if session.out.is_json() {
        session.out.line(text)?;
        return Ok(0);
    }
    let preview: Value = serde_json::from_str(text).failed_to("understand the answer")?;
    session.out.line(&format!("{}\tjobs", matched(&preview)))?;
    for job in preview["sample"].as_array().into_iter().flatten() {
        let id = field(job, "id");
        let id = if session.out.is_for_people() { short(id) } else { id.to_owned() };
        let cells = [id, text_of(job, "kind"), text_of(job, "queue"), text_of(job, "state")];
        session.out.line(&cells.join("\t"))?;
    }
    Ok(0)
}
