//! `stepwell bench`.

use std::process::ExitCode;

use crate::{
    bench::{self, Options},
    client::{Session, Target},
    failure::{Failure, code},
    interrupts::Interrupts,
    output::Format,
};

/// What a script wants to know.
const CODES: &str = "\
With --store it measures in a store of its own, on the same disk or in the same database, which is deleted afterwards;
the store itself is not opened. With --server it works a queue of its own over HTTP, stepwell-bench, and deletes its
jobs afterwards; their events are kept as long as others. The token needs the scopes jobs:enqueue, jobs:manage,
jobs:read, queues:read, webhooks:read and workers.

Exit codes:
  0    it was measured, and every job was stored and worked once
  1    it failed
  2    the arguments are wrong
  4    the token is missing, wrong, or not for this
  5    a webhook would be told of every job, or somebody else measures
  6    the server does not answer
  130  ended by Ctrl-C; what was made is gone again";

/// Jobs of one measurement.
const JOBS_MAX: i64 = 1_000_000;

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// How many jobs are stored, and then worked.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=JOBS_MAX))]
    jobs: u32,
    /// How many callers store jobs at once, each one after the other.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    callers: u16,
    /// Bytes of each payload.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    payload_bytes: u32,
    /// How many jobs are worked at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    slots: u16,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { jobs, callers, payload_bytes, slots, target, format } = arguments;
    let options = Options { jobs, callers, payload_bytes, slots };
    let code = match target.chosen_store()? {
        Some(store) => bench::run_here(&store, &options, format.into()).await?,
        None => {
            let mut interrupts = Interrupts::listen();
            let client = tokio::select! {
                client = target.open() => client?,
                () = interrupts.next() => return Ok(ExitCode::from(code::INTERRUPTED)),
            };
            let session = Session { client, out: format.into() };
            bench::run_there(&session, &options, &mut interrupts).await?
        }
    };
    Ok(ExitCode::from(code))
}
