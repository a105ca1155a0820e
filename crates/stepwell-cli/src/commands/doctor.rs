//! `stepwell doctor`.

use std::{path::PathBuf, process::ExitCode};

use super::config;
use crate::{
    client::{Session, Target},
    doctor,
    failure::Failure,
    output::Format,
};

/// What a script wants to know.
const CODES: &str = "\
It looks who answers, whether the store's schema and the program belong together, at the store's file, its log and its
disk, at the clocks, at leases that have expired, at jobs that nobody takes, and at webhooks that do not arrive. It
changes nothing: a store whose schema is older is not opened.

Exit codes:
  0  nothing stands still; there may be warnings
  1  there is a problem
  4  the token is missing or wrong
  6  the server, or the database, does not answer";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// Only asks whether the server is ready for requests, which takes no token: for health checks.
    #[arg(long)]
    ready: bool,
    /// Also writes what it found, and how the server and its queues are, to this new directory, for somebody who helps:
    /// without jobs, and without secrets.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "ready")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let store = if arguments.ready { None } else { arguments.target.chosen_store()? };
    if let Some(store) = store
        && let Some(code) = doctor::visit_unopened(&store, &arguments.format.into()).await?
    {
        return Ok(ExitCode::from(code));
    }
    Session::run(&arguments.target, arguments.format.into(), async |session| {
        if !arguments.ready {
            let helper = match &arguments.bundle {
                Some(to) => Some((&**to, config::settings(&arguments.target, None).await?)),
                None => None,
            };
            return doctor::visit(session, helper).await;
        }
        let answer = session.client.get("ask whether the server is ready", "/readyz").await?;
        session.out.line(if session.out.is_json() { answer.text() } else { "ready" })?;
        Ok(0)
    })
    .await
}
