//! What failed, in words.

use std::{fmt, io};

/// A failure of the rig: a sentence that says what to do, for whoever runs the tests.
#[derive(Debug)]
pub struct Error(String);

/// What the rig's calls answer.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err`: what was tried, and what the system says of it.
    pub(crate) fn io(tried: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self(format!("failed to {tried}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
