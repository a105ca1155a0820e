//! A server's process: starting it, waiting for it, and ending it.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};

/// A server that takes longer than this to start is one that never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process and the file that it writes its log to.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command in a group of its own, so that Ctrl-C ends whoever uses the server, and not the server.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let mut options = File::options();
        let file =
            options.create(true).append(true).open(log).map_err(Error::io("open the log of a server"))?;
        let copy = file.try_clone().map_err(Error::io("open the log of a server twice"))?;
        command.stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(Error::io(format_args!("start {name}")))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready`. Whoever ended before that, or takes for ever, has said why in its log.
    pub(crate) fn wait_until(&mut self, mut is_ready: impl FnMut() -> bool) -> Result<()> {
        let start = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait().map_err(Error::io("look at a server"))?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                return Err(Error::new(format!(
                    "failed to start a server; its log ends with\n{}",
                    self.tail()
                )));
            }
            // A server tells nobody that it is ready, so that all that is left is to look again.
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Sends a signal, and waits until the process is gone.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        // One that was waited for already has a number that may be somebody else's.
        if self.child.try_wait().map_err(Error::io("look at a server"))?.is_none() {
            self.signal(signal)?;
            self.child.wait().map_err(Error::io("wait for a server's end"))?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let id = id.expect("the system numbers processes from 1 and within i32");
        kill_process(id, signal).map_err(|error| Error::io("send a signal to a server")(error.into()))
    }

    fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
