//! The words of `stepwell jobs`.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;

use super::{act, export, get, list, timeline, watch};
use crate::{
    client::{JOBS, Session, Target},
    failure::Failure,
    output::{Fields, Format},
    span,
};

/// What a script wants to know.
const CODES: &str = "\
A job is named by its id, or by the last 6 digits of it or more, if it is among the newest 2,000.

Exit codes:
  0    it was done, or the job that was watched has completed
  2    the arguments are wrong
  3    there is no such job
  4    the token is missing, wrong, or not for this
  5    the job is in another state, or has changed since
  6    the server does not answer
  10   the job that was watched has failed
  11   it was cancelled
  124  it has not ended in time
  130  ended by Ctrl-C; the job goes on";

#[derive(clap::Args)]
#[command(after_help = CODES)]
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
    /// Lists jobs, the newest first.
    List(list::List),
    /// Writes jobs with payloads and results, a JSON object a line. Cut off, it says where to go on.
    Export(export::Export),
    /// Shows a job: its phases, what it is about, what has come of it, and why it does not run.
    Get(Named),
    /// Follows a job to its end, and exits as it ends.
    Watch(Watch),
    /// Shows all that has happened to a job, and how long each step took.
    Timeline(Listed),
    /// Shows what a job's phases have logged.
    Logs(Listed),
    /// Stops a job: at once if it waits; if it runs, its phase is asked to stop.
    Cancel(Several),
    /// Gives failed or cancelled jobs a fresh set of tries. Phases that have completed keep their results.
    Retry(act::Retry),
    /// Runs a job that has ended again from a phase on, a completed one too.
    Rerun(act::Rerun),
    /// Lets a job that waits run now, whatever time it waits for.
    RunNow(Several),
    /// Changes a job that waits.
    Edit(act::Edit),
    /// Removes a job that has ended, with everything of it but its events.
    Delete(act::Delete),
}

#[derive(clap::Args)]
pub(super) struct Named {
    /// The job.
    pub(super) id: String,
}

#[derive(clap::Args)]
pub(super) struct Listed {
    /// The job.
    pub(super) id: String,
    #[command(flatten)]
    pub(super) fields: Fields,
}

#[derive(clap::Args)]
pub(super) struct Several {
    /// The jobs.
    #[arg(required = true, value_name = "ID")]
    pub(super) ids: Vec<String>,
}

#[derive(clap::Args)]
struct Watch {
    /// The job.
    id: String,
    /// Gives up after this time: 90s, 15m. The job goes on.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, command } = arguments;
    Session::run(&target, format.into(), async |session| match &command {
        Command::List(list) => list::list(session, list).await,
        Command::Export(asked) => export::export(session, asked).await,
        Command::Get(named) => get::get(session, &named.id).await,
        Command::Watch(asked) => {
            let id = session.client.id(&JOBS, &asked.id).await?;
            watch::watch(session, &id, asked.timeout).await
        }
        Command::Timeline(listed) => timeline::timeline(session, &listed.id, &listed.fields).await,
        Command::Logs(listed) => get::logs(session, &listed.id, &listed.fields).await,
        Command::Cancel(several) => act::act(session, &several.ids, "cancel").await,
        Command::Retry(retry) => act::retry(session, retry).await,
        Command::Rerun(rerun) => act::rerun(session, rerun).await,
        Command::RunNow(several) => act::act(session, &several.ids, "run-now").await,
        Command::Edit(edit) => act::edit(session, edit).await,
        Command::Delete(delete) => act::delete(session, delete).await,
    })
    .await
}
