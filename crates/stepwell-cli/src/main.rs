//! The `stepwell` program.

mod dev;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A durable job queue: jobs are lists of phases, and each result is on disk the moment its phase ends.
#[derive(Parser)]
#[command(name = "stepwell", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs demonstration jobs with real work on a directory: hashes and compresses its files, durably.
    Dev(dev::Options),
    /// Prints the version.
    Version,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Version => {
            println!("stepwell {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Command::Dev(options) => match dev::run(options).await {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("stepwell: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
