//! The marks that a child has in its environment, and whatever it starts.

use std::io;

use rustix::process::getpid;
use stepwell_core::{JobId, Name};

use super::{entry::Entry, task::Task};

/// The names of the marks.
const STORE: &str = "STEPWELL_STORE";
const PARENT: &str = "STEPWELL_PARENT";
const JOB: &str = "STEPWELL_JOB_ID";
const EPOCH: &str = "STEPWELL_EPOCH";
const PHASE: &str = "STEPWELL_PHASE";
const ATTEMPT: &str = "STEPWELL_ATTEMPT";

/// The marks of one try.
pub(super) struct Marked {
    store: String,
    parent: String,
    /// Which try it is, of this parent.
    pub(super) try_of: Try,
}

/// A try: of one claim of a job there is one of each phase, unless a phase is tried again under it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Try {
    job: JobId,
    epoch: u64,
    phase: Name,
    attempt: u32,
}

impl Marked {
    /// Those of a child of this process.
    pub(super) fn of(store: &str, task: &Task) -> io::Result<Self> {
        let Task { job, phase } = task;
        let try_of = Try { job: job.id, epoch: job.epoch, phase: phase.name.clone(), attempt: phase.attempt };
        Ok(Self { store: store.to_owned(), parent: own()?, try_of })
    }
    /// As variables, besides those that every child is told its ids by.
    pub(super) fn variables(&self) -> [(&'static str, String); 3] {
        let epoch = self.try_of.epoch.to_string();
        [(STORE, self.store.clone()), (PARENT, self.parent.clone()), (EPOCH, epoch)]
    }
}

/// The mark of this process as a parent.
pub(super) fn own() -> io::Result<String> {
    let this = Entry::of(getpid())
        .ok_or_else(|| io::Error::other("failed to read /proc/self/stat; is /proc mounted?"))?;
    Ok(this.mark())
}

/// The marks of a process, as they are found in its environment.
pub(super) struct Marks<'a> {
    environment: &'a [u8],
    pub(super) store: &'a str,
    pub(super) parent: &'a str,
    pub(super) job: JobId,
    pub(super) epoch: u64,
}

impl<'a> Marks<'a> {
    pub(super) fn of(environment: &'a [u8]) -> Option<Self> {
        let find = |name| find(environment, name);
        let (job, epoch) = (find(JOB)?.parse().ok()?, find(EPOCH)?.parse().ok()?);
        Some(Self { environment, store: find(STORE)?, parent: find(PARENT)?, job, epoch })
    }
    pub(super) fn try_of(&self) -> Option<Try> {
        let phase = find(self.environment, PHASE)?.into();
        let attempt = find(self.environment, ATTEMPT)?.parse().ok()?;
        Some(Try { job: self.job, epoch: self.epoch, phase, attempt })
    }
}

fn find<'a>(environment: &'a [u8], name: &str) -> Option<&'a str> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        std::str::from_utf8(value).ok()
    })
}
