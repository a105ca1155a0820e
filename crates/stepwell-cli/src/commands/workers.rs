//! `stepwell workers`.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::{Value, value::RawValue};

use crate::{
    client::{Session, Target, WORKERS},
    failure::{FailedTo, Failure},
    output::{Ago, Format, Table, field, short, text_of, tint},
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
    /// Lists what works: processes that open the store, wherever they run, and programs that speak HTTP with a server.
    List,
    /// Shows a worker.
    Get {
        /// Its id, or the last 6 digits of it or more.
        id: String,
    },
    /// Lets a worker claim nothing more. What it has goes on, and so does its process.
    Quiet {
        /// Its id, or the last 6 digits of it or more.
        id: String,
    },
    /// Lets a quiet worker claim again.
    Resume {
        /// Its id, or the last 6 digits of it or more.
        id: String,
    },
    /// Ends a worker: it claims nothing more, and gives back what it cannot end within its grace. It is not taken back.
    Terminate {
        /// Its id, or the last 6 digits of it or more.
        id: String,
    },
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    Session::run(&target, format.into(), async |session| {
        let client = &session.client;
        let (what, id, verb) = match &command {
            Command::List => {
                let workers = client.whole("list the workers", PATH).await?;
                return show(session, &workers);
            }
            Command::Get { id } => ("read the worker", id, None),
            Command::Quiet { id } => ("quiet the worker", id, Some("quiet")),
            Command::Resume { id } => ("resume the worker", id, Some("resume")),
            Command::Terminate { id } => ("end the worker", id, Some("terminate")),
        };
        let id = client.id(&WORKERS, id).await?;
        let path = format!("{PATH}/{id}");
        let answer = match verb {
            None => client.get(what, &path).await?,
            Some(verb) => client.act(what, &format!("{path}/{verb}")).await?,
        };
        if let Command::Quiet { .. } = command {
            session.out.hint(&format!("stepwell workers resume {id}"));
        }
        match session.out.is_json() {
            true => session.out.line(answer.text()).map(|()| 0),
            false => {
                let worker: Box<RawValue> =
                    serde_json::from_str(answer.text()).failed_to("understand the answer")?;
                show(session, &[worker])
            }
        }
    })
    .await
}

const PATH: &str = "/api/v1/workers";
fn show(session: &Session, workers: &[Box<RawValue>]) -> Result<u8, Failure> {
    let mut table = Table::new(&[
        "ID", "NAME", "TYPE", "STATE", "RUNNING", "SLOTS", "QUEUES", "KINDS", "HOST", "PID", "VERSION",
        "SINCE", "SEEN",
    ]);
    let (ago, people) = (Ago::now(), session.out.is_for_people());
    let when = |at: &str| if people { ago.of(at) } else { at.to_owned() };
    for worker in workers {
        let worker: Value = serde_json::from_str(worker.get()).failed_to("understand the answer")?;
        let id = field(&worker, "id");
        table.row([
            if people { short(id) } else { id.to_owned() },
            text_of(&worker, "name"),
            text_of(&worker, "type"),
            state(&worker),
            text_of(&worker, "running"),
            text_of(&worker, "slots"),
            text_of(&worker, "queues"),
            text_of(&worker, "kinds"),
            text_of(&worker, "host"),
            text_of(&worker, "pid"),
            text_of(&worker, "version"),
            when(field(&worker, "startedAt")),
            when(field(&worker, "lastHeartbeatAt")),
        ]);
        table.paint(3, tint(field(&worker, "state")));
    }
    session.out.list(workers, &table)?;
    Ok(0)
}

/// How a worker is; and what is wanted of it, if it has not come to that yet.
fn state(worker: &Value) -> String {
    let state = text_of(worker, "state");
    match (field(worker, "desired"), state.as_str()) {
        ("quiet", "running") => "running, to be quiet".to_owned(),
        ("terminate", "running" | "quiet") => format!("{state}, to end"),
        _ => state,
    }
}
