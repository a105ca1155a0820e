//! What dead parents left running.
//!
//! Each child is marked in its environment, and so is whatever it starts: with the store's generation, the parent, the
//! job and the epoch. A process whose parent is dead, or whose job has been claimed anew, has lost its right to run.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use rustix::process::{
    Pid, PidfdFlags, Signal, getpgrp, getpid, getuid, kill_process_group, pidfd_open, pidfd_send_signal,
};
use stepwell_core::{Error, JobId, Result, time::Stopwatch};

/// The names of the marks.
const STORE: &str = "STEPWELL_STORE";
const PARENT: &str = "STEPWELL_PARENT";
const JOB: &str = "STEPWELL_JOB_ID";
const EPOCH: &str = "STEPWELL_EPOCH";

/// How long a killed process has to be gone, and how often one looks.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(2);

/// The marks of a child of this process, besides its job's id.
pub(super) fn marks(store: &str, epoch: u64) -> io::Result<[(&'static str, String); 3]> {
    Ok([(STORE, store.to_owned()), (PARENT, Process::this()?.mark()), (EPOCH, epoch.to_string())])
}

/// A claim that is being run: whatever runs under an earlier one of the same job must end first.
#[derive(Clone, Copy)]
pub(super) struct Successor {
    pub(super) job: JobId,
    pub(super) epoch: u64,
}

/// Kills what dead parents have left of this store's jobs on this machine, and what runs under a claim before this one.
/// Answers how many processes were killed, once they are gone. It blocks.
///
/// # Errors
/// If a process that was killed does not end, or `/proc` cannot be read.
fn kill_strays(store: &str, successor: Option<Successor>) -> io::Result<usize> {
    let waited = Stopwatch::start();
    let mut killed = 0;
    loop {
        let strays = find(store, successor)?;
        // One that is killed may have started another meanwhile, so that it is looked at again until there is none.
        if strays.is_empty() {
            return Ok(killed);
        }
        if waited.elapsed() > GONE_WITHIN {
            let numbers: Vec<String> =
                strays.iter().map(|stray| stray.pid.as_raw_nonzero().to_string()).collect();
            let text = format!("processes {} were killed and do not end", numbers.join(", "));
            return Err(io::Error::other(text));
        }
        killed = killed.max(strays.len());
        strays.iter().for_each(Stray::kill);
        std::thread::sleep(GLANCE);
    }
}

/// Does the same beside everything else.
///
/// # Errors
/// As [`kill_strays`].
pub(super) async fn end(store: String, successor: Option<Successor>) -> io::Result<usize> {
    tokio::task::spawn_blocking(move || kill_strays(&store, successor))
        .await
        .map_err(io::Error::other)
        .flatten()
}

/// Ends what earlier processes have left of this store's jobs, and tells operators.
pub(crate) async fn end_left(store: String) -> Result<usize> {
    let failed = |error| Error::storage("end what an earlier process has left running", error);
    let killed = end(store, None).await.map_err(failed)?;
    if killed > 0 {
        tracing::warn!(
            killed,
            "an earlier process was killed, and had left processes running; they were ended"
        );
    }
    Ok(killed)
}

struct Stray {
    pid: Pid,
    group: Option<Pid>,
}

impl Stray {
    fn kill(&self) {
        // Whichever has ended since needs no signal.
        if let Some(group) = self.group.filter(|group| *group != getpgrp()) {
            kill_process_group(group, Signal::KILL).ok();
        }
        if let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty()) {
            pidfd_send_signal(process, Signal::KILL).ok();
        }
    }
}

fn find(store: &str, successor: Option<Successor>) -> io::Result<Vec<Stray>> {
    let mut strays = Vec::new();
    let mut parents = BTreeMap::new();
    let own = getuid().as_raw();
    for entry in fs::read_dir("/proc")? {
        let Ok(entry) = entry else { continue };
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if pid == getpid() || !is_of(&entry.path(), own) {
            continue;
        }
        // Whatever has ended, or belongs to somebody else, shows none.
        let Ok(environment) = fs::read(entry.path().join("environ")) else { continue };
        let Some(marks) = Marks::of(&environment).filter(|marks| marks.store == store) else { continue };
        let orphaned = !*parents.entry(marks.parent.to_owned()).or_insert_with(|| is_alive(marks.parent));
        let succeeded = successor.is_some_and(|successor| {
            marks.job == successor.job.to_string() && marks.epoch.is_some_and(|epoch| epoch < successor.epoch)
        });
        if let Some(process) = Process::with(pid).filter(|process| (orphaned || succeeded) && !process.ended)
        {
            strays.push(Stray { pid, group: process.group });
        }
    }
    Ok(strays)
}

fn is_of(process: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(process).is_ok_and(|metadata| user == 0 || metadata.uid() == user)
}

struct Marks<'a> {
    store: &'a str,
    parent: &'a str,
    job: &'a str,
    epoch: Option<u64>,
}

impl<'a> Marks<'a> {
    fn of(environment: &'a [u8]) -> Option<Self> {
        let find = |name: &str| {
            environment.split(|byte| *byte == 0).find_map(|variable| {
                let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                std::str::from_utf8(value).ok()
            })
        };
        let epoch = find(EPOCH).and_then(|epoch| epoch.parse().ok());
        Some(Self { store: find(STORE)?, parent: find(PARENT)?, job: find(JOB)?, epoch })
    }
}

/// A process as `/proc/PID/stat` shows it (proc(5)).
struct Process {
    pid: Pid,
    group: Option<Pid>,
    /// In ticks since the machine started: with the number it is a process's name for good.
    started: String,
    /// Whether only its entry is left.
    ended: bool,
}

impl Process {
    fn this() -> io::Result<Self> {
        Self::with(getpid()).ok_or_else(|| io::Error::other("failed to read /proc/self/stat"))
    }
    fn with(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The program's name is in parentheses, and may hold any others.
        let rest: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let group = rest.get(2)?.parse().ok().and_then(Pid::from_raw);
        let ended = matches!(*rest.first()?, "Z" | "X" | "x");
        Some(Self { pid, group, started: (*rest.get(19)?).to_owned(), ended })
    }
    fn mark(&self) -> String {
        format!("{}:{}", self.pid.as_raw_nonzero(), self.started)
    }
}

fn is_alive(mark: &str) -> bool {
    let pid = mark.split(':').next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    pid.and_then(Process::with).is_some_and(|process| !process.ended && process.mark() == mark)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    const DEAD: &str = "1:0";

    fn sleeper(store: &str, parent: &str, epoch: u64) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env(STORE, store).env(PARENT, parent);
        command.env(JOB, JobId::from_bytes([7; 16]).to_string()).env(EPOCH, epoch.to_string());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().unwrap()
    }
    fn ended(child: &mut Child) -> bool {
        child.try_wait().unwrap().is_some()
    }

    #[test]
    fn what_dead_parents_left_of_this_store_is_killed_and_nothing_else() {
        let (store, other) = ("strays-1", "strays-2");
        let mut orphan = sleeper(store, DEAD, 1);
        let mut cared_for = sleeper(store, &Process::this().unwrap().mark(), 1);
        let mut of_another = sleeper(other, DEAD, 1);
        assert_eq!(kill_strays(store, None).unwrap(), 1);
        assert!(ended(&mut orphan) && !ended(&mut cared_for) && !ended(&mut of_another));
        assert_eq!(kill_strays(store, None).unwrap(), 0);
        let job = JobId::from_bytes([7; 16]);
        assert_eq!(kill_strays(store, Some(Successor { job, epoch: 1 })).unwrap(), 0, "it is this claim's");
        assert_eq!(kill_strays(store, Some(Successor { job, epoch: 2 })).unwrap(), 1);
        assert!(ended(&mut cared_for));
        of_another.kill().unwrap();
        of_another.wait().unwrap();
    }

    #[test]
    fn what_an_orphan_has_started_is_killed_with_it() {
        let store = "strays-3";
        let script = "sleep 1000 & (setsid sleep 1000 &) ; wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).env(STORE, store).env(PARENT, DEAD);
        command.env(JOB, JobId::from_bytes([7; 16]).to_string()).env(EPOCH, "1");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut shell = command.spawn().unwrap();
        let deadline = Stopwatch::start();
        while find(store, None).unwrap().len() < 3 {
            assert!(deadline.elapsed() < Duration::from_secs(20), "three processes start");
            std::thread::yield_now();
        }
        assert!(kill_strays(store, None).unwrap() >= 3);
        assert!(ended(&mut shell) && find(store, None).unwrap().is_empty());
    }
}
