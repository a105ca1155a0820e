//! The directory in which servers live, and the guard that outlives whoever made it.

use std::{
    env,
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::error::{Error, Result};

/// Ends the servers of a directory and removes it, once its input is closed. It is a process of its own, in a group of
/// its own: neither Ctrl-C nor `kill -9` of the maker reaches it.
const GUARD: &str = include_str!("guard.sh");

/// Held as long as the maker lives. The system gives it back whichever way that one ends.
const LOCK: &str = "lock";

/// A directory for servers, gone when it is dropped or its maker dies.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    guard: Child,
    /// Never read: it is there to be held.
    _lock: File,
}

impl Place {
    /// A new one, after those that were left behind are gone.
    pub(crate) fn make() -> Result<Self> {
        let home = home()?;
        // Nobody may take a directory that has no lock yet for one that was left behind.
        let gate = lock_file(&home.join("gate"))?;
        gate.lock().map_err(Error::io("wait for others that prepare servers"))?;
        sweep(&home)?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = home.join(format!("{}-{count}", std::process::id()));
        create(&path)?;
        let lock = lock_file(&path.join(LOCK))?;
        lock.lock().map_err(Error::io("lock a new directory"))?;
        let guard = guard(&path, Stdio::piped())?;
        Ok(Self { path, guard, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A new directory within, which those who run servers may enter.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        create(&path)?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        match self.guard.wait() {
            Ok(status) if status.success() => {}
            _ => eprintln!("failed to remove {}: remove it by hand", self.path.display()),
        }
    }
}

/// The directory of all servers of this user.
fn home() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let home = env::temp_dir().join(format!("stepwell-postgres-{user}"));
    match create(&home) {
        Err(_) if home.is_dir() => {}
        outcome => outcome?,
    }
    // The directory for temporary files is everybody's. What another user put there is not ours to trust.
    let owner = fs::symlink_metadata(&home).map_err(Error::io("look at the directory of servers"))?.uid();
    if owner == user {
        return Ok(home);
    }
    Err(Error::new(format!("failed to use {}: it belongs to another user", home.display())))
}

/// A directory that all may enter and only we may change.
fn create(path: &Path) -> Result<()> {
    let tried = || format!("make the directory {}", path.display());
    DirBuilder::new().mode(0o755).create(path).map_err(Error::io(tried()))?;
    // Whatever the mask for new files says.
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(Error::io(tried()))
}

fn lock_file(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(path).map_err(Error::io(format_args!("open {}", path.display())))
}

/// Removes the directories whose makers are gone.
fn sweep(home: &Path) -> Result<()> {
    for entry in fs::read_dir(home).map_err(Error::io("list the servers"))?.flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        let lock = lock_file(&entry.path().join(LOCK))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(Error::io("look for servers left behind")(error)),
            Ok(()) => {
                let mut guard = guard(&entry.path(), Stdio::null())?;
                guard.wait().map_err(Error::io("wait until a server left behind is gone"))?;
            }
        }
    }
    Ok(())
}

fn guard(path: &Path, input: Stdio) -> Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(path).stdin(input).stdout(Stdio::null()).process_group(0);
    command.spawn().map_err(Error::io("start the guard of a directory, which needs `sh`"))
}
