//! The project's own commands, run as `cargo xtask <command>`.
//!
//! | file | owns |
//! |---|---|
//! | `command` | the list of commands and what an unknown one is answered |
//! | `test`, `ci`, `proof`, `bench` | one command each |
//! | `servers`, `languages`, `apt` | the PostgreSQL that tests run on; Python and Node; installing them |
//! | `tidy/` | the style test: one rule per file |
//! | `cargo`, `step`, `error` | running cargo, timing a step, exit codes |

mod apt;
mod bench;
mod cargo;
mod ci;
mod command;
mod error;
mod languages;
mod proof;
mod servers;
mod step;
mod test;
mod tidy;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match command::run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}
