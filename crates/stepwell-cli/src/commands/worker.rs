//! `stepwell worker`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    client::Target,
    config::Config,
    failure::{Failure, code},
    output::Format,
    span,
    worker::{self, Options},
};

/// What a script wants to know.
const CODES: &str = "\
Exit codes:
  0    it was told to end, and what ran here has ended; with --once, nothing is left to do
  1    what ran did not end in time and was given back, or it could not go on
  2    the arguments are wrong
  4    the token is missing, wrong, or not for this
  6    the server does not answer; once it has, a worker waits for it
  10   nothing is left to do, but a job has failed (with --once)
  130  it was told to end before that (with --once)";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
    /// The kinds of jobs, whose phases are programs: ./stepwell.toml unless set.
    #[arg(long, value_name = "FILE", env = "STEPWELL_CONFIG")]
    config: Option<PathBuf>,
    /// Works this queue, and none that is not named. May be given several times. Unless set: default, and every queue
    /// that the file names.
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// How many jobs of each queue run here at once; unless set, what the file says of the queue, or 16.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: Option<u16>,
    /// Ends when nothing is left to do: nothing runs here, and nothing is due now or within a minute.
    #[arg(long)]
    once: bool,
    /// What people call this worker; unless set, machine and process number.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// How long running phases have to end once the worker is told to. Then they are stopped, and their jobs given
    /// back.
    #[arg(long, value_name = "SPAN", default_value = "25s", value_parser = span::parse)]
    grace: Duration,
}

fn name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=200 => Ok(text.to_owned()),
        _ => Err("it is 1 to 200 bytes long".into()),
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, config, queues, concurrency, once, name, grace } = arguments;
    let Some(config) = Config::find(config.as_deref())?.filter(Config::has_kinds) else {
        let why = "no file here describes any; write a stepwell.toml, or name another file with --config";
        return Err(Failure::with_code(code::USAGE, "find kinds of jobs to work", why));
    };
    let options = Options { config, queues, concurrency, once, name, grace, out: format.into() };
    worker::run(&target, options).await.map(ExitCode::from)
}
