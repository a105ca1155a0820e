//! A guide, as somebody follows it: its files are written and its commands run, as they stand there.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What a guide has somebody do.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    Write { name: &'a str, text: &'a str },
    Run(&'a str),
}

/// What a guide has somebody do, in its order.
pub(crate) fn steps(guide: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = guide;
    while let Some((before, block)) = rest.split_once("```") {
        let (language, block) = block.split_once('\n').unwrap();
        let (text, after) = block.split_once("```").unwrap();
        // The last name before a file is its own.
        let name = before.rsplit('`').nth(1).unwrap_or_default();
        match language {
            "sh" => steps.push(Step::Run(text)),
            "toml" | "bash" | "py" | "js" => steps.push(Step::Write { name, text }),
            _ => {}
        }
        rest = after;
    }
    steps
}

/// A shell in the place, in which `stepwell` is the program and asks this server.
pub(crate) fn shell(place: &Path, script: &str, server: &str, job: &str) -> Command {
    let binaries = Path::new(env!("CARGO_BIN_EXE_stepwell")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(place).env("PATH", path).env("STEPWELL_SERVER", server);
    command.env("JOB", job).env_remove("STEPWELL_STORE").env_remove("STEPWELL_TOKEN").stdin(Stdio::null());
    command
}

/// The last digits of the job that `stepwell enqueue` has told of.
pub(crate) fn last_digits(told: &str) -> String {
    let id = told.split_whitespace().next().unwrap();
    id[id.len() - 6..].to_owned()
}
