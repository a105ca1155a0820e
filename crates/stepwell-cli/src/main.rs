//! The `stepwell` program.

mod commands;
mod dev;
mod failure;
mod http;
mod interrupts;
mod log;
mod serve;
mod span;
mod store;
mod webhooks;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// A durable job queue: jobs are lists of phases, and each result is on disk the moment its phase ends.
#[derive(Parser)]
#[command(name = "stepwell", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hashes and compresses the files of a directory, durably: interrupt it in any way, and start it again.
    Dev(commands::dev::Arguments),
    /// Serves the queue over HTTP: for programs in any language, and for browsers that follow it live.
    Serve(commands::serve::Arguments),
    /// Makes, lists and revokes the tokens that `serve` asks for.
    Tokens(commands::tokens::Arguments),
    /// Prints the version.
    Version,
}

#[tokio::main]
async fn main() -> ExitCode {
    log::begin();
    interrupts::outlive_file_size_limit();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => {
            if refusal.use_stderr() {
                tell_in_json(&Failure::usage(&refusal));
            }
            refusal.exit()
        }
    };
    let outcome = match arguments.command {
        Command::Dev(arguments) => commands::dev::run(arguments).await,
        Command::Serve(arguments) => commands::serve::run(arguments).await,
        Command::Tokens(arguments) => commands::tokens::run(arguments).await,
        Command::Version => commands::version::run(),
    };
    outcome.unwrap_or_else(|failure| {
        tell_in_json(&failure);
        eprintln!("stepwell: {failure}");
        ExitCode::FAILURE
    })
}

/// Whoever reads the lines of `dev --json` finds there, too, why there are no more.
fn tell_in_json(failure: &Failure) {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|command| command == "dev") && words.any(|word| word == "--json") {
        println!("{}", serde_json::json!({ "type": "dev:error", "message": failure.to_string() }));
    }
}
