//! A child while it runs: what it says, and how patient one is with it.

use std::{future::Future, io, pin::Pin, time::Duration};

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
    parent::Answer,
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
    /// Something that is being passed on. Until it is, nothing more is read.
    passing: Option<BoxFuture<'a, Option<ChildStdin>>>,
    /// Where it is told what became of its checkpoints.
    stdin: Option<ChildStdin>,
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
            passing: None,
            stdin: None,
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
    ) -> io::Result<()> {
        let mut telling = Some(Box::pin(async move {
            // A child that does not want to know closes its end, or ends: which is no failure.
            stdin.write_all(&told).await.ok();
            stdin
        }));
        let mut asked = Some(self.supervisor.stopped());
        let mut time_limit = self.phase.time_limit().map(|limit| Box::pin(sleep(limit)));
        let (mut has_ended, mut linger) = (false, None);
        while !has_ended || self.is_busy() {
            let passes = self.passing.is_none();
            let hears = passes && self.saving.is_none();
            let may_answer = passes && (telling.is_none() || !self.phase.is_own);
            tokio::select! {
                line = next_line(&mut self.lines), if hears => match line? {
                    Some(line) => self.hear(&line),
                    None => self.lines = None,
                },
                saved = or_never(&mut self.saving), if may_answer => {
                    self.saving = None;
                    self.saved(saved);
                    // What it said after that is in the pipe, and was not waited for yet.
                    linger = has_ended.then(|| Box::pin(sleep(LINGER)));
                }
                stdin = or_never(&mut self.passing) => {
                    self.passing = None;
                    self.stdin = stdin.or(self.stdin.take());
                    linger = has_ended.then(|| Box::pin(sleep(LINGER)));
                }
                read = read_errors(&mut self.errors, &mut self.stderr), if passes => match read? {
                    Some(read) if self.phase.is_own => self.print(read, io::stderr),
                    Some(_) => {}
                    None => self.stderr = None,
                },
                stdin = or_never(&mut telling) => {
                    telling = None;
                    self.stdin = Some(stdin).filter(|_| self.phase.is_own);
                }
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

    fn is_busy(&self) -> bool {
        let reads = self.lines.is_some() || self.stderr.is_some();
        reads || self.saving.is_some() || self.passing.is_some()
    }

    fn hear(&mut self, line: &[u8]) {
        let said = std::str::from_utf8(line).ok().and_then(said::read);
        match said {
            // A line is begun before each command, in case that another was not ended.
            None if self.phase.is_own && line == b"\n" => {}
            None if self.phase.is_own => self.print(line.to_vec(), io::stdout),
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
            outcome @ (Said::Complete(_) | Said::Fail(_) | Said::Snooze(_))
                if self.outcome.is_none() && self.stopped.is_none() =>
            {
                self.outcome = Some(outcome);
                self.patience.get_or_insert_with(|| Box::pin(sleep(self.phase.grace)));
            }
            Said::Complete(_) | Said::Fail(_) | Said::Snooze(_) => {}
        }
    }
    fn saved(&mut self, saved: Result<()>) {
        if let Some(mut stdin) = self.stdin.take() {
            let answer = Answer::of(&saved);
            self.passing = Some(Box::pin(async move {
                // A child that has ended need not know.
                if let Ok(line) = answer.line() {
                    stdin.write_all(&line).await.ok();
                }
                Some(stdin)
            }));
            return;
        }
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

    /// Prints what the child has printed, where this process would.
    fn print<W: io::Write + Send + 'static>(&mut self, text: Vec<u8>, on: fn() -> W) {
        self.passing = Some(Box::pin(async move {
            // Whoever has stopped reading does not stop the phase.
            tokio::task::spawn_blocking(move || on().write_all(&text).ok()).await.ok();
            None
        }));
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

async fn next_line(lines: &mut Option<Lines<ChildStdout>>) -> io::Result<Option<Vec<u8>>> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

async fn read_errors(errors: &mut Errors, stderr: &mut Option<ChildStderr>) -> io::Result<Option<Vec<u8>>> {
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
