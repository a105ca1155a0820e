//! The token of a server. A secret stands in no list of processes: it comes from a file, the environment or a program.

use std::{process::Stdio, time::Duration};

use super::choice::Token;
use crate::failure::{FailedTo, Failure};

/// How long a program may take to print it: somebody may have to type a password.
const WITHIN: Duration = Duration::from_mins(2);

impl Token {
    /// The token itself.
    ///
    /// # Errors
    /// If it cannot be read, or there is none.
    pub(super) async fn read(&self) -> Result<String, Failure> {
        let (what, text) = match self {
            Self::Itself(token) => return Ok(token.clone()),
            Self::File(file) => {
                let what = format!("read the token from {}", file.display());
                (what.clone(), std::fs::read_to_string(file).failed_to(what)?)
            }
            Self::Command(words) => {
                let what = format!("have the token printed by token_cmd, {}", words.join(" "));
                (what.clone(), printed(words, &what).await?)
            }
        };
        match text.trim() {
            "" => Err(Failure::to(what, "there is none; it is what `tokens create` printed")),
            token => Ok(token.to_owned()),
        }
    }
}

/// What a program prints. It may ask on the terminal, and tell why it fails.
async fn printed(words: &[String], what: &str) -> Result<String, Failure> {
    let [program, arguments @ ..] = words else { return Ok(String::new()) };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, async { command.spawn()?.wait_with_output().await });
    let output = match output.await {
        Ok(output) => output.failed_to(what)?,
        Err(_) => return Err(Failure::to(what, format!("it did not end within {} s", WITHIN.as_secs()))),
    };
    match output.status.success() {
        true => String::from_utf8(output.stdout).failed_to(what),
        false => Err(Failure::to(what, output.status)),
    }
}
