//! A process group on a leash.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    signal::unix::{self, SignalKind},
};

/// By which a group can be signalled from anywhere, for as long as its number is its own.
#[derive(Clone, Default)]
pub(super) struct Leash(Arc<Mutex<State>>);

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    NotStarted,
    /// The first process is there, or has ended and was not waited for: its number belongs to nobody else.
    Held(Pid),
    Released,
}

impl Leash {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Sends a signal to the whole group, if there is one.
    pub(super) fn signal(&self, signal: Signal) {
        if let State::Held(leader) = *self.lock() {
            // A group that has just ended needs no signal.
            kill_process_group(leader, signal).ok();
        }
    }
    /// Kills the whole group. One that is yet to be started never is.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        if let State::Held(leader) = *state {
            kill_process_group(leader, Signal::KILL).ok();
        }
        *state = State::Released;
    }
    fn hold(&self, leader: Pid) {
        let mut state = self.lock();
        match *state {
            State::NotStarted => *state = State::Held(leader),
            // Whoever wanted it has gone.
            State::Held(_) | State::Released => {
                kill_process_group(leader, Signal::KILL).ok();
            }
        }
    }
}

/// A process group: its first process, and whatever that starts.
pub(super) struct Group {
    child: Child,
    leader: Pid,
    leash: Leash,
    /// Heard when any child of this process has ended.
    some_ended: unix::Signal,
}

/// The three pipes.
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

impl Group {
    /// Starts a program as the first of its group. Must be called on the thread of the child processes.
    pub(super) fn start(mut command: std::process::Command, leash: &Leash) -> io::Result<(Self, Pipes)> {
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Before there is a child, so that its end is not missed.
        let some_ended = unix::signal(SignalKind::child())?;
        let mut child = Command::from(command).spawn()?;
        let gone = || io::Error::other("it ended before it was looked at");
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or_else(gone)?;
        leash.hold(leader);
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => {
                let pipes = Pipes { stdin, stdout, stderr };
                Ok((Self { child, leader, leash: leash.clone(), some_ended }, pipes))
            }
            _ => {
                leash.kill();
                Err(gone())
            }
        }
    }

    /// Resolves when the first process has ended. It has not been waited for then, so that its number is still its own.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(self.leader), look)?.is_none() {
            self.some_ended.recv().await;
        }
        Ok(())
    }

    /// Kills what is left of the group, and waits for its first process.
    pub(super) async fn reap(mut self) -> io::Result<ExitStatus> {
        self.leash.kill();
        self.child.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whoever was going to wait for it has gone; the runtime waits for its first process instead.
        self.leash.kill();
    }
}
