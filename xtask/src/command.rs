//! The list of commands: the single source for dispatch, for `help` and for the answer to a mistyped name.

use crate::{bench, ci, error::Error, proof, test, tidy};

struct Command {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    run: fn(&[String]) -> Result<(), Error>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        arguments: "[-- FILTER...]",
        summary: "run every test, or those that match",
        run: test::run,
    },
    Command {
        name: "ci",
        arguments: "",
        summary: "everything a change must pass: format, tidy, clippy, docs, tests",
        run: ci::run,
    },
    Command {
        name: "tidy",
        arguments: "[--bless]",
        summary: "check the style; --bless freezes new migrations",
        run: tidy::run,
    },
    Command {
        name: "proof",
        arguments: proof::ARGUMENTS,
        summary: "run the long proofs, one or all of them",
        run: proof::run,
    },
    Command {
        name: "bench",
        arguments: "[ARGUMENTS...]",
        summary: "run the benchmarks of bench/ in release mode",
        run: bench::run,
    },
    Command { name: "help", arguments: "", summary: "print this list", run: print_help },
];

/// Runs the command that `words` name.
pub(crate) fn run(words: &[String]) -> Result<(), Error> {
    let Some((name, rest)) = words.split_first() else {
        return Err(Error::usage("no command was given"));
    };
    let name = if matches!(name.as_str(), "-h" | "--help") { "help" } else { name };
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => Err(Error::usage(format!("`{name}` is not a command"))),
    }
}

/// The usage text, one line per command.
pub(crate) fn help() -> String {
    let calls: Vec<String> =
        COMMANDS.iter().map(|c| format!("{} {}", c.name, c.arguments).trim_end().to_owned()).collect();
    // A long list of arguments would push every summary off the screen, so it goes on a line of its own.
    let mut text = String::from("usage: cargo xtask <command>\n");
    for (command, call) in COMMANDS.iter().zip(calls) {
        let gap = if call.len() > 24 { format!("{call}\n  {:24}", "") } else { format!("{call:24}") };
        text.push_str(&format!("\n  {gap}  {}", command.summary));
    }
    text
}

fn print_help(_: &[String]) -> Result<(), Error> {
    println!("{}", help());
    Ok(())
}

/// Refuses arguments for a command that takes none, so that a typing mistake is not silently ignored.
pub(crate) fn expect_no_arguments(name: &str, words: &[String]) -> Result<(), Error> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(Error::usage(format!("`{name}` takes no argument, but was given `{word}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_named_and_the_known_ones_are_listed() {
        let error = run(&["tset".to_owned()]).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Usage(_)));
        assert!(text.contains("`tset` is not a command"), "{text}");
        for command in COMMANDS {
            assert!(text.contains(command.name), "{} is missing in {text}", command.name);
        }
    }

    #[test]
    fn no_command_is_a_usage_error() {
        assert!(matches!(run(&[]), Err(Error::Usage(_))));
    }

    #[test]
    fn a_command_without_arguments_names_the_one_it_was_given() {
        let error = run(&["ci".to_owned(), "--fast".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("`--fast`"), "{error}");
    }
}
