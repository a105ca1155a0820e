//! What a phase can see and say while it runs.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};
use stepwell_core::{
    Clock, Error, JobId, Json, Name, Result,
    job::Progress,
    lease::Fence,
    limits,
    machine::{Command, LogLine},
    phase::idempotency_key,
    store::{Request, Store},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{Stop, Why},
    phase_error::PhaseResult,
};

/// What a phase can see and say while it runs.
pub struct Ctx<J> {
    job: J,
    shared: Arc<PhaseRun>,
}

/// One try of one phase, as the engine sees it.
pub(crate) struct PhaseRun {
    pub(crate) id: JobId,
    pub(crate) run: u32,
    pub(crate) epoch: u64,
    pub(crate) phase: Name,
    pub(crate) stored_name: Name,
    pub(crate) tries: u32,
    pub(crate) interrupted: bool,
    pub(crate) discarded: u32,
    /// Made when it is first asked for.
    pub(crate) idempotency_key: OnceLock<String>,
    pub(crate) cancelled: CancellationToken,
    pub(crate) checkpoint: Mutex<Option<Json>>,
    pub(crate) notes: Notes,
    /// None for a phase that is tested by itself.
    pub(crate) owner: Option<Owner>,
}

/// How a running phase reaches its store.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) stop: Arc<Stop>,
    #[cfg(feature = "testing")]
    pub(crate) crash_plan: Arc<crate::engine::CrashPlan>,
}

impl PhaseRun {
    pub(crate) async fn write(&self, command: Command) -> Result<()> {
        let Some(owner) = &self.owner else { return Ok(()) };
        let request = Request { job: self.id, fence: owner.fence, commands: vec![command] };
        let written = owner.store.apply(request).await;
        if written.as_ref().is_err_and(Error::is_lease_lost) {
            // The phase may ignore the error; what it does from now on must not count.
            owner.stop.ask(Why::Lost);
        }
        #[cfg(feature = "testing")]
        if written.is_ok() && owner.crash_plan.pass() {
            owner.stop.ask(Why::Lost);
            std::future::pending::<()>().await;
        }
        written.map(drop)
    }
}

/// What a phase has said and nobody has written down yet.
pub(crate) struct Notes {
    said: Mutex<Said>,
    clock: Clock,
    /// Woken when there is something to write down and there was nothing before.
    pub(crate) dirty: Notify,
}

#[derive(Default)]
struct Said {
    progress: Option<Progress>,
    lines: Vec<LogLine>,
}

impl Notes {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { said: Mutex::default(), clock, dirty: Notify::new() }
    }
    /// Takes what was said since the last time, as a command.
    pub(crate) fn take(&self) -> Option<Command> {
        let Said { progress, lines } = std::mem::take(&mut *lock(&self.said));
        (progress.is_some() || !lines.is_empty()).then_some(Command::Annotate { progress, lines })
    }
    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        let said = lock(&self.said);
        said.progress.is_none() && said.lines.is_empty()
    }
    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut lock(&self.said));
        self.dirty.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<J> Ctx<J> {
    pub(crate) fn new(job: J, shared: Arc<PhaseRun>) -> Self {
        Self { job, shared }
    }

    /// A context that belongs to no queue, for testing one phase by itself. What is saved in it stays in it.
    #[cfg(feature = "testing")]
    pub fn for_test(job: J) -> Self {
        let id = JobId::from_bytes([0; 16]);
        let shared = PhaseRun {
            id,
            run: 1,
            epoch: 1,
            phase: "test".into(),
            stored_name: "test".into(),
            tries: 1,
            interrupted: false,
            discarded: 0,
            idempotency_key: String::from("test").into(),
            cancelled: CancellationToken::new(),
            checkpoint: Mutex::default(),
            notes: Notes::new(Clock::manual(std::time::UNIX_EPOCH)),
            owner: None,
        };
        Self { job, shared: Arc::new(shared) }
    }

    /// The enqueued payload.
    pub fn job(&self) -> &J {
        &self.job
    }
    /// The job's id.
    pub fn id(&self) -> JobId {
        self.shared.id
    }
    /// The phase's name.
    pub fn phase(&self) -> &str {
        &self.shared.phase
    }
    /// Which try of the phase this is: 1 for the first in this run of the job.
    pub fn attempt(&self) -> u32 {
        self.shared.tries
    }
    /// Which run of the job this is: 1, and one more with each operator's retry.
    pub fn run(&self) -> u32 {
        self.shared.run
    }
    /// Rises with each claim of the job: a fencing token for systems that accept one.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }
    /// Whether an earlier try of this phase was cut off, by a crash or a shutdown, and may have left half of its
    /// effects.
    pub fn interrupted(&self) -> bool {
        self.shared.interrupted
    }
    /// A key for systems that accept one: the same for every try of this phase, also after an operator's partial retry.
    /// It changes only when an operator discards the phase's recorded result.
    pub fn idempotency_key(&self) -> &str {
        let PhaseRun { id, stored_name, discarded, .. } = &*self.shared;
        self.shared.idempotency_key.get_or_init(|| idempotency_key(*id, stored_name, *discarded))
    }

    /// Says how far the phase has got. Never blocks and never fails: what is said is written at most once a second.
    pub fn progress(&self, done: u64, total: u64) {
        self.shared.notes.say(|said| said.progress = Some(Progress { done, total, note: None }));
    }
    /// As [`progress`](Self::progress), with a word about it, at most [`limits::NOTE_BYTES_MAX`] bytes.
    pub fn progress_note(&self, done: u64, total: u64, note: impl Display) {
        let note = Some(note.to_string());
        self.shared.notes.say(|said| said.progress = Some(Progress { done, total, note }));
    }
    /// Adds a line to the job's log, at most [`limits::LOG_LINE_BYTES_MAX`] bytes. Written as progress is; the last
    /// [`limits::LOG_LINES_MAX`] lines are kept.
    pub fn log(&self, line: impl Display) {
        let notes = &self.shared.notes;
        let line =
            LogLine { at: notes.clock.now(), phase: Some(self.shared.phase.clone()), text: line.to_string() };
        notes.say(|said| {
            if said.lines.len() >= limits::LOG_LINES_MAX {
                said.lines.remove(0);
            }
            said.lines.push(line);
        });
    }

    /// Durably stores how far this phase has got, so that its next try can go on from there.
    ///
    /// # Errors
    /// If the value cannot be encoded or is larger than [`limits::CHECKPOINT_BYTES_MAX`]; if the lease was lost; or if
    /// the store fails.
    pub async fn save_cursor<C: Serialize + Sync>(&self, cursor: &C) -> PhaseResult<()> {
        let value = Json::of(cursor)?;
        let phase = self.shared.phase.clone();
        self.shared.write(Command::SaveCheckpoint { phase, value: value.clone() }).await?;
        *lock(&self.shared.checkpoint) = Some(value);
        Ok(())
    }
    /// What was stored last by [`save_cursor`](Self::save_cursor), in this try or in an earlier one.
    ///
    /// # Errors
    /// If the stored value is not what `C` expects.
    pub fn cursor<C: DeserializeOwned>(&self) -> PhaseResult<Option<C>> {
        let stored = lock(&self.shared.checkpoint).clone();
        Ok(stored.map(|stored| stored.decode()).transpose()?)
    }

    /// Whether the phase was asked to stop: its job was cancelled, its lease was lost, or the process shuts down and
    /// the time for finishing is over.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.is_cancelled()
    }
    /// Resolves when the phase is asked to stop (see [`is_cancelled`](Self::is_cancelled)).
    ///
    /// A phase that does not stop then is dropped, at its next `await`, when the grace period is over.
    pub async fn cancelled(&self) {
        self.shared.cancelled.cancelled().await;
    }
}

pub(crate) fn decode_error(kind: &str, error: &Error) -> String {
    format!(
        "payload of `{kind}`: {error}; its type has changed since it was enqueued, or it was written by hand"
    )
}
