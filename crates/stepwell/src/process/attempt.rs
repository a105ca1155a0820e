//! One try of a phase that is a program, from start to outcome.

use std::{future::Future, pin::Pin, process::ExitStatus, sync::Arc, time::Duration};

use rustix::process::Signal;
use stepwell_core::{Json, job::Progress};
use tokio::{
    io::AsyncWriteExt,
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::{Sleep, sleep},
};

use crate::{
    ctx::PhaseRun,
    phase_error::{PhaseError, PhaseResult},
};

use super::{
    group::{Group, Leash, Pipes},
    kind::CommandPhase,
    outcome::{Ended, Stopped},
    output::{Errors, Lines, Output},
    said::{self, Said},
};

/// How long pipes may stay open once the group is dead: a process that left the group may hold them.
const LINGER: Duration = Duration::from_millis(500);

/// One try.
pub(super) struct Attempt {
    pub(super) phase: CommandPhase,
    pub(super) phase_run: Arc<PhaseRun>,
    pub(super) command: std::process::Command,
    /// What the child gets on its standard input.
    pub(super) told: Vec<u8>,
    pub(super) leash: Leash,
}

impl Attempt {
    /// Runs it. Must be called on the thread of the child processes.
    pub(super) async fn run(self) -> PhaseResult<Json> {
        let Self { phase, phase_run, command, told, leash } = self;
        let failed =
            |what: &str, error| PhaseError::from(format!("failed to {what} `{}`: {error}", phase.argv[0]));
        let (mut group, pipes) = Group::start(command, &leash).map_err(|error| failed("start", error))?;
        let Pipes { stdin, stdout, stderr } = pipes;
        let mut child = Conversation {
            phase: &phase,
            phase_run: &phase_run,
            leash: &leash,
            lines: Some(Lines::of(stdout)),
            stderr: Some(stderr),
            output: Output::default(),
            errors: Errors::default(),
            outcome: None,
            stopped: None,
            patience: None,
            terminated: false,
        };
        child.hold(&mut group, stdin, told).await.map_err(|error| failed("watch", error))?;
        let Conversation { output, errors, outcome, stopped, .. } = child;
        let status: ExitStatus = group.reap().await.map_err(|error| failed("wait for", error))?;
        Ended { status, said: outcome, stopped, output, errors: errors.text() }.outcome(phase.limits)
    }
}

/// A child while it runs: what it says, and how patient one is with it.
struct Conversation<'a> {
    phase: &'a CommandPhase,
    phase_run: &'a PhaseRun,
    leash: &'a Leash,
    /// None once it has ended.
    lines: Option<Lines<ChildStdout>>,
    stderr: Option<ChildStderr>,
    output: Output,
    errors: Errors,
    /// What it said about its outcome.
    outcome: Option<Said>,
    stopped: Option<Stopped>,
    /// Until when it may go on as it does.
    patience: Option<Pin<Box<Sleep>>>,
    /// Whether it was told to end.
    terminated: bool,
}

impl Conversation<'_> {
    /// Talks to the child until it has ended and everything it wrote was read.
    async fn hold(&mut self, group: &mut Group, mut stdin: ChildStdin, told: Vec<u8>) -> std::io::Result<()> {
        let mut telling = Some(Box::pin(async move {
            // A child that does not want to know closes its end, or ends: which is no failure.
            stdin.write_all(&told).await.ok();
        }));
        let mut time_limit = self.phase.time_limit().map(|limit| Box::pin(sleep(limit)));
        let mut linger = None;
        while linger.is_none() || self.lines.is_some() || self.stderr.is_some() {
            tokio::select! {
                line = next_line(&mut self.lines) => match line? {
                    Some(line) => self.hear(&line).await,
                    None => self.lines = None,
                },
                read = read_errors(&mut self.errors, &mut self.stderr) => {
                    read?;
                    self.stderr = None;
                }
                () = or_never(&mut telling) => telling = None,
                ended = group.ended(), if linger.is_none() => {
                    ended?;
                    // Its number is still its own, and so is the group's.
                    self.leash.signal(Signal::KILL);
                    self.patience = None;
                    linger = Some(Box::pin(sleep(LINGER)));
                }
                () = self.phase_run.cancelled.cancelled(), if self.stopped.is_none() => self.stop(Stopped::Asked),
                () = or_never(&mut time_limit) => {
                    time_limit = None;
                    self.stop(Stopped::TimedOut(self.phase.time_limit().unwrap_or_default()));
                }
                () = or_never(&mut self.patience) => self.lose_patience(),
                () = or_never(&mut linger) => return Ok(()),
            }
        }
        Ok(())
    }

    async fn hear(&mut self, line: &[u8]) {
        let said = std::str::from_utf8(line).ok().and_then(said::read);
        match said {
            None => {
                self.output.add(line);
                if self.output.is_flood() {
                    self.stop(Stopped::Flooded);
                }
            }
            Some(Err(problem)) => self.stop(Stopped::Misspoke(problem)),
            Some(Ok(said)) => self.note(said).await,
        }
    }
    async fn note(&mut self, said: Said) {
        let PhaseRun { notes, phase, .. } = self.phase_run;
        match said {
            Said::Progress { done, total, note } => notes.progress(Progress { done, total, note }),
            Said::Log(message) => notes.log(phase, message),
            Said::Checkpoint(value) => match self.phase_run.save_checkpoint(value).await {
                Ok(()) => {}
                Err(error) if error.is_invalid() => {
                    self.stop(Stopped::Misspoke(format!("said a checkpoint that cannot be kept: {error}")));
                }
                // It is kept, and goes with the end of the phase.
                Err(error) => {
                    tracing::warn!(job = %self.phase_run.id, %phase, %error, "failed to save a checkpoint");
                }
            },
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

async fn or_never<F: Future<Output = ()>>(future: &mut Option<Pin<Box<F>>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
