//! What the kernel shows of a process.

use std::fs;

use rustix::process::Pid;

/// A process as `/proc/PID/stat` shows it (proc(5)).
pub(super) struct Entry {
    pid: Pid,
    pub(super) group: Option<Pid>,
    /// In ticks since the machine started: with the number it is a process's name for good.
    started: String,
    /// Whether only its entry is left.
    pub(super) ended: bool,
}

impl Entry {
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The program's name is in parentheses, and may hold any others.
        let rest: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let group = rest.get(2)?.parse().ok().and_then(Pid::from_raw);
        let ended = matches!(*rest.first()?, "Z" | "X" | "x");
        Some(Self { pid, group, started: (*rest.get(19)?).to_owned(), ended })
    }
    /// A name that no other process ever has.
    pub(super) fn mark(&self) -> String {
        format!("{}:{}", self.pid.as_raw_nonzero(), self.started)
    }
}

/// Whether the process with this mark is there.
pub(super) fn is_alive(mark: &str) -> bool {
    let pid = mark.split(':').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    pid.and_then(Entry::of).is_some_and(|process| !process.ended && process.mark() == mark)
}
