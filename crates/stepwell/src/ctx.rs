//! What a phase can see and say while it runs.

use std::{
    fmt::Display,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use stepwell_core::{
    Clock, Error, JobId, Json, Name, Result,
    job::Progress,
    lease::Fence,
    machine::Command,
    phase::idempotency_key,
    store::{Request, Store},
};
use tokio_util::sync::CancellationToken;

#[cfg(doc)]
use crate::limits;
use crate::{
    ending::Ending,
    engine::{Stop, Why},
    notes::{self, Notes},
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
    pub(crate) ending: Ending,
    /// None for a phase that is tested by itself, and in the child of an isolated one.
    pub(crate) owner: Option<Owner>,
    /// Who is told in place of a store, in the child of an isolated phase.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) parent: Option<Arc<crate::process::Parent>>,
}

/// How a running phase reaches its store.
#[derive(Clone)]
pub(crate) struct Owner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Fence,
    pub(crate) stop: Arc<Stop>,
    /// The schema, if the store is a PostgreSQL database.
    #[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
    pub(crate) schema: Option<Arc<str>>,
    #[cfg(feature = "testing")]
    pub(crate) crash_plan: Arc<crate::engine::CrashPlan>,
}

impl PhaseRun {
    pub(crate) async fn write(&self, command: Command) -> Result<()> {
        #[cfg(all(feature = "process", target_os = "linux"))]
        if let Some(parent) = &self.parent {
            return parent.write(command).await;
        }
        let Some(owner) = &self.owner else { return Ok(()) };
        if self.ending.is_settled() {
            // It would wait for the application's own transaction, which has the row locked.
            let problem = "was completed by `complete_in`; save nothing after that, commit and return";
            return Err(Error::invalid("phase", problem));
        }
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
    pub(crate) fn idempotency_key(&self) -> &str {
        let Self { id, stored_name, discarded, .. } = self;
        self.idempotency_key.get_or_init(|| idempotency_key(*id, stored_name, *discarded))
    }
    /// Stores how far the phase has got. What could not be stored is kept, for the end of the phase.
    pub(crate) async fn save_checkpoint(&self, value: Json) -> Result<()> {
        let (phase, notes) = (self.phase.clone(), &self.notes);
        let nth = notes.begin_save(&value);
        let saved = self.write(Command::SaveCheckpoint { phase, value: value.clone() }).await;
        if saved.as_ref().err().is_none_or(|error| !error.is_transient()) {
            notes.forget_cursor(nth);
        }
        saved?;
        *notes::lock(&self.checkpoint) = Some(value);
        Ok(())
    }
    /// Writes what a handler has finished, however long that takes while the phase may go on: it must not be done again
    /// because a disk was full.
    pub(crate) async fn write_in_any_case(&self, command: Command) -> Result<()> {
        let mut pause = Duration::from_millis(20);
        loop {
            match self.write(command.clone()).await {
                Err(error) if error.is_transient() && !self.cancelled.is_cancelled() => {
                    tracing::warn!(job = %self.id, %error, "failed to record an element; trying again");
                }
                outcome => return outcome,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

impl<J> Ctx<J> {
    pub(crate) fn new(job: J, shared: Arc<PhaseRun>) -> Self {
        Self { job, shared }
    }

    /// The handler that runs ends its phase with a value of this type.
    pub(crate) fn ends_with<O: 'static>(&self) {
        self.shared.ending.expect::<O>();
    }
    #[cfg(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx"))]
    pub(crate) fn run_of_phase(&self) -> &PhaseRun {
        &self.shared
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
            ending: Ending::default(),
            owner: None,
            #[cfg(all(feature = "process", target_os = "linux"))]
            parent: None,
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
        self.shared.idempotency_key()
    }

    /// Says how far the phase has got. Never blocks and never fails: what is said is written at most once a second, and
    /// what cannot be written is kept for the next time, or for the end of the phase.
    pub fn progress(&self, done: u64, total: u64) {
        self.shared.notes.progress(Progress { done, total, note: None });
    }
    /// As [`progress`](Self::progress), with a word about it, at most [`limits::NOTE_BYTES_MAX`] bytes.
    pub fn progress_note(&self, done: u64, total: u64, note: impl Display) {
        let note = Some(note.to_string());
        self.shared.notes.progress(Progress { done, total, note });
    }
    /// Adds a line to the job's log, at most [`limits::LOG_LINE_BYTES_MAX`] bytes. Written as progress is; the last
    /// [`limits::LOG_LINES_MAX`] lines are kept.
    pub fn log(&self, line: impl Display) {
        self.shared.notes.log(&self.shared.phase, line.to_string());
    }

    /// Durably stores how far this phase has got, so that its next try can go on from there.
    ///
    /// # Errors
    /// If the value cannot be encoded or is larger than [`limits::CHECKPOINT_BYTES_MAX`]; if the lease was lost; or if
    /// the store fails. Then the value is not stored yet, but kept: it is stored with the end of the phase, if no later
    /// one has been.
    pub async fn save_cursor<C: Serialize + Sync>(&self, cursor: &C) -> PhaseResult<()> {
        let value = Json::of(cursor)?;
        Ok(self.shared.save_checkpoint(value).await?)
    }
    /// What was stored last by [`save_cursor`](Self::save_cursor), in this try or in an earlier one.
    ///
    /// # Errors
    /// If the stored value is not what `C` expects.
    pub fn cursor<C: DeserializeOwned>(&self) -> PhaseResult<Option<C>> {
        let stored = notes::lock(&self.shared.checkpoint).clone();
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
