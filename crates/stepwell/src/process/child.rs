//! A try of an isolated phase, in the child that was started for it.

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt;
use stepwell_core::{Clock, Error, Json, Name, Result};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    blocking::BlockingPool,
    builder::Builder,
    client::Stepwell,
    ctx::PhaseRun,
    ending::Ending,
    engine::panic_text,
    notes::Notes,
    phase_error::PhaseError,
    registered::{AnyWorker, Given},
};

use super::{
    launch,
    parent::{self, Parent},
    task::{Task, TaskJob, TaskPhase},
};

/// Threads of the child's runtime: one for the handler, and one that hears the parent, whatever the handler does.
const THREADS: usize = 2;
/// The exit code of a child that could not run its phase.
const NOT_RUN: i32 = 70;

/// Whether isolated phases can run as children of this process.
static CAN_ISOLATE: AtomicBool = AtomicBool::new(false);

/// As [`begin`](super::begin), for a program with [isolated](crate::Phase::isolated) phases: it says which workers the
/// program has. In a child that was started for such a phase this runs the phase, and never returns.
///
/// The workers are given to a builder that is never opened, on a runtime with two threads. Nothing else of `main`
/// happens in a child: what a worker needs, it makes in here, or when it first needs it.
///
/// ```no_run
/// use stepwell::{Builder, Ctx, Job, Phase, PhaseResult, Plan, Stepwell, Worker};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Frame(u32);
/// impl Job for Frame {
///     const KIND: &'static str = "frame";
///     type Output = u64;
/// }
///
/// struct Renderer;
/// impl Worker for Renderer {
///     type Job = Frame;
///     fn plan(plan: &Plan<Self>) -> Phase<'_, u64> {
///         plan.blocking("render", (), Self::render).isolated()
///     }
/// }
/// impl Renderer {
///     fn render(&self, cx: &Ctx<Frame>) -> PhaseResult<u64> {
///         Ok(u64::from(cx.job().0) * 2) // a library that may hang, or crash
///     }
/// }
///
/// fn workers(builder: Builder) -> Builder {
///     builder.worker(Renderer)
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     stepwell::process::begin_with(workers);
///     serve()
/// }
///
/// #[tokio::main]
/// async fn serve() -> Result<(), Box<dyn std::error::Error>> {
///     let stepwell = workers(Stepwell::sqlite("app.db")).open().await?;
///     let _workers = stepwell.start();
///     println!("{}", stepwell.enqueue(Frame(1)).await?.result().await?);
///     Ok(())
/// }
/// ```
pub fn begin_with(workers: impl FnOnce(Builder) -> Builder) {
    if launch::is_isolated() {
        let code = match run(workers) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("failed to run an isolated phase: {error}");
                NOT_RUN
            }
        };
        // What a handler has left running on other threads ends with the process.
        std::process::exit(code);
    }
    launch::begin();
    CAN_ISOLATE.store(true, Ordering::Relaxed);
}

/// Whether isolated phases can run as children of this process.
pub(crate) fn can_isolate() -> bool {
    CAN_ISOLATE.load(Ordering::Relaxed)
}

fn run(workers: impl FnOnce(Builder) -> Builder) -> io::Result<()> {
    launch::prepare_this()?;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let outcome = {
        let _runtime = runtime.enter();
        // From now on a wish to stop is heard.
        let asked = CancellationToken::new();
        let (mut wishes, cancelled) = (signal(SignalKind::terminate())?, asked.clone());
        runtime.spawn(async move {
            wishes.recv().await;
            cancelled.cancel();
        });
        let (parent, task) = Parent::meet()?;
        let worker = workers(Stepwell::in_memory()).worker_of(&task.job.kind);
        let trying = runtime.spawn(async move {
            match worker {
                Ok(worker) => try_once(worker, task, Arc::new(parent), asked).await,
                Err(error) => Err(PhaseError::permanent(error)),
            }
        });
        runtime.block_on(trying).map_err(io::Error::other)?
    };
    // What a handler has left running on other threads is not waited for.
    runtime.shutdown_background();
    parent::conclude(&outcome).map_err(io::Error::other)
}

async fn try_once(
    worker: Arc<dyn AnyWorker>,
    task: Task,
    parent: Arc<Parent>,
    cancelled: CancellationToken,
) -> Result<Json, PhaseError> {
    let Task { job, phase } = task;
    let position = worker.spec().phases.iter().position(|spec| spec.name == phase.name);
    let Some(position) = position else {
        let text = format!("this program has no phase `{}` of `{}`", phase.name, job.kind);
        return Err(PhaseError::permanent(text));
    };
    let inputs = inputs(&worker.spec().phases[position].inputs, &phase)?;
    let phase_run = Arc::new(phase_run(&job, phase, parent, cancelled));
    let TaskJob { payload, queue, .. } = job;
    let pool = BlockingPool::new(1);
    let given = Given { payload, queue, inputs, elements: Vec::new(), phase_run: phase_run.clone(), pool };
    let telling = tokio::spawn(tell(phase_run.clone()));
    let outcome = AssertUnwindSafe(worker.run(position, given)).catch_unwind().await;
    telling.abort();
    for command in phase_run.notes.rest(&phase_run.phase) {
        phase_run.write(command).await.map_err(PhaseError::from)?;
    }
    outcome.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic)).into()))
}

fn inputs(names: &[Name], phase: &TaskPhase) -> Result<Vec<Json>, PhaseError> {
    let find = |name: &Name| phase.outputs.get(name).cloned();
    let found = names
        .iter()
        .map(|name| find(name).ok_or_else(|| Error::no_such("result of phase", name.to_string())));
    Ok(found.collect::<Result<_>>()?)
}

fn phase_run(job: &TaskJob, phase: TaskPhase, parent: Arc<Parent>, cancelled: CancellationToken) -> PhaseRun {
    PhaseRun {
        id: job.id,
        run: job.run,
        epoch: job.epoch,
        stored_name: phase.name.clone(),
        phase: phase.name,
        tries: phase.attempt,
        interrupted: phase.interrupted,
        discarded: 0,
        idempotency_key: OnceLock::from(phase.idempotency_key),
        cancelled,
        checkpoint: Mutex::new(phase.checkpoint),
        notes: Notes::new(Clock::system()),
        ending: Ending::default(),
        owner: None,
        parent: Some(parent),
    }
}

/// Tells the parent what the handler says for people. When that is written down is for the parent to say.
async fn tell(phase_run: Arc<PhaseRun>) {
    loop {
        phase_run.notes.dirty.notified().await;
        if let Some(said) = phase_run.notes.take() {
            let told = phase_run.write(said).await;
            phase_run.notes.written(None);
            if told.is_err() {
                return;
            }
        }
    }
}
