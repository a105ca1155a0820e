//! Whose turn it is to write, among all processes that use a file.
//!
//! SQLite's own lock is not fair: of two busy writers, one waits for seconds. So a writer first takes the lock file
//! `next`, then the lock file `write`, then gives `next` back: whoever waits for `write` stands first in line, and
//! nobody
//! can overtake him. Only then it asks SQLite, where no other Stepwell process can be in its way any more.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::Connection;
use stepwell_core::{Error, Result, time::Stopwatch};

use crate::{closing::Closing, error};

/// Bytes of the process id in the write lock file, padded with spaces.
const PID_BYTES: usize = 20;

/// The two lock files, and how long to wait for them.
#[derive(Debug)]
pub(crate) struct Turn {
    next: File,
    write: File,
    wal_index: PathBuf,
    busy_deadline: Duration,
    closing: Arc<Closing>,
}

/// A deadline, and pauses that grow while it approaches.
pub(crate) struct Patience<'a> {
    since: Stopwatch,
    deadline: Duration,
    closing: Option<&'a Closing>,
}

impl Patience<'_> {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { since: Stopwatch::start(), deadline, closing: None }
    }
    /// Waits a moment; false if the deadline has passed, or the store closes and has no more time for it.
    pub(crate) fn wait(&self) -> bool {
        let waited = self.since.elapsed();
        if waited >= self.deadline || self.closing.is_some_and(Closing::is_over) {
            return false;
        }
        let pause = match waited.as_millis() {
            0..20 => Duration::from_micros(100),
            20..500 => Duration::from_millis(1),
            _ => Duration::from_millis(5),
        };
        std::thread::sleep(pause);
        true
    }
    fn waited(&self) -> Duration {
        self.since.elapsed()
    }
}

impl Turn {
    pub(crate) fn open(database: &Path, busy_deadline: Duration, closing: Arc<Closing>) -> io::Result<Self> {
        let open = |suffix| {
            let path = beside(database, suffix);
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        };
        Ok(Self {
            next: open("-next")?,
            write: open("-write")?,
            wal_index: beside(database, "-shm"),
            busy_deadline,
            closing,
        })
    }
    fn patience(&self) -> Patience<'_> {
        Patience { closing: Some(&self.closing), ..Patience::new(self.busy_deadline) }
    }

    /// Begins a write transaction when it is this writer's turn.
    ///
    /// # Errors
    /// That the store is busy, with the holder's name, if the turn does not come in time.
    pub(crate) fn begin(&self, conn: &Connection) -> Result<()> {
        let patience = self.patience();
        self.take(&patience)?;
        let begun = self.begin_in_sqlite(conn, &patience);
        if begun.is_err() {
            self.end();
        }
        begun
    }
    /// Begins another write transaction in the same turn.
    pub(crate) fn begin_again(&self, conn: &Connection) -> Result<()> {
        self.begin_in_sqlite(conn, &self.patience())
    }
    /// Gives the turn to the next.
    pub(crate) fn end(&self) {
        // An unlock cannot fail for a lock that is held; if it could, closing the file would still end it.
        drop(self.write.unlock());
    }

    /// Takes the turn without a transaction.
    pub(crate) fn take(&self, patience: &Patience<'_>) -> Result<()> {
        self.lock(&self.next, patience)?;
        let locked = self.lock(&self.write, patience);
        drop(self.next.unlock());
        locked?;
        self.sign();
        Ok(())
    }

    fn lock(&self, file: &File, patience: &Patience<'_>) -> Result<()> {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if patience.wait() => {}
                Err(TryLockError::WouldBlock) => return Err(Error::busy(self.holder(), patience.waited())),
                Err(TryLockError::Error(error)) => {
                    return Err(Error::storage("lock the write lock file", error));
                }
            }
        }
    }

    fn begin_in_sqlite(&self, conn: &Connection, patience: &Patience<'_>) -> Result<()> {
        loop {
            match conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])) {
                Ok(_) => return Ok(()),
                Err(failure) if error::is_busy(&failure) => {
                    if !patience.wait() {
                        return Err(Error::busy(self.foreign_holder(), patience.waited()));
                    }
                }
                Err(failure) => return Err(error::from("begin a write transaction", failure)),
            }
        }
    }

    /// Writes this process's id where others find it, unless it stands there already.
    fn sign(&self) {
        let pid = format!("{:<PID_BYTES$}", std::process::id());
        let mut found = [0; PID_BYTES];
        // The name is for a message. Whoever cannot read or write it still has the lock.
        if self.write.read_at(&mut found, 0).is_err() || found != *pid.as_bytes() {
            drop(self.write.write_at(pid.as_bytes(), 0));
        }
    }

    /// Who holds the lock file, for people.
    fn holder(&self) -> String {
        let mut text = [0; PID_BYTES];
        let read = self.write.read_at(&mut text, 0).unwrap_or(0);
        let pid = std::str::from_utf8(&text[..read]).ok().and_then(|text| text.trim().parse().ok());
        explain(pid)
    }

    /// Who holds SQLite's own lock although no Stepwell process does, for people.
    pub(crate) fn foreign_holder(&self) -> String {
        let pid = std::fs::metadata(&self.wal_index).ok().and_then(|index| {
            let locks = std::fs::read_to_string("/proc/locks").ok()?;
            lock_holder(&locks, index.dev(), index.ino())
        });
        explain(pid)
    }
}

/// The path of a file beside the database.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The process that holds SQLite's write lock: byte 120 of the WAL index.
///
/// A line of `/proc/locks` reads `1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 120 120`.
fn lock_holder(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let device = format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("{device}:{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "->").collect();
        let [_, _, _, "WRITE", pid, locked, from, to] = words[..] else { return None };
        let from: u64 = from.parse().ok()?;
        let to = to.parse().unwrap_or(u64::MAX);
        (locked == file && from <= 120 && to >= 120).then(|| pid.parse().ok())?
    })
}

fn explain(pid: Option<u32>) -> String {
    let own = std::process::id();
    let who = match pid {
        Some(pid) if pid == own => {
            format!("this process ({own}), through another connection, holds the write lock")
        }
        Some(pid) => format!("process {pid}{} holds the write lock; let it finish, or end it", describe(pid)),
        None => "another program holds the write lock; let it finish, or end it".to_owned(),
    };
    format!(
        "{who}. An application that awaits Stepwell inside its own write transaction waits for itself: let it insert \
         into `stepwell_inbox` there instead"
    )
}

/// The name of a process, and whether it is stopped, as far as this system tells.
fn describe(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match (field("Name:"), field("State:")) {
        (Some(name), Some(state)) if state.starts_with(['T', 't']) => format!(" ({name}, which is stopped)"),
        (Some(name), _) => format!(" ({name})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_lock_is_found_among_others() {
        let locks = "1: POSIX  ADVISORY  READ 7 08:01:99 124 124\n\
                     2: POSIX  ADVISORY  WRITE 8 08:01:98 120 120\n\
                     2: -> POSIX  ADVISORY  WRITE 6 08:01:99 120 120\n\
                     3: FLOCK  ADVISORY  WRITE 9 08:01:99 0 EOF\n\
                     4: POSIX  ADVISORY  WRITE 42 08:01:99 120 120\n";
        let device = rustix::fs::makedev(8, 1);
        assert_eq!(lock_holder(&locks.replace("2: ->", "9: x"), device, 99), Some(9));
        let without_flock = locks.replace("FLOCK", "OTHER").replace("9 08:01:99 0 EOF", "9 08:01:97 0 EOF");
        assert_eq!(lock_holder(&without_flock.replace("2: -> POSIX", "2: -> WAITS x"), device, 99), Some(42));
        assert_eq!(lock_holder(locks, device, 1), None);
    }
}
