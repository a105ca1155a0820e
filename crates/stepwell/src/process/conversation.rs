//! A child while it runs: what it says, and how patient one is with it.

use std::{future::Future, pin::Pin, time::Duration};

use rustix::process::Signal;
use stepwell_core::{Result, job::Progress};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::{Sleep, sleep},
};

use crate::phase_fn::BoxFuture;

use super::{
    group::{Group, Leash},
    kind::CommandPhase,
    outcome::Stopped,
    output::{Errors, Lines, Output},
    said::{self, Said},
    supervisor::Supervisor,
};

/// How long pipes may stay open once the group is dead: a process that left the group may hold them.
const LINGER: Duration = Duration::from_millis(500);

/// A child while it runs.
pub(super) struct Conversation<'a> {
    phase: &'a CommandPhase,
    supervisor: &'a dyn Supervisor,
    leash: &'a Leash,
    /// None once it has ended.
    lines: Option<Lines<ChildStdout>>,
    stderr: Option<ChildStderr>,
    output: Output,
    errors: Errors,
    /// A checkpoint that is being stored. Until it is, nothing more is read.
    saving: Option<BoxFuture<'a, Result<()>>>,
    /// What it said about its outcome.
    outcome: Option<Said>,
    stopped: Option<Stopped>,
    /// Until when it may go on as it does.
    patience: Option<Pin<Box<Sleep>>>,
    /// Whether it was told to end.
    terminated: bool,
}

/// All that was heard of a child.
pub(super) struct Heard {
    pub(super) output: Output,
    pub(super) errors: String,
    /// What it said about its outcome.
    pub(super) said: Option<Said>,
    pub(super) stopped: Option<Stopped>,
}

impl<'a> Conversation<'a> {
    pub(super) fn with(
        phase: &'a CommandPhase,
        supervisor: &'a dyn Supervisor,
        leash: &'a Leash,
        stdout: ChildStdout,
        stderr: ChildStderr,
    ) -> Self {
        Self {
            phase,
            supervisor,
            leash,
            lines: Some(Lines::of(stdout)),
            stderr: Some(stderr),
            output: Output::default(),
            errors: Errors::default(),
            saving: None,
            outcome: None,
            stopped: None,
            patience: None,
            terminated: false,
        }
    }
    pub(super) fn heard(self) -> Heard {
        let Self { output, errors, outcome, stopped, .. } = self;
        Heard { output, errors: errors.text(), said: outcome, stopped }
    }

    /// Talks to the child until it has ended, everything it wrote was read, and its checkpoints are stored.
    pub(super) async fn hold(
        &mut self,
        group: &mut Group,
        mut stdin: ChildStdin,
        told: Vec<u8>,
    ) -> std::io::Result<()> {
        let mut telling = Some(Box::pin(async move {
            // A child that does not want to know closes its end, or ends: which is no failure.
            stdin.write_all(&told).await.ok();
        }));
        let mut asked = Some(self.supervisor.stopped());
        let mut time_limit = self.phase.time_limit().map(|limit| Box::pin(sleep(limit)));
        let (mut has_ended, mut linger) = (false, None);
        while !has_ended || self.lines.is_some() || self.stderr.is_some() || self.saving.is_some() {
            let hears = self.saving.is_none();
            tokio::select! {
                line = next_line(&mut self.lines), if hears => match line? {
                    Some(line) => self.hear(&line),
                    None => self.lines = None,
                },
                saved = or_never(&mut self.saving) => {
                    self.saving = None;
                    self.saved(saved);
                    // What it said after that is in the pipe, and was not waited for yet.
                    linger = has_ended.then(|| Box::pin(sleep(LINGER)));
                }
                read = read_errors(&mut self.errors, &mut self.stderr) => {
                    read?;
                    self.stderr = None;
                }
                () = or_never(&mut telling) => telling = None,
                ended = group.ended(), if !has_ended => {
                    ended?;
                    has_ended = true;
                    // Its number is still its own, and so is the group's.
                    self.leash.signal(Signal::KILL);
                    self.patience = None;
                    linger = Some(Box::pin(sleep(LINGER)));
                }
                () = or_never(&mut asked) => {
                    asked = None;
                    self.stop(Stopped::Asked);
                }
                () = or_never(&mut time_limit) => {
                    time_limit = None;
                    self.stop(Stopped::TimedOut(self.phase.time_limit().unwrap_or_default()));
                }
                () = or_never(&mut self.patience) => self.lose_patience(),
                () = or_never(&mut linger), if hears => {
                    linger = None;
                    (self.lines, self.stderr) = (None, None);
                }
            }
        }
        Ok(())
    }

    fn hear(&mut self, line: &[u8]) {
        let said = std::str::from_utf8(line).ok().and_then(said::read);
        match said {
            None => {
                self.output.add(line);
                if self.output.is_flood() {
                    self.stop(Stopped::Flooded);
                }
            }
            Some(Err(problem)) => self.stop(Stopped::Misspoke(problem)),
            Some(Ok(said)) => self.note(said),
        }
    }
    fn note(&mut self, said: Said) {
        match said {
            Said::Progress { done, total, note } => self.supervisor.progress(Progress { done, total, note }),
            Said::Log(message) => self.supervisor.log(message),
            Said::Checkpoint(value) => self.saving = Some(self.supervisor.save_checkpoint(value)),
            // The first word counts, and nothing is expected after it.
            outcome @ (Said::Complete(_) | Said::Fail(_))
                if self.outcome.is_none() && self.stopped.is_none() =>
            {
                self.outcome = Some(outcome);
                self.patience.get_or_insert_with(|| Box::pin(sleep(self.phase.grace)));
            }
            Said::Complete(_) | Said::Fail(_) => {}
        }
    }
    fn saved(&mut self, saved: Result<()>) {
        match saved {
            Ok(()) => {}
            Err(error) if error.is_invalid() => {
                self.stop(Stopped::Misspoke(format!("said a checkpoint that cannot be kept: {error}")));
            }
            // What is kept of it goes with the end of the phase.
            Err(error) => {
                tracing::warn!(phase = %self.phase.spec.name, %error, "failed to save a checkpoint");
            }
        }
    }

    fn stop(&mut self, why: Stopped) {
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(why);
        if !self.terminated {
            self.lose_patience();
        }
    }
    /// Tells it to end; the next time, ends it.
    fn lose_patience(&mut self) {
        self.patience = None;
        if std::mem::replace(&mut self.terminated, true) {
            self.leash.signal(Signal::KILL);
        } else {
            self.leash.signal(Signal::TERM);
            self.patience = Some(Box::pin(sleep(self.phase.grace)));
        }
    }
}

async fn next_line(lines: &mut Option<Lines<ChildStdout>>) -> std::io::Result<Option<Vec<u8>>> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

async fn read_errors(errors: &mut Errors, stderr: &mut Option<ChildStderr>) -> std::io::Result<()> {
    match stderr {
        Some(stderr) => errors.read(stderr).await,
        None => std::future::pending().await,
    }
}

async fn or_never<F: Future + ?Sized>(future: &mut Option<Pin<Box<F>>>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
