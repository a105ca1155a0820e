//! `cargo xtask test`: every test of the workspace.

use std::process::Command;

use crate::{
    cargo::{self, EVERYTHING},
    error::Error,
    languages,
    servers::Servers,
};

/// Runs all tests; with a filter after `--` only those that match, without the documentation's tests, because
/// their runner understands other filters.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    let filter = match words.split_first() {
        None => return suite(&[]).and_then(|()| documentation()),
        Some((dashes, filter)) if dashes == "--" => filter,
        Some((word, _)) => {
            return Err(Error::usage(format!("`test` takes its filter after `--`, but was given `{word}`")));
        }
    };
    suite(filter)
}

/// Unit tests, integration tests, binaries and examples.
pub(crate) fn suite(filter: &[String]) -> Result<(), Error> {
    let mut command = if cargo::has_subcommand("nextest")? { nextest()? } else { libtest()? };
    languages::provide()?;
    let servers = Servers::start()?;
    servers.tell(&mut command);
    cargo::run(command.args(filter))
}

/// The code in the documentation, which nextest cannot run.
pub(crate) fn documentation() -> Result<(), Error> {
    cargo::run(cargo::cargo(&["test", "--doc"])?.args(EVERYTHING))
}

fn nextest() -> Result<Command, Error> {
    let mut command = cargo::cargo(&["nextest", "run"])?;
    command.args(EVERYTHING);
    Ok(command)
}

fn libtest() -> Result<Command, Error> {
    let mut command = cargo::cargo(&["test"])?;
    // Named one by one: `--all-targets` would also run the benchmarks.
    command.args(EVERYTHING).args(["--lib", "--bins", "--tests", "--examples", "--no-fail-fast"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_without_dashes_is_refused_by_name() {
        let error = run(&["claims".to_owned()]).unwrap_err();
        assert!(matches!(error, Error::Usage(_)));
        assert!(error.to_string().contains("`claims`"), "{error}");
    }

    #[test]
    fn both_runners_build_the_same_features() {
        for command in [nextest().unwrap(), libtest().unwrap()] {
            let line = cargo::describe(&command);
            assert!(line.contains("--workspace --all-features"), "{line}");
        }
    }
}
