//! `stepwell queues`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, json, value::RawValue};

use super::bulk;
use crate::{
    client::{Session, Target, segment},
    failure::{FailedTo, Failure},
    output::{Ago, Fields, Format, Members, Table, clean, field, text_of, tint},
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
    /// Lists the queues that have jobs, a worker, or something that was set.
    List(Fields),
    /// Shows a queue.
    Get {
        /// The queue.
        name: String,
    },
    /// Sets how many jobs of a queue may run at once in all workers together. What runs goes on, even if it is more.
    #[command(group = clap::ArgGroup::new("wanted").required(true))]
    Set {
        /// The queue.
        name: String,
        /// So many at once: at least 1.
        #[arg(long, value_name = "N", group = "wanted")]
        limit: Option<u32>,
        /// Any number at once.
        #[arg(long, group = "wanted")]
        no_limit: bool,
    },
    /// Keeps workers from taking jobs of a queue. What runs goes on.
    Pause {
        /// The queue.
        name: String,
        /// Why, for others to read.
        #[arg(long, value_name = "WORDS")]
        reason: Option<String>,
    },
    /// Lets workers take jobs of a queue again.
    Resume {
        /// The queue.
        name: String,
    },
    /// Cancels every job of a queue that waits, and deletes those of it that are cancelled. What runs goes on.
    Purge {
        /// The queue.
        name: String,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    Session::run(&target, format.into(), async |session| {
        let client = &session.client;
        let path = |name: &str| format!("/api/v1/queues/{}", segment(name));
        let answer = match &command {
            Command::List(fields) => {
                fields.check(Members::Of("Queue"))?;
                let queues = client.whole("list the queues", "/api/v1/queues").await?;
                show(session, &queues, fields)?;
                session.out.hint("stepwell queues get NAME, or stepwell jobs list --queue NAME");
                return Ok(0);
            }
            Command::Purge { name, yes } => return bulk::purge(session, name, *yes).await,
            Command::Get { name } => client.get("read the queue", &path(name)).await?,
            Command::Set { name, limit, no_limit: _ } => {
                client.put("set the queue's limit", &path(name), &json!({ "limit": limit })).await?
            }
            Command::Pause { name, reason } => {
                let body = json!({ "reason": reason });
                let answer = client.post("pause the queue", &format!("{}/pause", path(name)), &body).await?;
                session.out.hint(&format!("stepwell queues resume {name}"));
                answer
            }
            Command::Resume { name } => {
                client.act("resume the queue", &format!("{}/resume", path(name))).await?
            }
        };
        match session.out.is_json() {
            true => session.out.line(answer.text()).map(|()| 0),
            false => {
                let queue: Box<RawValue> =
                    serde_json::from_str(answer.text()).failed_to("understand the answer")?;
                show(session, &[queue], &Fields::default())?;
                Ok(0)
            }
        }
    })
    .await
}

fn show(session: &Session, queues: &[Box<RawValue>], fields: &Fields) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "QUEUE",
        "STATE",
        "PENDING",
        "RUNNING",
        "LIMIT",
        "SLOTS",
        "WORKERS",
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "PAUSED",
    ]);
    let (ago, people) = (Ago::now(), session.out.is_for_people() && !session.out.is_json());
    // A table that just fits a terminal has no room for somebody's words.
    let mut reasons = Vec::new();
    for queue in queues {
        let queue: Value = serde_json::from_str(queue.get()).failed_to("understand the answer")?;
        let (jobs, at) = (&queue["jobs"], field(&queue, "pausedAt"));
        let state = if queue["paused"] == true { "paused" } else { "open" };
        let running = jobs["running"].as_u64().unwrap_or(0) + jobs["cancelling"].as_u64().unwrap_or(0);
        let at = if people { ago.of(at) } else { at.to_owned() };
        let reason = text_of(&queue, "pausedReason");
        table.row([
            text_of(&queue, "name"),
            state.to_owned(),
            text_of(jobs, "pending"),
            running.to_string(),
            text_of(&queue, "limit"),
            text_of(&queue, "slots"),
            text_of(&queue, "workers"),
            text_of(jobs, "completed"),
            text_of(jobs, "failed"),
            text_of(jobs, "cancelled"),
            if reason.is_empty() || people { at } else { format!("{at}: {reason}") },
        ]);
        if !reason.is_empty() && people {
            reasons.push(format!("{} is paused: {}", text_of(&queue, "name"), clean(&reason)));
        }
        table.paint(1, tint(state));
    }
    session.out.choose(queues, &table, fields)?;
    match fields.are_chosen() {
        true => Ok(()),
        false => reasons.iter().try_for_each(|reason| session.out.line(reason)),
    }
}
