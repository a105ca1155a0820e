//! The `stepwell` program.

mod bench;
mod client;
mod commands;
mod config;
#[cfg(unix)]
mod conformance;
mod dev;
mod doctor;
mod failure;
mod http;
mod init;
mod input;
mod interrupts;
mod log;
mod output;
mod pair;
mod payload;
mod serve;
mod span;
mod store;
mod top;
mod webhooks;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
    /// Works the kinds of jobs of a stepwell.toml, for a server or a store elsewhere.
    Worker(commands::worker::Arguments),
    /// Stores a job, and waits for it if so wished.
    Enqueue(commands::enqueue::Arguments),
    /// Shows jobs, and cancels, retries, changes or deletes them.
    Jobs(commands::jobs::Arguments),
    /// Shows queues, pauses and resumes them, and sets how many of their jobs may run at once.
    Queues(commands::queues::Arguments),
    /// Shows who works the queues, and quiets, resumes and ends them.
    Workers(commands::workers::Arguments),
    /// Follows what happens.
    Events(commands::events::Arguments),
    /// Shows and changes who is told of what happens, and sends again what did not arrive.
    Webhooks(commands::webhooks::Arguments),
    /// Does the same to many jobs.
    Bulk(commands::bulk::Arguments),
    /// Shows the queue live, on a terminal.
    Top(commands::top::Arguments),
    /// Checks, backs up, restores and compacts the file of a store, deletes what is old, and copies a store to another.
    Db(commands::db::Arguments),
    /// Looks for what operators meet, and says what to do about it.
    Doctor(commands::doctor::Arguments),
    /// Measures how fast a queue is here, in a store or a queue of its own.
    Bench(commands::bench::Arguments),
    /// Makes, lists and revokes the tokens that `serve` asks for.
    Tokens(commands::tokens::Arguments),
    /// Tries whether a worker, in whatever language, keeps the rules of the protocol for workers.
    #[cfg(unix)]
    Conformance(commands::conformance::Arguments),
    /// Shows what is set, and by what.
    Config(commands::config::Arguments),
    /// Prints the description of the HTTP API, as OpenAPI 3.1.
    Openapi,
    /// Prints what lets a shell complete commands.
    Completion(commands::completion::Arguments),
    /// Prints the manual as a man page, or writes a page for every command.
    Man(commands::man::Arguments),
    /// Prints the version.
    Version(commands::version::Arguments),
}

fn main() -> ExitCode {
    // This may be a phase that is about to begin, and no server at all.
    stepwell::process::begin();
    init::begin().unwrap_or_else(run)
}

#[tokio::main]
async fn run() -> ExitCode {
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
        Command::Worker(arguments) => commands::worker::run(arguments).await,
        Command::Enqueue(arguments) => commands::enqueue::run(arguments).await,
        Command::Jobs(arguments) => commands::jobs::run(arguments).await,
        Command::Queues(arguments) => commands::queues::run(arguments).await,
        Command::Workers(arguments) => commands::workers::run(arguments).await,
        Command::Events(arguments) => commands::events::run(arguments).await,
        Command::Webhooks(arguments) => commands::webhooks::run(arguments).await,
        Command::Bulk(arguments) => commands::bulk::run(arguments).await,
        Command::Top(arguments) => commands::top::run(arguments).await,
        Command::Db(arguments) => commands::db::run(arguments).await,
        Command::Doctor(arguments) => commands::doctor::run(arguments).await,
        Command::Bench(arguments) => commands::bench::run(arguments).await,
        Command::Tokens(arguments) => commands::tokens::run(arguments).await,
        #[cfg(unix)]
        Command::Conformance(arguments) => commands::conformance::run(arguments).await,
        Command::Config(arguments) => commands::config::run(arguments).await,
        Command::Openapi => commands::openapi::run(),
        Command::Completion(arguments) => commands::completion::run(&arguments, Arguments::command()),
        Command::Man(arguments) => commands::man::run(&arguments, Arguments::command()),
        Command::Version(arguments) => commands::version::run(&arguments),
    };
    outcome.unwrap_or_else(|failure| {
        tell_in_json(&failure);
        for line in failure.lines() {
            output::beside(format_args!("stepwell: {line}"));
        }
        failure.exit_code()
    })
}

/// Whoever reads the lines of `dev --json` finds there, too, why there are no more.
fn tell_in_json(failure: &Failure) {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|command| command == "dev") && words.any(|word| word == "--json") {
        println!("{}", serde_json::json!({ "type": "dev:error", "message": failure.to_string() }));
    }
}
