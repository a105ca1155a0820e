//! `stepwell doctor`.

use std::process::ExitCode;

use crate::{
    client::{Session, Target},
    doctor,
    failure::Failure,
    output::Format,
};

/// What a script wants to know.
const CODES: &str = "\
With --store it also looks at the file, the log beside it, and the disk they are on.

Exit codes:
  0  nothing stands still; there may be warnings
  1  there is a problem
  4  the token is missing or wrong
  6  the server does not answer";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// Only asks whether the server is ready for requests, which takes no token: for health checks.
    #[arg(long)]
    ready: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    Session::run(&arguments.target, arguments.format.into(), async |session| {
        if !arguments.ready {
            return doctor::visit(session).await;
        }
        let answer = session.client.get("ask whether the server is ready", "/readyz").await?;
        session.out.line(if session.out.is_json() { answer.text() } else { "ready" })?;
        Ok(0)
    })
    .await
}
