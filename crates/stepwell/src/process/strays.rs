//! Processes that have lost their right to run.
//!
//! Each child is marked in its environment, and so is whatever it starts: with the store's generation, the parent, the
//! job and the epoch. It has no right to run any more when its parent is dead, when its job has been claimed anew, or
//! when its try has ended.

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

use foldhash::{HashSet, HashSetExt};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgrp, getpid, getuid, kill_process_group, pidfd_open, pidfd_send_signal,
};
use stepwell_core::{Error, JobId, Result, time::Stopwatch};

use super::{
    entry::{self, Entry},
    marks::Marks,
};

/// How long a killed process has to be gone, and how often one looks.
const GONE_WITHIN: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(2);
/// How often one looks for strays where there are none, but a process shows no environment: it may be just becoming
/// another program, or have been started without one.
const LOOKS_MAX: u32 = 5;

/// A claim that is being run: whatever runs under an earlier one of the same job must end first.
#[derive(Clone, Copy)]
pub(super) struct Successor {
    pub(super) job: JobId,
    pub(super) epoch: u64,
}

/// Kills what dead parents have left of this store's jobs on this machine, and what runs under a claim before this one.
/// Answers how many processes were killed, once they are gone.
///
/// # Errors
/// If a process that was killed does not end, or `/proc` cannot be read.
pub(super) async fn end(store: String, successor: Option<Successor>) -> io::Result<usize> {
    let kill = move || kill_strays(&store, successor);
    tokio::task::spawn_blocking(kill).await.map_err(io::Error::other).flatten()
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

fn kill_strays(store: &str, successor: Option<Successor>) -> io::Result<usize> {
    let mut parents = BTreeMap::new();
    kill_all(|marks| {
        let Marks { store: of, parent, job, epoch, .. } = marks;
        let is_succeeded =
            successor.is_some_and(|successor| *job == successor.job && *epoch < successor.epoch);
        let mut is_orphaned =
            || !*parents.entry((*parent).to_owned()).or_insert_with(|| entry::is_alive(parent));
        *of == store && (is_succeeded || is_orphaned())
    })
}

/// Kills the processes of this user that these marks make strays. Answers how many there were, once they are gone. It
/// blocks.
///
/// # Errors
/// If a process that was killed does not end, or `/proc` cannot be read.
pub(super) fn kill_all(mut is_stray: impl FnMut(&Marks<'_>) -> bool) -> io::Result<usize> {
    let waited = Stopwatch::start();
    let (mut killed, mut looks) = (HashSet::new(), 0);
    loop {
        let Found { strays, unread } = find(&mut is_stray)?;
        // One that is killed may have started another meanwhile, so that it is looked at again until there is none.
        if strays.is_empty() {
            looks += 1;
            if !unread || looks == LOOKS_MAX {
                return Ok(killed.len());
            }
        } else if waited.elapsed() > GONE_WITHIN {
            let numbers: Vec<String> =
                strays.iter().map(|stray| stray.pid.as_raw_nonzero().to_string()).collect();
            let text = format!("processes {} were killed and do not end", numbers.join(", "));
            return Err(io::Error::other(text));
        }
        strays.iter().for_each(Stray::kill);
        killed.extend(strays.into_iter().map(|stray| stray.pid));
        std::thread::sleep(GLANCE);
    }
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

/// What one look has found.
struct Found {
    strays: Vec<Stray>,
    /// Whether a process shows no environment.
    unread: bool,
}

fn find(is_stray: &mut impl FnMut(&Marks<'_>) -> bool) -> io::Result<Found> {
    let (mut strays, mut unread) = (Vec::new(), false);
    let own = getuid().as_raw();
    for entry in fs::read_dir("/proc").map_err(|error| unseen(&error))? {
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
        // The kernel's own have none, and are no file.
        unread |= environment.is_empty() && fs::read_link(entry.path().join("exe")).is_ok();
        if !Marks::of(&environment).is_some_and(|marks| is_stray(&marks)) {
            continue;
        }
        if let Some(process) = Entry::of(pid).filter(|process| !process.ended) {
            strays.push(Stray { pid, group: process.group });
        }
    }
    Ok(Found { strays, unread })
}

/// Why processes cannot be seen, and what to do about it.
fn unseen(error: &io::Error) -> io::Error {
    let text = format!("failed to read /proc, by which processes are found: {error}; mount it");
    io::Error::new(error.kind(), text)
}

fn is_of(process: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(process).is_ok_and(|metadata| user == 0 || metadata.uid() == user)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;
    use crate::process::marks;

    const DEAD: &str = "1:0";
    const STORE: &str = "STEPWELL_STORE";
    const PARENT: &str = "STEPWELL_PARENT";
    const JOB: &str = "STEPWELL_JOB_ID";
    const EPOCH: &str = "STEPWELL_EPOCH";

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
        let mut cared_for = sleeper(store, &marks::own().unwrap(), 1);
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
        let mut is_there = |marks: &Marks<'_>| marks.store == store;
        while find(&mut is_there).unwrap().strays.len() < 3 {
            assert!(deadline.elapsed() < Duration::from_secs(20), "three processes start");
            std::thread::yield_now();
        }
        // One of them may be just becoming another program, and go with its group before it was seen.
        assert!(kill_strays(store, None).unwrap() > 0);
        assert!(ended(&mut shell));
        for _ in 0..100 {
            assert!(find(&mut is_there).unwrap().strays.is_empty());
            std::thread::yield_now();
        }
    }
}
