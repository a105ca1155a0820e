//! `stepwell dev`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    dev::{self, Options},
    failure::Failure,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The directory whose files are worked, as git would see them.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Also the files that git would ignore.
    #[arg(long)]
    all: bool,
    /// Ends when nothing is left to do, instead of staying until Ctrl-C.
    #[arg(long)]
    until_idle: bool,
    /// Stretches each phase by so many milliseconds, to try Ctrl-C, kill -9 and a second start.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    slow: u32,
    /// Prints one JSON object per line instead of words and bars.
    #[arg(long)]
    json: bool,
    /// How many jobs are worked at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let options = Options {
        dir: arguments.dir,
        all: arguments.all,
        until_idle: arguments.until_idle,
        slow: Duration::from_millis(arguments.slow.into()),
        json: arguments.json,
        concurrency: usize::from(arguments.concurrency),
    };
    dev::run(options).await.map(ExitCode::from)
}
