//! `stepwell completion`.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::{failure::Failure, output::Output};

/// Where the text goes.
const PLACES: &str = "\
bash:  stepwell completion bash > ~/.local/share/bash-completion/completions/stepwell
zsh:   stepwell completion zsh > \"${fpath[1]}/_stepwell\"
fish:  stepwell completion fish > ~/.config/fish/completions/stepwell.fish";

#[derive(clap::Args)]
#[command(after_help = PLACES)]
pub(crate) struct Arguments {
    /// For this shell.
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, mut command: clap::Command) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "stepwell", &mut text);
    Output::plain().write(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
