//! Why a command did not succeed, and the exit code that says so.

use std::{fmt, process::ExitCode};

use crate::command;

/// The two ways to fail, kept apart because a script must be able to tell a typing mistake from a red test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The command line was not understood; nothing was run.
    Usage(String),
    /// A check, a test or a tool failed.
    Failed(String),
}

impl Error {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(f, "xtask: {message}\n\n{}", command::help()),
            Self::Failed(message) => write!(f, "xtask: {message}"),
        }
    }
}
