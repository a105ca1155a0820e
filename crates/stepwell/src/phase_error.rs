//! What a phase fails with.

use std::{error::Error as StdError, fmt, time::Duration};

/// What a phase fails with. Any error converts into it with `?`; a plain conversion is retried by the phase's policy.
///
/// Like `anyhow::Error` it does not implement `std::error::Error` itself, which is what makes the blanket conversion
/// possible.
#[derive(Debug)]
pub struct PhaseError {
    source: Box<dyn StdError + Send + Sync>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry,
    RetryIn(Duration),
    Permanent,
    Snooze(Duration),
}

/// What a phase returns.
pub type PhaseResult<T> = Result<T, PhaseError>;

impl<E: Into<Box<dyn StdError + Send + Sync>>> From<E> for PhaseError {
    fn from(error: E) -> Self {
        Self { source: error.into(), verdict: Verdict::Retry }
    }
}

impl PhaseError {
    /// No further try can help: the job fails now, whatever the policy says.
    pub fn permanent(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: error.into(), verdict: Verdict::Permanent }
    }
    /// Spends a try and comes back after exactly this long: a response 429 with `Retry-After`, say.
    pub fn retry_in(delay: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { source: error.into(), verdict: Verdict::RetryIn(delay) }
    }
    /// Comes back after this long without spending a try: it is too early, and nothing failed.
    #[must_use]
    pub fn snooze(delay: Duration) -> Self {
        Self { source: "snoozed".into(), verdict: Verdict::Snooze(delay) }
    }
    /// Whether no further try can help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.verdict == Verdict::Permanent
    }
    /// Whether nothing failed, and it is only too early.
    #[must_use]
    pub fn is_snooze(&self) -> bool {
        matches!(self.verdict, Verdict::Snooze(_))
    }
    /// After how long it comes back, if not as the policy says.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        match self.verdict {
            Verdict::RetryIn(delay) | Verdict::Snooze(delay) => Some(delay),
            Verdict::Retry | Verdict::Permanent => None,
        }
    }
    pub(crate) fn text(&self) -> String {
        let mut text = self.source.to_string();
        let mut cause = self.source.source();
        while let Some(error) = cause {
            let error_text = error.to_string();
            // Many errors print their cause themselves.
            if !text.contains(&error_text) {
                text.push_str(": ");
                text.push_str(&error_text);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for PhaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Marks the error of any `Result` with what should happen next.
pub trait ResultExt<T> {
    /// As [`PhaseError::permanent`].
    ///
    /// # Errors
    /// The error, marked.
    fn permanent(self) -> PhaseResult<T>;
    /// As [`PhaseError::retry_in`].
    ///
    /// # Errors
    /// The error, marked.
    fn retry_in(self, delay: Duration) -> PhaseResult<T>;
}

impl<T, E: Into<Box<dyn StdError + Send + Sync>>> ResultExt<T> for Result<T, E> {
    fn permanent(self) -> PhaseResult<T> {
        self.map_err(PhaseError::permanent)
    }
    fn retry_in(self, delay: Duration) -> PhaseResult<T> {
        self.map_err(|error| PhaseError::retry_in(delay, error))
    }
}
