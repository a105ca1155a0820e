//! How a try in a child of its own speaks to the process that started it.

use std::{
    io::{self, Write},
    thread,
};

use serde::{Deserialize, Serialize};
use stepwell_core::{
    Error, Json, Result,
    limits::{CHECKPOINT_BYTES_MAX, LOG_LINE_BYTES_MAX},
    machine::Command,
};
use tokio::sync::{Mutex, mpsc};

use crate::phase_error::{PhaseError, Verdict};

use super::task::Task;

/// Bytes of an error's text.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// The process that started this one for a try.
pub(crate) struct Parent {
    /// What it says: an [`Answer`] for each checkpoint, in their order.
    answers: Mutex<mpsc::UnboundedReceiver<String>>,
}

/// What became of a checkpoint.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "checkpoint")]
pub(super) enum Answer {
    Stored,
    Lost,
    Invalid { problem: String },
    Failed { problem: String },
}

impl Answer {
    pub(super) fn of(saved: &Result<()>) -> Self {
        match saved {
            Ok(()) => Self::Stored,
            Err(error) if error.is_lease_lost() => Self::Lost,
            Err(error) if error.is_invalid() => Self::Invalid { problem: error.to_string() },
            Err(error) => Self::Failed { problem: error.to_string() },
        }
    }
    fn result(self) -> Result<()> {
        match self {
            Self::Stored => Ok(()),
            Self::Lost => Err(Error::lease_lost()),
            Self::Invalid { problem } => Err(Error::invalid("the cursor", problem)),
            Self::Failed { problem } => Err(Error::storage("save the cursor", problem)),
        }
    }
    /// As a line.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// What is said to the parent: the commands of every child.
#[derive(Serialize)]
#[serde(tag = "stepwell", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Word<'a> {
    Progress { done: u64, total: u64, note: Option<&'a str> },
    Log { message: &'a str },
    Checkpoint { value: &'a Json },
    Complete { output: &'a Json },
    Fail { message: &'a str, retry: &'static str, after_ms: Option<u64> },
    Snooze { delay_ms: u64 },
}

impl Parent {
    /// Hears what the try is about.
    pub(super) fn meet() -> io::Result<(Self, Task)> {
        let (told, mut answers) = mpsc::unbounded_channel();
        // It waits for as long as the process lives, and no runtime may wait for it.
        thread::Builder::new().name("stepwell-parent".into()).spawn(move || {
            for line in io::stdin().lines().map_while(io::Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        })?;
        let first = answers.blocking_recv().ok_or_else(|| io::Error::other("it was not told what to run"))?;
        let task = serde_json::from_str(&first)?;
        Ok((Self { answers: Mutex::new(answers) }, task))
    }

    /// Has it written down what a handler says.
    pub(crate) async fn write(&self, command: Command) -> Result<()> {
        match command {
            Command::Annotate { progress, lines } => {
                if let Some(progress) = &progress {
                    let (done, total, note) = (progress.done, progress.total, progress.note.as_deref());
                    say(&Word::Progress { done, total, note })?;
                }
                lines
                    .iter()
                    .try_for_each(|line| say(&Word::Log { message: head(&line.text, LOG_LINE_BYTES_MAX) }))
            }
            // A line that is too long would not be taken for what it is.
            Command::SaveCheckpoint { value, .. } if value.bytes() > CHECKPOINT_BYTES_MAX => {
                let problem = format!("is {} bytes long, the limit is {CHECKPOINT_BYTES_MAX}", value.bytes());
                Err(Error::invalid("the cursor", problem))
            }
            Command::SaveCheckpoint { value, .. } => {
                // Said and answered in one order.
                let mut answers = self.answers.lock().await;
                say(&Word::Checkpoint { value: &value })?;
                let answer = answers.recv().await.ok_or_else(Error::closed)?;
                serde_json::from_str::<Answer>(&answer).map_err(Error::decode)?.result()
            }
            other => Err(Error::fatal(format!("{other:?} is not for an isolated phase to say"))),
        }
    }
}

/// Says how the try has ended.
pub(super) fn conclude(outcome: &Result<Json, PhaseError>) -> Result<()> {
    let error = match outcome {
        Ok(output) => return say(&Word::Complete { output }),
        Err(error) => error,
    };
    let text = error.text();
    let fail = |retry, after_ms| Word::Fail { message: head(&text, ERROR_BYTES_MAX), retry, after_ms };
    let millis = |delay: std::time::Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    say(&match error.verdict {
        Verdict::Snooze(delay) => Word::Snooze { delay_ms: millis(delay) },
        Verdict::Permanent => fail("never", None),
        Verdict::RetryIn(delay) => fail("default", Some(millis(delay))),
        Verdict::Retry => fail("default", None),
    })
}

fn say(word: &Word<'_>) -> Result<()> {
    let failed = |error| Error::storage("speak to the parent process", error);
    // What is passed on as it was written may have lines: outside of a string, as none is inside of one.
    let line = serde_json::to_string(word).map_err(Error::encode)?.replace('\n', " ");
    let mut out = io::stdout().lock();
    // A handler may have printed half a line.
    writeln!(out, "\n{line}").and_then(|()| out.flush()).map_err(failed)
}

/// The beginning of a text.
fn head(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
