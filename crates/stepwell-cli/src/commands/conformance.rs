//! `stepwell conformance`.

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    conformance::{self, Rule},
    failure::{Failure, code},
    interrupts::Interrupts,
    output::{Format, Output},
    span,
};

/// What a script, and whoever writes the worker, wants to know.
const HELP: &str = "\
The worker works the kinds that docs/conformance.md describes. It finds the server in STEPWELL_SERVER, the token in
STEPWELL_TOKEN, the queue in STEPWELL_QUEUE, and in STEPWELL_GRACE_MS the grace that it gives its phases.

Example:
  stepwell conformance -- python3 clients/python/conformance_worker.py

Exit codes:
  0    every rule is kept
  1    a rule is broken, or could not be looked at because another one is
  2    the arguments are wrong
  130  ended by Ctrl-C; so are the workers";

#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The worker: a program with its arguments. It is started many times, each time for a server of the kit's own.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
    /// Only what is about this rule, such as W7. May be given several times.
    #[arg(long, value_name = "RULE")]
    only: Vec<Rule>,
    /// The lease that workers are given. With a longer one a slow machine or a slow worker is less in the way, and the
    /// kit takes longer.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = lease)]
    lease: Duration,
    /// How long something may take that has to come. It is for a broken worker only that the kit waits so long.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = span::parse)]
    patience: Duration,
    /// How many workers are tried at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=100))]
    at_once: u16,
    /// Writes every request and answer to a file, a JSON object a line.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// What is shorter is more about the machine than about the worker.
fn lease(text: &str) -> Result<Duration, String> {
    match span::parse(text)? {
        lease if (Duration::from_secs(1)..=Duration::from_mins(5)).contains(&lease) => Ok(lease),
        _ => Err("it is 1s to 5m".into()),
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen();
    let out = Output::from(arguments.format);
    let options = conformance::Options {
        command: arguments.command,
        only: arguments.only,
        lease: arguments.lease,
        patience: arguments.patience,
        at_once: arguments.at_once.into(),
        trace: arguments.trace,
    };
    tokio::select! {
        outcome = conformance::run(options, &out) => outcome.map(ExitCode::from),
        () = interrupts.next() => Ok(ExitCode::from(code::INTERRUPTED)),
    }
}
