//! What the program gives up with.

use std::{
    fmt::{self, Display},
    process::ExitCode,
};

/// Exit codes, as every command has them.
pub(crate) mod code {
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const NOT_FOUND: u8 = 3;
    pub(crate) const AUTH: u8 = 4;
    pub(crate) const CONFLICT: u8 = 5;
    pub(crate) const UNREACHABLE: u8 = 6;
    pub(crate) const JOB_FAILED: u8 = 10;
    pub(crate) const JOB_CANCELLED: u8 = 11;
    pub(crate) const TIMED_OUT: u8 = 124;
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// One line that says what failed, why, and, where there is something, what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    line: String,
    /// What else there is to know, a line each.
    more: Vec<String>,
    code: u8,
}

impl Failure {
    /// `failed to {what}: {why}`.
    pub(crate) fn to(what: impl Display, why: impl Display) -> Self {
        Self::with_code(code::FAILURE, what, why)
    }
    /// The same, with which the program ends with another code.
    pub(crate) fn with_code(code: u8, what: impl Display, why: impl Display) -> Self {
        Self { line: one_line(&format!("failed to {what}: {why}")), more: Vec::new(), code }
    }
    /// Arguments that cannot be. What is printed for people has more lines.
    pub(crate) fn usage(refusal: &clap::Error) -> Self {
        let text = refusal.to_string();
        let first = text.lines().next().unwrap_or_default();
        Self::with_code(code::USAGE, "understand the arguments", first.trim_start_matches("error: "))
    }
    /// Adds a line below.
    pub(crate) fn and(mut self, line: impl Display) -> Self {
        self.more.push(one_line(&line.to_string()));
        self
    }
    pub(crate) fn is_unreachable(&self) -> bool {
        self.code == code::UNREACHABLE
    }
    /// Whether the token is missing, wrong, or not for this.
    pub(crate) fn is_about_access(&self) -> bool {
        self.code == code::AUTH
    }
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
    /// Everything there is to say, for people.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.line).chain(self.more.iter().map(|line| &**line))
    }
}

/// Whatever a cause may say, it stays on one line, and moves no cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

/// Says what was being done when something failed.
pub(crate) trait FailedTo<T> {
    /// `failed to {what}: {error}`.
    fn failed_to(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> FailedTo<T> for Result<T, E> {
    fn failed_to(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::to(what, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_and_more_only_if_there_is_more_to_say() {
        let failed: Result<(), _> = Err("one\ntwo\u{1b}[2J").failed_to("open x");
        let failure = failed.unwrap_err();
        assert_eq!(failure.to_string(), "failed to open x: one two [2J");
        assert_eq!(failure.and("a\nb").lines().collect::<Vec<_>>(), ["failed to open x: one two [2J", "a b"]);
    }
}
