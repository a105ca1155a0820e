//! `stepwell events`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    client::{Query, Session, Target, query},
    failure::{FailedTo, Failure},
    output::{Fields, Format, Members, event_line, text_of},
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Follows what happens, from now on or from any place, over restarts of the server.
    Tail(Tail),
    /// Lists the types of events.
    Types,
}

#[derive(clap::Args)]
struct Tail {
    /// The place after which to begin: the `pos` of an event; 0 begins with the oldest that is kept.
    #[arg(long, value_name = "POS")]
    after: Option<String>,
    /// Ends after so many events.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only of this job: its id, or the last 6 digits of it.
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Only of jobs of this kind.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only of jobs in this queue.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Only of jobs with this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only of these types, as `events types` lists them. May be given several times, or separated by commas.
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    #[command(flatten)]
    fields: Fields,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    Session::run(&target, format.into(), async |session| match &command {
        Command::Tail(tail) => follow(session, tail).await,
        Command::Types => types(session).await,
    })
    .await
}

async fn follow(session: &Session, tail: &Tail) -> Result<u8, Failure> {
    let what = "follow the events";
    tail.fields.check(Members::Of("Event"))?;
    let job = match &tail.job {
        Some(job) => Some(session.client.id(&crate::client::JOBS, job).await?),
        None => None,
    };
    let types = tail.types.join(",");
    let mut pairs: Query<'_> = Vec::new();
    pairs.extend(tail.after.as_deref().map(|after| ("after", after)));
    pairs.extend(job.as_deref().map(|job| ("job", job)));
    pairs.extend(tail.kind.as_deref().map(|kind| ("kind", kind)));
    pairs.extend(tail.queue.as_deref().map(|queue| ("queue", queue)));
    pairs.extend(tail.tag.as_deref().map(|tag| ("tag", tag)));
    if !types.is_empty() {
        pairs.push(("type", &types));
    }
    let mut frames = session.client.follow(what, format!("/api/v1/events?{}", query(pairs)));
    let mut left = tail.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let frame = frames.next().await?;
        if frame.event.starts_with("stream:") {
            tell_missed(session, &frame.event, &frame.data)?;
            continue;
        }
        if !session.out.choose_one(&frame.data, &tail.fields)? {
            show(session, &frame.data)?;
        }
        left -= 1;
    }
    Ok(0)
}

/// Shows an event as it is wanted.
pub(super) fn show(session: &Session, data: &str) -> Result<(), Failure> {
    let out = &session.out;
    if out.is_json() {
        return out.line(data);
    }
    let event: Value = serde_json::from_str(data).failed_to("understand an event")?;
    if out.is_for_people() {
        return out.line(&event_line(&event));
    }
    let mut cells: Vec<String> = ["pos", "at", "type", "jobId", "kind", "queue", "phase"]
        .iter()
        .map(|name| text_of(&event, name))
        .collect();
    cells.push(event["data"].to_string());
    out.line(&cells.join("\t"))
}

/// Events that are no longer kept cannot be shown, but nobody shall think that there were none.
fn tell_missed(session: &Session, ty: &str, data: &str) -> Result<(), Failure> {
    if session.out.is_json() {
        return session.out.line(data);
    }
    let told: Value = serde_json::from_str(data).failed_to("understand an event")?;
    session.out.say(&match ty {
        "stream:reset" => {
            "this is another event log than the one that was followed; it begins anew".to_owned()
        }
        _ => format!("events before {} are no longer kept, and were missed", told["oldest"]),
    });
    Ok(())
}

async fn types(session: &Session) -> Result<u8, Failure> {
    let answer = session.client.get("list the types of events", "/api/v1/events/types").await?;
    let value = answer.value()?;
    let names = value["data"].as_array().cloned().unwrap_or_default();
    match session.out.is_json() {
        true => session.out.line(&json!(names).to_string())?,
        false => {
            for name in &names {
                session.out.line(name.as_str().unwrap_or_default())?;
            }
        }
    }
    Ok(0)
}
