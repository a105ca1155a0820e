//! What the end of a child means.

use std::{fmt::Write, os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use stepwell_core::{Json, limits::RESULT_BYTES_MAX};

use crate::phase_error::{PhaseError, PhaseResult};

use super::{
    kind::CommandPhase,
    limits::Limits,
    output::Output,
    said::{Failure, Said},
};

/// `EX_TEMPFAIL` of `sysexits.h`: somebody should try again.
const TEMPORARY: i32 = 75;

/// How a try came to its end.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// What the child said about its outcome.
    pub(super) said: Option<Said>,
    /// Why it was made to end, if it was.
    pub(super) stopped: Option<Stopped>,
    pub(super) output: Output,
    pub(super) errors: String,
}

/// Why a child was made to end.
pub(super) enum Stopped {
    Asked,
    TimedOut(Duration),
    Flooded,
    Misspoke(String),
}

impl Ended {
    /// What is recorded.
    pub(super) fn outcome(self, phase: &CommandPhase) -> PhaseResult<Json> {
        match (self.said, self.stopped) {
            // What it has done is done, however it ended afterwards.
            (Some(Said::Complete(output)), _) => return Ok(output),
            (Some(Said::Fail(failure)), _) => return Err(said_failure(failure, &self.errors)),
            (Some(Said::Snooze(delay)), _) => return Err(PhaseError::snooze(delay)),
            (_, Some(Stopped::TimedOut(limit))) => {
                return Err(with_errors(format!("timed out after {limit:?}"), &self.errors).into());
            }
            (_, Some(Stopped::Asked)) => return Err("it was asked to stop".into()),
            (_, Some(Stopped::Flooded)) => return Err(PhaseError::permanent(too_much(self.output.bytes()))),
            (_, Some(Stopped::Misspoke(problem))) => return Err(with_errors(problem, &self.errors).into()),
            (_, None) => {}
        }
        if self.status.success() {
            if phase.is_own {
                return Err(with_errors("ended without an outcome".into(), &self.errors).into());
            }
            return read(self.output);
        }
        Err(with_errors(how_it_ended(self.status, phase.limits), &self.errors).into())
    }
}

fn read(output: Output) -> PhaseResult<Json> {
    let bytes = output.bytes();
    let Some(whole) = output.whole() else { return Err(PhaseError::permanent(too_much(bytes))) };
    let text = String::from_utf8(whole).map_err(|_| {
        PhaseError::permanent(
            "wrote to its standard output what is not UTF-8; encode it, or write it to a file",
        )
    })?;
    match Json::from_text(text.trim()) {
        Ok(json) => Ok(json),
        Err(_) => Json::of(&text).map_err(PhaseError::permanent),
    }
}

fn too_much(bytes: u64) -> String {
    format!(
        "wrote {bytes} bytes to its standard output, the limit is {RESULT_BYTES_MAX}; store the data elsewhere, and \
         write where"
    )
}

fn said_failure(failure: Failure, errors: &str) -> PhaseError {
    let text =
        if failure.message.is_empty() { with_errors("failed".into(), errors) } else { failure.message };
    match (failure.never, failure.after) {
        (true, _) => PhaseError::permanent(text),
        (false, Some(delay)) => PhaseError::retry_in(delay, text),
        (false, None) => text.into(),
    }
}

fn how_it_ended(status: ExitStatus, limits: Limits) -> String {
    match (status.code(), status.signal()) {
        (Some(TEMPORARY), _) => format!("failed for now (exit code {TEMPORARY})"),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, signal) => {
            let mut text = format!("was ended by signal {}", signal.map_or("?".into(), name_of));
            if let Some(limit) = limits.cpu_seconds {
                write!(text, " (it may use {limit} s of processor time)").ok();
            }
            if let Some(limit) = limits.memory_bytes {
                write!(text, " (it may use {limit} bytes of memory)").ok();
            }
            text
        }
    }
}

fn name_of(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return signal.to_string(),
    };
    format!("{signal}, {name}")
}

fn with_errors(mut text: String, errors: &str) -> String {
    if !errors.is_empty() {
        text.push_str(": ");
        text.push_str(errors);
    }
    text
}
