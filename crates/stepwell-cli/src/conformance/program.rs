//! A worker under test, as a process.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
};

/// Lines of what it says that are kept.
const LINES_MAX: usize = 20;

/// A worker under test, with all processes of its group. They are gone when this is dropped.
pub(super) struct Program {
    group: Pid,
    ended: watch::Receiver<Option<ExitStatus>>,
    told: Arc<Mutex<VecDeque<String>>>,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no such program, or it cannot be started.
    pub(super) fn start(command: &[OsString], environment: &[(&str, String)]) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = std::process::Command::new(program);
        command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value)));
        command.env_remove("STEPWELL_STORE").env_remove("STEPWELL_TOKEN_FILE");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let group = pid.ok_or_else(|| io::Error::other("it has no process id"))?;
        let told = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(listen(stdout, Arc::clone(&told)));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(listen(stderr, Arc::clone(&told)));
        }
        let (tell, ended) = watch::channel(None);
        tokio::spawn(outlive(child, tell));
        Ok(Self { group, ended, told })
    }
    /// Sends a signal to all of its processes.
    pub(super) fn signal(&self, signal: Signal) {
        if self.status().is_none() {
            // It may have ended meanwhile.
            kill_process_group(self.group, signal).ok();
        }
    }
    /// How it has ended, if it has.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }
    /// Tells of its end.
    pub(super) fn ended(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.ended.clone()
    }
    /// The last of what it said.
    pub(super) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn outlive(mut child: Child, tell: watch::Sender<Option<ExitStatus>>) {
    if let Ok(status) = child.wait().await {
        tell.send_replace(Some(status));
    }
}

async fn listen(stream: impl AsyncRead + Unpin, told: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() == LINES_MAX {
            told.pop_front();
        }
        told.push_back(line);
    }
}
