//! What can be set of `stepwell dev`.

use std::path::PathBuf;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The directory whose files are worked.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(super) dir: PathBuf,
    /// Also files that git would leave out: ignored and hidden ones.
    #[arg(long)]
    pub(super) all: bool,
    /// Ends when nothing is left to do, instead of staying until Ctrl-C.
    #[arg(long)]
    pub(super) until_idle: bool,
    /// Stretches each phase by so many milliseconds, to try Ctrl-C, kill -9 and a second start.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(super) slow: u64,
    /// Prints one JSON object per line instead of words and bars.
    #[arg(long)]
    pub(super) json: bool,
    /// How many files are worked at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) concurrency: u16,
}
