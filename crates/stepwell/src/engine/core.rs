//! What all parts of an engine share, and how it opens and closes.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use stepwell_core::{
    Error, Name, Result, SessionId, Timestamp,
    session::{About, Desired, Session},
    store::{Change, Store, WorkedPlan},
    webhook,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{Notify, watch},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{blocking::BlockingPool, entropy::Entropy, registered::AnyWorker};

#[cfg(feature = "webhooks")]
use super::courier;
use super::{
    caretaker, config::Config, dispatcher, flights::Flights, heartbeat::Heartbeat, idle::Looks,
    pressure::Pressure, shutdown::Ending, tail::Tail,
};

/// The time between two looks at what became of an inbox row.
const MOMENT: Duration = Duration::from_millis(50);

/// How far the engine is on its way. It only ever goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    Running,
    /// Nothing more is claimed.
    Draining,
    Stopped,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) workers: BTreeMap<Name, Arc<dyn AnyWorker>>,
    pub(crate) queues: BTreeMap<Name, usize>,
    pub(crate) entropy: Entropy,
    pub(crate) config: Config,
    #[cfg(feature = "webhooks")]
    pub(crate) webhooks: Arc<crate::webhook::Outbox>,
}

pub(crate) struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) workers: BTreeMap<Name, Arc<dyn AnyWorker>>,
    pub(crate) plans: Arc<Vec<WorkedPlan>>,
    /// The plan of deliveries, which have claims of their own.
    pub(crate) delivery_plans: Arc<Vec<WorkedPlan>>,
    pub(crate) queues: BTreeMap<Name, usize>,
    pub(crate) config: Config,
    pub(crate) entropy: Entropy,
    pub(crate) flights: Flights,
    pub(crate) tail: Tail,
    pub(crate) remote: crate::remote::Registry,
    pub(crate) pool: BlockingPool,
    pub(crate) stats: Stats,
    #[cfg(feature = "testing")]
    pub(crate) crash_plan: Arc<super::CrashPlan>,
    #[cfg(feature = "webhooks")]
    pub(crate) webhooks: Arc<crate::webhook::Outbox>,
    pub(super) stage: watch::Sender<Stage>,
    pub(super) ending: Ending,
    pub(super) heartbeat: Heartbeat,
    pub(super) pressure: Pressure,
    /// Woken when there may be work to claim.
    pub(super) work: Notify,
    /// What claims have come to.
    pub(super) looks: watch::Sender<Looks>,
    /// Woken when there may be cancellations or an inbox to look after.
    pub(super) attention: Notify,
    /// When the next waiting job becomes due, in microseconds, as far as is known here.
    pub(super) due: AtomicI64,
    /// The same for deliveries, which have claims of their own.
    #[cfg(feature = "webhooks")]
    pub(super) delivery_due: AtomicI64,
    /// Woken when there are new events for webhooks.
    #[cfg(feature = "webhooks")]
    pub(super) log_grown: Notify,
    pub(super) session: Mutex<Option<SessionId>>,
    /// What an operator wants of this process, as far as it has heard.
    pub(super) desired: watch::Sender<Desired>,
    /// Held while a session is opened, so that two who need one do not open two.
    opening: tokio::sync::Mutex<()>,
    /// The engine's own thread, on which everything but handlers runs.
    pub(super) thread: Handle,
    _thread: DropGuard,
    pub(super) tasks: TaskTracker,
    /// What claims, apart from the other tasks: it ends before anything else does.
    pub(super) claims: TaskTracker,
    pub(super) fallback: Fallback,
}

/// Where handlers run if the application has no runtime. Whoever drops it, be it a task of another runtime, does not
/// wait for them.
#[derive(Default)]
pub(super) struct Fallback(Mutex<Option<Runtime>>);

impl Fallback {
    fn lock(&self) -> MutexGuard<'_, Option<Runtime>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn handle(&self) -> Handle {
        let start = || {
            let built = Builder::new_multi_thread().enable_all().thread_name("stepwell-handler").build();
            // Without threads there is nothing to run handlers on, here or anywhere else in the process.
            built.expect("the machine can start threads")
        };
        self.lock().get_or_insert_with(start).handle().clone()
    }
    pub(super) fn stop(&self) {
        if let Some(runtime) = self.lock().take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Fallback {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Counts of what should be rare.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Ends of phases that had to be written more than once, because the store was busy or full.
    pub(crate) record_retries: AtomicU64,
}

impl Engine {
    pub(crate) async fn open(parts: Parts) -> Result<Arc<Self>> {
        let Parts { store, workers, queues, entropy, config, .. } = parts;
        let specs: Vec<_> = workers.values().map(|worker| worker.spec().clone()).collect();
        let refs = store.register(specs.iter().map(|spec| (**spec).clone()).collect()).await?;
        let worked = specs.into_iter().zip(refs).map(|(spec, plan_ref)| WorkedPlan { spec, plan_ref });
        let (delivery_plans, plans): (Vec<_>, Vec<_>) =
            worked.partition(|plan| &*plan.spec.kind == webhook::KIND);
        let (thread, thread_guard) = own_thread()?;
        let engine = Arc::new(Self {
            flights: Flights::new(&queues),
            tail: Tail::new(store.clone(), thread.clone(), entropy.jitter()),
            remote: crate::remote::Registry::default(),
            pool: BlockingPool::new(config.blocking_threads),
            stats: Stats::default(),
            #[cfg(feature = "testing")]
            crash_plan: Arc::default(),
            #[cfg(feature = "webhooks")]
            webhooks: parts.webhooks,
            stage: watch::Sender::new(Stage::Open),
            ending: Ending::default(),
            heartbeat: Heartbeat::default(),
            pressure: Pressure::default(),
            work: Notify::new(),
            looks: watch::Sender::default(),
            attention: Notify::new(),
            due: AtomicI64::new(i64::MAX),
            #[cfg(feature = "webhooks")]
            delivery_due: AtomicI64::new(i64::MAX),
            #[cfg(feature = "webhooks")]
            log_grown: Notify::new(),
            opening: tokio::sync::Mutex::default(),
            session: Mutex::new(None),
            desired: watch::Sender::new(Desired::Run),
            thread,
            _thread: thread_guard,
            tasks: TaskTracker::new(),
            claims: TaskTracker::new(),
            fallback: Fallback::default(),
            plans: Arc::new(plans),
            delivery_plans: Arc::new(delivery_plans),
            store,
            workers,
            queues,
            config,
            entropy,
        });
        let weak = Arc::downgrade(&engine);
        engine.store.listen(Box::new(move |change| Self::notice(&weak, change)));
        Ok(engine)
    }

    fn notice(engine: &Weak<Self>, change: Change) {
        let Some(engine) = engine.upgrade() else { return };
        if let Some(due) = change.due {
            engine.learn_due(Some(due));
        }
        if change.ready || change.foreign || change.due.is_some() {
            engine.work.notify_one();
            engine.remote.wake();
        }
        if change.cancelling || change.desired || change.foreign {
            engine.attention.notify_one();
        }
        if change.events || change.foreign {
            engine.tail.wake();
            #[cfg(feature = "webhooks")]
            engine.log_grown.notify_one();
        }
    }
    pub(super) fn learn_due(&self, due: Option<Timestamp>) {
        if let Some(due) = due {
            self.due.fetch_min(due.as_micros(), Ordering::AcqRel);
            #[cfg(feature = "webhooks")]
            self.delivery_due.fetch_min(due.as_micros(), Ordering::AcqRel);
        }
    }

    /// Begins to run jobs, unless it has begun before or is closing.
    pub(crate) fn start(self: &Arc<Self>) {
        let begun = self.stage.send_if_modified(|stage| {
            let begin = *stage == Stage::Open;
            if begin {
                *stage = Stage::Running;
            }
            begin
        });
        if begun {
            let handlers = self.handlers();
            self.claims.spawn_on(dispatcher::run(self.clone(), handlers), &self.thread);
            self.tasks.spawn_on(caretaker::run(self.clone()), &self.thread);
            #[cfg(feature = "webhooks")]
            self.start_webhooks();
        }
    }
    #[cfg(feature = "webhooks")]
    fn start_webhooks(self: &Arc<Self>) {
        if self.webhooks.options.idle {
            return;
        }
        match self.webhooks.start() {
            Ok(senders) => {
                self.tasks.spawn_on(courier::fan_out(self.clone()), &self.thread);
                // It claims, too, and ends with the dispatcher.
                self.claims.spawn_on(courier::run(self.clone(), senders), &self.thread);
            }
            // What is to be sent waits for a process that can.
            Err(error) => tracing::error!(%error, "webhooks are not sent by this process"),
        }
    }
    fn handlers(&self) -> Handle {
        Handle::try_current().unwrap_or_else(|_| self.fallback.handle())
    }

    /// The session, opened if there is none.
    pub(crate) async fn session(&self) -> Result<SessionId> {
        let _opening = self.opening.lock().await;
        if let Some(session) = self.current_session() {
            return Ok(session);
        }
        let now = self.store.clock().now();
        let id = self.entropy.session_id(now);
        let plans = self.plans.iter().chain(&*self.delivery_plans);
        let kinds = plans.map(|plan| (plan.spec.kind.clone(), plan.plan_ref.generation));
        let session = Session {
            id,
            node: self.config.node.clone(),
            started_at: now,
            kinds: kinds.collect(),
            queues: self.queues.iter().map(|(queue, limit)| (queue.clone(), *limit)).collect(),
            about: About {
                host: Some(self.config.host.clone()),
                pid: Some(std::process::id()),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                remote: false,
            },
        };
        self.store.open_session(session).await?;
        let desired = *self.desired.borrow();
        if desired != Desired::Run {
            // It was wanted of the process, and not of the session that it has lost.
            self.store.want(id, desired).await?;
        }
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        Ok(id)
    }
    /// A session is dead, or must be taken for dead: whatever runs in it must stop and may write nothing more.
    ///
    /// A process that stood still finds out in several places at once. Only the first does something: the others would
    /// take the next session, which may run jobs by then, for the dead one.
    pub(crate) fn lose_session(&self, dead: SessionId) {
        let mut current = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != Some(dead) {
            return;
        }
        *current = None;
        // Before another session can be opened, so that nothing of that is asked.
        self.flights.ask_all(super::stop::Why::Lost);
        drop(current);
        self.work.notify_one();
        // Whatever it still owns need not wait until the others find it dead, and what was kept for it goes.
        let store = self.store.clone();
        self.thread.spawn(async move {
            if let Err(error) = store.close_session(dead).await {
                tracing::warn!(session = %dead, %error, "failed to close a dead session; it is found later");
            }
        });
    }
    pub(crate) fn current_session(&self) -> Option<SessionId> {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.stage.borrow() >= Stage::Draining
    }
    /// Whether nothing is to be claimed, although the process goes on.
    pub(super) fn is_quiet(&self) -> bool {
        *self.desired.borrow() != Desired::Run
    }
    pub(crate) fn stop_claiming(&self) {
        if self.advance(Stage::Draining) {
            // So that the others learn of it.
            self.attention.notify_one();
        }
    }
    /// Goes on to a stage, and answers whether it was before it.
    pub(super) fn advance(&self, to: Stage) -> bool {
        self.stage.send_if_modified(|stage| {
            let forward = *stage < to;
            if forward {
                *stage = to;
            }
            forward
        })
    }

    /// A short while, whether or not the caller's runtime has timers.
    pub(crate) async fn moment(&self) {
        // Only the end of the engine's thread cuts it short, and the next look then says that all is closed.
        self.thread.spawn(tokio::time::sleep(MOMENT)).await.ok();
    }
}

/// Starts the thread on which everything but handlers runs, until the guard is dropped.
fn own_thread() -> Result<(Handle, DropGuard)> {
    let failed = |error: std::io::Error| Error::storage("start the engine's thread", error);
    let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let run = move || runtime.block_on(stopped.cancelled());
    std::thread::Builder::new().name("stepwell-engine".into()).spawn(run).map_err(failed)?;
    Ok((handle, stop.drop_guard()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Ctx, Job, PhaseResult, Stepwell};

    #[derive(Serialize, Deserialize)]
    struct Sum(u32, u32);
    impl Job for Sum {
        const KIND: &'static str = "sum";
        type Output = u32;
    }
    async fn sum(cx: &Ctx<Sum>) -> PhaseResult<u32> {
        Ok(cx.job().0 + cx.job().1)
    }

    #[test]
    fn a_program_without_a_runtime_gets_one_and_ends_without_a_panic() {
        static PANICKED: AtomicBool = AtomicBool::new(false);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some("stepwell-engine") {
                PANICKED.store(true, Ordering::SeqCst);
            }
            report(panic);
        }));
        let caller = Builder::new_current_thread().build().unwrap();
        let stepwell = caller.block_on(Stepwell::in_memory().worker_fn(sum).open()).unwrap();
        // On no runtime.
        let workers = stepwell.start();
        let job = caller.block_on(async { stepwell.enqueue(Sum(1, 2)).await }).unwrap();
        assert_eq!(caller.block_on(job.result()).unwrap(), 3);
        // Ends with the engine's thread, and so after everything that happens there.
        let last = stepwell.engine.thread.spawn(std::future::pending::<()>());
        drop((job, workers, stepwell));
        assert!(caller.block_on(last).unwrap_err().is_cancelled());
        assert!(!PANICKED.load(Ordering::SeqCst), "the end of the last handle makes nothing panic");
    }
}
