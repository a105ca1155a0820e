//! A command that asks, from start to exit code.

use std::process::ExitCode;

use super::{Client, Target};
use crate::{
    failure::{Failure, code},
    interrupts::Interrupts,
    output::Output,
};

/// What a command works with: whom it asks, and how it says what it got.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) out: Output,
}

impl Session {
    /// Runs a command. Ctrl-C ends it, and nothing else.
    pub(crate) async fn run(
        target: &Target,
        out: Output,
        command: impl AsyncFnOnce(&Session) -> Result<u8, Failure>,
    ) -> Result<ExitCode, Failure> {
        let mut interrupts = Interrupts::listen();
        let session = tokio::select! {
            client = target.open() => Session { client: client?, out },
            () = interrupts.next() => return Ok(ExitCode::from(code::INTERRUPTED)),
        };
        let outcome = tokio::select! {
            outcome = command(&session) => outcome,
            () = interrupts.next() => {
                session.out.say("interrupted; the queue goes on, and what it has accepted stays");
                Ok(code::INTERRUPTED)
            }
        };
        let closed = session.client.close().await;
        let code = outcome?;
        closed.map(|()| ExitCode::from(code))
    }
}
