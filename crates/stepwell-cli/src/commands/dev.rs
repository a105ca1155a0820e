//! `stepwell dev`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    config::Config,
    dev::{self, Options},
    failure::Failure,
    webhooks::WebhookArguments,
};

/// What a script wants to know.
const CODES: &str = "\
Exit codes:
  0    every job completed
  1    a job failed, or dev could not go on; each failure is named
  2    the arguments are wrong
  130  ended by Ctrl-C or SIGTERM: running phases end, up to 5 s; a second one gives their jobs back at once.
       The next start goes on where this one stood";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    /// The directory whose files are worked, as git would see them.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Works the kinds of jobs that this file describes, whose phases are programs, in place of the files of a
    /// directory: ./stepwell.toml, if there is one.
    #[arg(long, value_name = "FILE", env = "STEPWELL_CONFIG")]
    config: Option<PathBuf>,
    /// Also the files that git would ignore.
    #[arg(long)]
    all: bool,
    /// Ends when nothing is left to do, instead of staying until Ctrl-C.
    #[arg(long)]
    until_idle: bool,
    /// Stretches each phase that this start runs by so many milliseconds, to try Ctrl-C, kill -9 and a second start.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    slow: u32,
    /// Prints one JSON object per line instead of words and bars; an error is one, too.
    #[arg(long)]
    json: bool,
    /// How many jobs are worked at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,
    /// Where the API is served, to this machine only; if the port is taken, on the next one that is free.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7717", value_parser = loopback)]
    listen: SocketAddr,
    /// Serves no API.
    #[arg(long)]
    no_http: bool,
    #[command(flatten)]
    webhooks: WebhookArguments,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "it is an address and a port: 127.0.0.1:7717".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("dev asks for no token, so it listens on loopback addresses only; use serve".into()),
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let options = Options {
        dir: arguments.dir,
        all: arguments.all,
        until_idle: arguments.until_idle,
        slow: Duration::from_millis(arguments.slow.into()),
        json: arguments.json,
        concurrency: usize::from(arguments.concurrency),
        listen: (!arguments.no_http).then_some(arguments.listen),
        webhooks: arguments.webhooks.options(),
    };
    let config = Config::find(arguments.config.as_deref())?.filter(Config::has_kinds);
    dev::run(options, config).await.map(ExitCode::from)
}
