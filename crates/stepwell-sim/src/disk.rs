//! What is known of the files in a directory, and what goes wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::ffi;

use crate::{chance::Chance, image::Image, inode::Inode, vfs};

/// What SQLite asks of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// To open a file, or create it.
    Open,
    /// To read.
    Read,
    /// To write.
    Write,
    /// To make a file shorter or longer.
    Truncate,
    /// To see to it that what was written stays.
    Sync,
    /// To delete a file.
    Delete,
}

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Which call.
    pub call: Call,
    /// The how many-th of its kind from now, the first being 1.
    pub nth: u64,
    /// How many fail in a row; `u64::MAX` until [`Disk::heal`].
    pub times: u64,
    /// What SQLite is told, such as `ffi::SQLITE_IOERR_WRITE`.
    pub code: i32,
}

/// The disk behind a directory, for as long as this value lives.
///
/// Files that are there already count as synced.
pub struct Disk(Arc<Platter>);

/// What the disk shares with the open files on it.
pub(crate) struct Platter {
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    /// The directory as programs see it.
    names: BTreeMap<String, usize>,
    /// The directory as it is on the disk.
    durable_names: BTreeMap<String, usize>,
    chance: Chance,
    counts: BTreeMap<Call, u64>,
    fault: Option<Fault>,
    failed: u64,
    bytes_max: Option<u64>,
    lies: bool,
    sync_takes: Duration,
    loss_per_mille: u64,
    mark: u64,
    images: Vec<Image>,
}

impl Disk {
    /// Stands behind a directory; `seed` decides about losses.
    ///
    /// # Panics
    /// If the directory cannot be read.
    #[must_use]
    pub fn behind(root: &Path, seed: u64) -> Self {
        let root = root.canonicalize().expect("the directory exists");
        let mut state = State { chance: Chance::new(seed), ..State::default() };
        for entry in root.read_dir().expect("the directory can be read").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Ok(content) = std::fs::read(entry.path()) {
                state.names.insert(name, state.inodes.len());
                state.inodes.push(Inode::durable(content));
            }
        }
        state.durable_names = state.names.clone();
        let platter = Arc::new(Platter { root, state: Mutex::new(state) });
        vfs::add(platter.clone());
        Self(platter)
    }

    /// Takes an image of a loss of power at so many of a thousand calls that change something.
    pub fn lose_power(&self, per_mille: u64) {
        self.0.lock().loss_per_mille = per_mille;
    }
    /// What the images are marked with from now on.
    pub fn mark(&self, mark: u64) {
        self.0.lock().mark = mark;
    }
    /// The losses since the last time.
    #[must_use]
    pub fn images(&self) -> Vec<Image> {
        std::mem::take(&mut self.0.lock().images)
    }
    /// Whether the disk says that it has synced, and has not.
    pub fn lie(&self, lies: bool) {
        self.0.lock().lies = lies;
    }

    /// How long every sync takes.
    pub fn sync_takes(&self, time: Duration) {
        self.0.lock().sync_takes = time;
    }

    /// Lets calls fail.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.0.lock();
        let done = state.counts.get(&fault.call).copied().unwrap_or(0);
        state.fault = Some(Fault { nth: done + fault.nth, ..fault });
        state.failed = 0;
    }
    /// Lets everything succeed again. Answers how many calls failed.
    pub fn heal(&self) -> u64 {
        let mut state = self.0.lock();
        state.fault = None;
        std::mem::take(&mut state.failed)
    }
    /// How many calls failed since the fault was set.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.0.lock().failed
    }
    /// How large all files may be together.
    pub fn limit(&self, bytes_max: Option<u64>) {
        self.0.lock().bytes_max = bytes_max;
    }
    /// How large all files are together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.lock().bytes()
    }
    /// How many calls of a kind there were.
    #[must_use]
    pub fn count(&self, call: Call) -> u64 {
        self.0.lock().counts.get(&call).copied().unwrap_or(0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        vfs::remove(&self.0);
    }
}

impl Platter {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The name of a file that lies on this disk.
    pub(crate) fn name_of(&self, path: &Path) -> Option<String> {
        (path.parent() == Some(&*self.root))
            .then(|| path.file_name())?
            .map(|name| name.to_string_lossy().into_owned())
    }

    /// Counts a call, and answers with what it fails with, if it does.
    pub(crate) fn begin(&self, call: Call) -> Result<(), i32> {
        self.lock().begin(call)
    }
    pub(crate) fn opened(&self, name: &str) -> usize {
        let mut state = self.lock();
        if let Some(inode) = state.names.get(name) {
            return *inode;
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        inode
    }
    /// Notes a write. Answers how many of the bytes reach the file, and what the rest fails with.
    pub(crate) fn write(&self, inode: usize, at: u64, bytes: &[u8]) -> (usize, Result<(), i32>) {
        let mut state = self.lock();
        let begun = state.begin(Call::Write);
        let grown = (at + bytes.len() as u64).saturating_sub(state.inodes[inode].len());
        let full = grown > 0 && state.bytes_max.is_some_and(|most| state.bytes() + grown > most);
        // A write that fails may still have done some of its work.
        let (reached, outcome) = match (begun, full) {
            (Err(code), _) => (bytes.len() / 2, Err(code)),
            (Ok(()), true) => (0, Err(ffi::SQLITE_FULL)),
            (Ok(()), false) => (bytes.len(), Ok(())),
        };
        state.inodes[inode].write(at, &bytes[..reached]);
        state.maybe_lose();
        (reached, outcome)
    }
    pub(crate) fn truncate(&self, inode: usize, len: u64) -> Result<(), i32> {
        let mut state = self.lock();
        state.begin(Call::Truncate)?;
        state.inodes[inode].resize(len);
        state.maybe_lose();
        Ok(())
    }
    pub(crate) fn sync(&self, inode: usize, with_directory: bool) -> Result<(), i32> {
        let time = self.lock().sync_takes;
        std::thread::sleep(time);
        let mut state = self.lock();
        state.maybe_lose();
        state.begin(Call::Sync)?;
        if !state.lies {
            state.inodes[inode].sync();
            if with_directory {
                state.durable_names = state.names.clone();
            }
        }
        Ok(())
    }
    pub(crate) fn delete(&self, name: &str, with_directory: bool) -> Result<(), i32> {
        let mut state = self.lock();
        state.begin(Call::Delete)?;
        state.names.remove(name);
        state.maybe_lose();
        if with_directory && !state.lies {
            state.durable_names = state.names.clone();
        }
        Ok(())
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].len()).sum()
    }
    fn begin(&mut self, call: Call) -> Result<(), i32> {
        let count = self.counts.entry(call).or_default();
        *count += 1;
        match self.fault {
            Some(fault) if fault.call == call && *count >= fault.nth && *count - fault.nth < fault.times => {
                self.failed += 1;
                Err(fault.code)
            }
            _ => Ok(()),
        }
    }
    fn maybe_lose(&mut self) {
        let (rate, chance) = (self.loss_per_mille, &mut self.chance);
        if !chance.per_mille(rate) {
            return;
        }
        let mut image = Image { mark: self.mark, call: self.counts.values().sum(), ..Image::default() };
        let names: BTreeSet<_> = self.names.keys().chain(self.durable_names.keys()).collect();
        for name in names {
            // A change to the directory that was not synced may be there or not.
            let (now, durable) = (self.names.get(name), self.durable_names.get(name));
            let found = if now == durable || chance.per_mille(500) { now } else { durable };
            if let Some(inode) = found {
                image.files.insert(name.clone(), self.inodes[*inode].after_loss(chance));
            }
        }
        self.images.push(image);
    }
}
