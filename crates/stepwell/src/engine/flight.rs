//! A claimed job on its way through its phases.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, OnceLock, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use stepwell_core::{
    Job as JobRecord, JobState, Json, Name, Phase, Result, Retry,
    lease::Fence,
    machine::{self, Command},
    plan::PhaseSpec,
    store::{Applied, Claimed, Request},
};

use crate::{
    ctx::{Owner, PhaseRun},
    ending::Ending,
    notes::Notes,
    phase_error::{PhaseError, Verdict},
    recorded,
    registered::{AnyWorker, Given},
};

use super::{
    core::Engine,
    flights::Departure,
    stop::{Stop, Why},
};

/// A claimed job on its way through its phases.
pub(crate) struct Flight {
    engine: Arc<Engine>,
    worker: Arc<dyn AnyWorker>,
    job: JobRecord,
    payload: Json,
    fence: Fence,
    stop: Arc<Stop>,
    /// Whether it has run a phase: it takes off with the first one entered.
    under_way: bool,
}

/// How a try of a phase came to its end.
enum Outcome {
    Returned(Result<Json, PhaseError>),
    TimedOut(Duration),
    Panicked(String),
    /// It was told to stop, did not, and was dropped.
    Dropped(Why),
}

/// What follows the end of a phase.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Boundary {
    /// The next phase begins in the same commit.
    GoOn,
    /// The job is given back in the same commit.
    Release,
    /// Nothing: whoever steps decides.
    #[cfg_attr(not(feature = "testing"), expect(dead_code))]
    Pause,
}

impl Boundary {
    fn command(self) -> Option<Command> {
        match self {
            Self::GoOn => Some(Command::StartPhase),
            Self::Release => Some(Command::Release),
            Self::Pause => None,
        }
    }
}

/// How often the progress of a running phase is written.
const NOTES_INTERVAL: Duration = Duration::from_secs(1);

impl Flight {
    /// Takes off with jobs that were claimed. One whose kind is not worked here stays behind, which a claim rules out.
    pub(crate) fn depart(engine: &Arc<Engine>, claimed: Vec<Claimed>) -> Vec<Self> {
        let flights: Vec<Self> =
            claimed.into_iter().filter_map(|claimed| Self::of(engine, claimed)).collect();
        engine.flights.depart(flights.iter().filter_map(Self::departure));
        flights
    }
    fn of(engine: &Arc<Engine>, claimed: Claimed) -> Option<Self> {
        let Claimed { job, payload } = claimed;
        let fence = job.owner_fence()?;
        let worker = engine.workers.get(&job.kind)?.clone();
        job.running_phase()?;
        Some(Self {
            engine: engine.clone(),
            worker,
            job,
            payload,
            fence,
            stop: Arc::default(),
            under_way: false,
        })
    }
    fn departure(&self) -> Option<Departure> {
        Some(Departure {
            id: self.job.id,
            epoch: self.job.epoch,
            queue: self.job.queue.clone(),
            fence: self.fence,
            phase: self.job.running_phase()?.name.clone(),
            stop: self.stop.clone(),
        })
    }

    /// Runs phase after phase, until the job leaves this process.
    pub(crate) async fn fly(mut self) {
        loop {
            let boundary = match self.engine.is_draining() {
                true => Boundary::Release,
                false => Boundary::GoOn,
            };
            if !self.phase(boundary).await {
                return;
            }
        }
    }

    /// Runs the running phase and records how it ended. Answers whether the job is still here.
    pub(crate) async fn phase(&mut self, boundary: Boundary) -> bool {
        let Some(phase) = self.job.running_phase().cloned() else { return false };
        let (id, epoch) = (self.job.id, self.job.epoch);
        if std::mem::replace(&mut self.under_way, true) {
            self.engine.flights.entered(id, epoch, &phase.name);
        }
        let position = self.worker.spec().phases.iter().position(|spec| spec.name == phase.name);
        let Some(position) = position else {
            // The claim matched the job to this very plan.
            debug_assert!(false, "a running phase is in its plan");
            return false;
        };
        let phase_run = Arc::new(self.phase_run(&phase));
        let outcome = match self.given(&phase, position, &phase_run).await {
            Ok(given) => self.attempt(position, given, &phase_run).await,
            Err(error) if error.is_transient() => Outcome::Returned(Err(error.into())),
            Err(error) => Outcome::Returned(Err(PhaseError::permanent(error))),
        };
        if self.stop.why() == Some(Why::Lost) {
            return false;
        }
        // What it says when the shutdown began meanwhile decides, not what was said before the phase.
        let boundary = if self.engine.is_draining() && boundary == Boundary::GoOn {
            Boundary::Release
        } else {
            boundary
        };
        let mut commands = phase_run.notes.rest(&phase.name);
        let is_settled = phase_run.ending.is_settled();
        let outcome = if is_settled { uncommitted(outcome) } else { outcome };
        // What is still running when this is written may commit before it.
        let may_be_settled = is_settled || !matches!(outcome, Outcome::Returned(_));
        self.conclude(&mut commands, &phase, position, outcome, boundary);
        if may_be_settled {
            // A phase that was completed in a transaction has ended with that, whatever is said here: the store puts it
            // in its place. Otherwise the job does not run any more, and this is dropped.
            commands.extend(boundary.command());
        }
        self.record(commands, &phase.name).await
    }

    /// Begins the next phase, or acknowledges that the job was cancelled. Answers whether a phase runs.
    #[cfg(feature = "testing")]
    pub(crate) async fn begin_next(&mut self) -> Result<bool> {
        let request = |command| Request { job: self.job.id, fence: self.fence, commands: vec![command] };
        let applied = match self.engine.store.apply(request(Command::StartPhase)).await {
            Err(error) if error.is_wrong_state() => {
                self.engine.store.apply(request(Command::AcknowledgeCancel)).await?
            }
            applied => applied?,
        };
        self.job = applied.job;
        Ok(self.job.running_phase().is_some())
    }

    fn phase_run(&self, phase: &Phase) -> PhaseRun {
        PhaseRun {
            id: self.job.id,
            run: self.job.run,
            epoch: self.job.epoch,
            phase: phase.name.clone(),
            stored_name: phase.stored_name().clone(),
            tries: phase.tries,
            interrupted: phase.interrupted,
            discarded: phase.discarded,
            idempotency_key: OnceLock::new(),
            cancelled: self.stop.asked.clone(),
            checkpoint: Mutex::default(),
            notes: Notes::new(self.engine.store.clock().clone()),
            ending: Ending::default(),
            owner: Some(Owner {
                store: self.engine.store.clone(),
                fence: self.fence,
                stop: self.stop.clone(),
                #[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
                schema: self.engine.config.schema.clone(),
                #[cfg(feature = "testing")]
                crash_plan: self.engine.crash_plan.clone(),
            }),
            #[cfg(all(feature = "process", target_os = "linux"))]
            parent: None,
        }
    }

    /// Reads what the phase is given from what is stored: also when it was recorded a moment ago in this process.
    async fn given(&self, phase: &Phase, position: usize, phase_run: &Arc<PhaseRun>) -> Result<Given> {
        let spec = &self.worker.spec().phases[position];
        let mut inputs = Vec::with_capacity(spec.inputs.len());
        for input in &spec.inputs {
            inputs.push(recorded::output(&*self.engine.store, &self.job, input).await?);
        }
        let store = &self.engine.store;
        if phase.checkpoint {
            let stored = store.checkpoint(self.job.id, phase_run.stored_name.clone()).await?;
            *phase_run.checkpoint.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stored;
        }
        let elements = match spec.fan_out {
            true => store.elements(self.job.id, phase_run.stored_name.clone()).await?,
            false => Vec::new(),
        };
        let (payload, pool) = (self.payload.clone(), self.engine.pool.clone());
        let queue = self.job.queue.clone();
        Ok(Given { payload, queue, inputs, elements, phase_run: phase_run.clone(), pool })
    }

    /// Runs the handler, and sees to it that it ends: by itself, by its time-out, or because it must stop.
    async fn attempt(&self, position: usize, given: Given, phase_run: &PhaseRun) -> Outcome {
        let spec = &self.worker.spec().phases[position];
        let timeout =
            spec.timeout_ms.map(Duration::from_millis).filter(|_| !self.worker.keeps_time(position));
        let mut handler = AssertUnwindSafe(self.worker.clone().run(position, given)).catch_unwind();
        let config = &self.engine.config;
        let mut writing = pin!(self.write_notes(phase_run));
        let outcome = tokio::select! {
            biased;
            outcome = &mut handler => match outcome {
                Ok(returned) => Outcome::Returned(returned),
                Err(panic) => Outcome::Panicked(panic_text(&*panic)),
            },
            () = self.stop.run_out(config.cancel_grace, config.abort_grace) => {
                Outcome::Dropped(self.stop.why().unwrap_or(Why::Lost))
            }
            () = sleep_or_forever(timeout) => Outcome::TimedOut(timeout.unwrap_or_default()),
            () = &mut writing => Outcome::Dropped(Why::Lost),
        };
        // What a handler holds is dropped with it, and may panic like everything else of it.
        let outcome = match catch_unwind(AssertUnwindSafe(|| drop(handler))) {
            Ok(()) => outcome,
            Err(panic) => self.panicked_when_dropped(outcome, &panic_text(&*panic)),
        };
        if matches!(outcome, Outcome::Dropped(Why::Lost)) {
            return outcome;
        }
        if phase_run.notes.end() {
            // It arrives before the end does, or comes back and goes with the end.
            tokio::select! {
                () = writing => {}
                () = self.stop.run_out(Duration::MAX, Duration::MAX) => {}
            }
        }
        outcome
    }

    fn panicked_when_dropped(&self, outcome: Outcome, panic: &str) -> Outcome {
        match outcome {
            Outcome::TimedOut(limit) => {
                Outcome::Panicked(format!("{panic} (when it was dropped, having timed out after {limit:?})"))
            }
            // Its job ends as it was told to, or has an end already.
            outcome => {
                tracing::error!(job = %self.job.id, %panic, "a handler panicked when it was dropped");
                outcome
            }
        }
    }

    /// Writes down what the phase says while it runs. Ends when the lease was lost, and when the phase has ended while
    /// it wrote.
    async fn write_notes(&self, phase_run: &PhaseRun) {
        let notes = &phase_run.notes;
        loop {
            notes.dirty.notified().await;
            tokio::time::sleep(NOTES_INTERVAL).await;
            // What is said after the phase was completed goes with its end: its row is locked until then.
            if phase_run.ending.is_settled() {
                continue;
            }
            let Some(said) = notes.take() else { continue };
            let unwritten = match phase_run.write(said.clone()).await {
                Ok(()) => None,
                Err(error) if error.is_lease_lost() => return,
                // A full disk must not end the phase, nor take what it said.
                Err(error) => {
                    tracing::warn!(job = %phase_run.id, %error, "failed to write progress; it is kept");
                    error.is_transient().then_some(said)
                }
            };
            if notes.written(unwritten) {
                return;
            }
        }
    }

    /// Turns an outcome into commands.
    fn conclude(
        &self,
        commands: &mut Vec<Command>,
        phase: &Phase,
        position: usize,
        outcome: Outcome,
        boundary: Boundary,
    ) {
        let spec = &self.worker.spec().phases[position];
        let error = match outcome {
            Outcome::Returned(Ok(result)) => {
                // A cursor is for the next try, and there is none.
                commands.retain(|command| matches!(command, Command::Annotate { .. }));
                commands.push(Command::CompletePhase { phase: phase.name.clone(), result });
                commands.extend(boundary.command());
                return;
            }
            // Whatever a phase answers that was told to stop, other than a result, ends as it was told.
            Outcome::Dropped(Why::Cancelled) => return commands.push(Command::AcknowledgeCancel),
            Outcome::Dropped(_) => return commands.push(Command::Release),
            Outcome::Returned(Err(_)) if self.stop.why() == Some(Why::Drained) => {
                return commands.push(Command::Release);
            }
            Outcome::Returned(Err(error)) => error,
            Outcome::TimedOut(limit) => format!("timed out after {limit:?}").into(),
            Outcome::Panicked(text) => format!("panicked: {text}").into(),
        };
        commands.push(self.failure(&error, phase, spec));
    }

    fn failure(&self, error: &PhaseError, phase: &Phase, spec: &PhaseSpec) -> Command {
        let verdict = match error.verdict {
            Verdict::Snooze(delay) => return Command::Snooze { delay },
            Verdict::Retry => machine::Verdict::Retry,
            Verdict::RetryIn(delay) => machine::Verdict::RetryIn(delay),
            Verdict::Permanent => machine::Verdict::Permanent,
        };
        Command::FailPhase {
            phase: phase.name.clone(),
            error: error.text(),
            verdict,
            retry: spec.retry.clone(),
            jitter: self.engine.entropy.jitter(),
        }
    }

    /// Makes the end of a phase durable, however long that takes while the lease is ours: the work is done, and must
    /// not be done again because a disk was full. Answers whether the job is still here.
    async fn record(&mut self, mut commands: Vec<Command>, phase: &Name) -> bool {
        let (id, epoch) = (self.job.id, self.job.epoch);
        let completes = commands.iter().any(|command| matches!(command, Command::CompletePhase { .. }));
        let ends_job = completes && self.job.next_phase().is_none();
        let mut pause = Duration::from_millis(20);
        loop {
            let request = Request { job: id, fence: self.fence, commands: commands.clone() };
            #[cfg(feature = "webhooks")]
            self.pass("before-record");
            let answer = self.engine.store.apply(request);
            self.engine.flights.recording(id, epoch, ends_job);
            let error = match answer.await {
                Ok(Applied { job, .. }) => {
                    self.job = job;
                    #[cfg(feature = "webhooks")]
                    self.pass("after-record");
                    let here = self.job.state == JobState::Running && self.job.epoch == epoch;
                    return here && self.job.running_phase().is_some() || self.is_paused();
                }
                Err(error) => error,
            };
            self.engine.flights.record_failed(id, epoch);
            if error.is_invalid() && completes {
                // A result that the store cannot take is the handler's mistake, and every further try would make it.
                let failure = Command::FailPhase {
                    phase: phase.clone(),
                    error: error.to_string(),
                    verdict: machine::Verdict::Permanent,
                    retry: Retry::never(),
                    jitter: 0.0,
                };
                // What it had to say is recorded all the same.
                commands.retain(|command| matches!(command, Command::Annotate { .. }));
                commands.push(failure);
                continue;
            }
            if !error.is_transient() || self.stop.why() == Some(Why::Lost) {
                if !error.is_lease_lost() {
                    tracing::error!(job = %id, %phase, %error, "failed to record the end of a phase");
                }
                return false;
            }
            self.engine.stats.record_retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// A place at which a test lets the process be killed, if this is a delivery.
    #[cfg(feature = "webhooks")]
    fn pass(&self, place: &str) {
        if &*self.job.kind == stepwell_core::webhook::KIND {
            crate::crash_point::pass(place);
        }
    }

    /// Whether the job is ours and between two phases.
    fn is_paused(&self) -> bool {
        self.job.state == JobState::Running && self.job.owner_fence() == Some(self.fence)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Fence::Owner { epoch, .. } = self.fence else { return };
        self.engine.flights.land(self.job.id, epoch);
    }
}

/// What a phase came to that was completed in a transaction, if that was not committed.
fn uncommitted(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Returned(Ok(_)) => {
            let problem = "`complete_in` was called, and its transaction was not committed; commit it before the phase \
                           returns, or return an error";
            Outcome::Returned(Err(problem.into()))
        }
        outcome => outcome,
    }
}

async fn sleep_or_forever(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
