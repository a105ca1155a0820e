//! The first process of a container.
//!
//! What outlives its parent becomes a child of the first process, and stays a zombie until that waits for it. In a
//! container of nothing but this program nobody else does so. So as the first process the program starts itself anew
//! as its only child, passes signals on to that, waits for whatever ends, and ends as the child does.

use std::process::ExitCode;

/// Runs the program in a child, if this is the first process and nobody sits before it; else does nothing.
#[cfg(target_os = "linux")]
pub(crate) fn begin() -> Option<ExitCode> {
    use std::io::IsTerminal;
    // On a terminal somebody tries something: what they type goes to the process itself.
    if std::process::id() != 1 || std::io::stdin().is_terminal() {
        return None;
    }
    match linux::run() {
        Ok(code) => Some(code),
        Err(error) => {
            // Without /proc it does not find itself. Nothing that leaves processes behind runs without that either.
            crate::output::beside(format_args!(
                "stepwell: failed to start as the first process: {error}; what outlives its parent stays a zombie"
            ));
            None
        }
    }
}

/// Elsewhere there are no such containers.
#[cfg(not(target_os = "linux"))]
pub(crate) fn begin() -> Option<ExitCode> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        io,
        process::{Command, ExitCode},
    };

    use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, wait};
    use tokio::{
        runtime,
        signal::unix::{self, SignalKind, signal},
    };

    /// What is passed on: whatever asks a process to end, or to look again.
    const PASSED_ON: [(SignalKind, Signal); 4] = [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::quit(), Signal::QUIT),
        (SignalKind::hangup(), Signal::HUP),
    ];
    /// Added to the number of a signal that has ended the child, as shells do it.
    const BY_SIGNAL: i32 = 128;

    pub(super) fn run() -> io::Result<ExitCode> {
        runtime::Builder::new_current_thread().enable_all().build()?.block_on(tend())
    }

    async fn tend() -> io::Result<ExitCode> {
        // Before there is a child, so that neither its end nor a signal is missed.
        let mut ended = signal(SignalKind::child())?;
        let listening: Vec<(unix::Signal, Signal)> = PASSED_ON
            .into_iter()
            .map(|(kind, number)| Ok((signal(kind)?, number)))
            .collect::<io::Result<_>>()?;
        let child = Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).spawn()?;
        let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let child = child.ok_or_else(|| io::Error::other("the child has no number"))?;
        for (mut signals, number) in listening {
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    // One that has just ended needs none.
                    kill_process(child, number).ok();
                }
            });
        }
        loop {
            while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
                if pid == child {
                    return Ok(code(status));
                }
            }
            ended.recv().await;
        }
    }

    fn code(status: WaitStatus) -> ExitCode {
        let signal = || status.terminating_signal().map(|signal| BY_SIGNAL + signal);
        let code = status.exit_status().or_else(signal).and_then(|code| u8::try_from(code).ok());
        code.map_or(ExitCode::FAILURE, ExitCode::from)
    }
}
