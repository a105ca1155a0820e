//! What the program gives up with.

use std::fmt::{self, Display};

/// One line that says what failed, why, and, where there is something, what to do.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// `failed to {what}: {why}`.
    pub(crate) fn to(what: impl Display, why: impl Display) -> Self {
        // Whatever a cause may say, it stays on one line.
        Self(format!("failed to {what}: {why}").replace('\n', " "))
    }
    /// Arguments that cannot be. What is printed for people has more lines.
    pub(crate) fn usage(refusal: &clap::Error) -> Self {
        let text = refusal.to_string();
        let first = text.lines().next().unwrap_or_default();
        Self::to("understand the arguments", first.trim_start_matches("error: "))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    fn a_failure_is_one_line() {
        let failed: Result<(), _> = Err("one\ntwo").failed_to("open x");
        assert_eq!(failed.unwrap_err().to_string(), "failed to open x: one two");
    }
}
