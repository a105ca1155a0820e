//! `stepwell man`.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Command;
use clap_mangen::Man;

use crate::{
    failure::{FailedTo, Failure},
    output::Output,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Writes a page for every command into this directory, which is made if it does not exist. Without it the page of
    /// the program itself is printed.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, mut command: Command) -> Result<ExitCode, Failure> {
    command.build();
    match &arguments.dir {
        None => Output::plain().write(&page(&command)?)?,
        Some(dir) => {
            let what = format!("write the pages to {}", dir.display());
            fs::create_dir_all(dir).failed_to(&what)?;
            for command in all(&command) {
                let name = command.get_display_name().unwrap_or_else(|| command.get_name());
                fs::write(dir.join(format!("{name}.1")), page(command)?).failed_to(&what)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).failed_to("write the page")?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A command and those below it.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().filter(|below| below.get_name() != "help").flat_map(all);
    std::iter::once(command).chain(below).collect()
}
