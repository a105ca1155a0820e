//! Tests without waiting: storage in memory, a clock that you move, and nothing that runs by itself.

use std::{
    future::Future,
    ops::Deref,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, SystemTime},
};

use stepwell_core::{
    Clock, JobId, Json, limits,
    store::{ClaimRequest, Lane, Maintain},
};
use tokio::sync::Mutex;

use crate::{
    builder::Builder,
    client::Stepwell,
    engine::{Boundary, Flight},
    events::Change,
    handle::JobHandle,
    job::{Job, Worker},
};

/// A queue whose time stands still until [`advance`](Self::advance), and whose jobs run only inside
/// [`run_until_idle`](Self::run_until_idle) or [`step`](Self::step). Back-off takes its upper bound.
pub struct TestBed {
    stepwell: Stepwell,
    in_flight: Mutex<Option<Flight>>,
}

impl TestBed {
    /// A bed in memory with one worker.
    ///
    /// # Panics
    /// If the worker's plan is wrong.
    pub async fn with(worker: impl Worker) -> Self {
        Self::from(Stepwell::in_memory().worker(worker)).await
    }
    /// A bed with everything that the builder was given.
    ///
    /// # Panics
    /// If the queue cannot be opened.
    pub async fn from(builder: Builder) -> Self {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let opened = builder.clock(Clock::manual(start)).steady().open().await;
        Self { stepwell: opened.expect("the queue opens"), in_flight: Mutex::new(None) }
    }

    /// Runs one phase of one job, if any is due. Answers whether there was one.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn step(&self) -> bool {
        let mut in_flight = self.in_flight.lock().await;
        if let Some(mut flight) = in_flight.take() {
            if flight.begin_next().await.expect("the store answers") {
                if flight.phase(Boundary::Pause).await {
                    *in_flight = Some(flight);
                }
                return true;
            }
            // It was cancelled between two phases.
            drop(flight);
        }
        let Some(mut flight) = self.claim().await else { return false };
        if flight.phase(Boundary::Pause).await {
            *in_flight = Some(flight);
        }
        true
    }
    async fn claim(&self) -> Option<Flight> {
        let engine = &self.stepwell.engine;
        let session = engine.session().await.expect("the store answers");
        let maintain = Maintain { jitter: engine.entropy.jitter(), session: Some(session) };
        while engine.store.maintain(maintain.clone()).await.expect("the store answers").more {}
        let lanes = engine.queues.keys().map(|queue| Lane { queue: queue.clone(), at_most: 1 }).collect();
        let (plans, tokens) = (engine.plans.clone(), engine.entropy.tokens(1));
        let request = ClaimRequest { session, lanes, plans, tokens };
        let batch = engine.store.claim(request).await.expect("the store answers");
        batch.jobs.into_iter().next().and_then(|claimed| Flight::depart(engine, vec![claimed]).pop())
    }
    /// Runs everything that is due now. Nothing that is due later: not even if it takes its time.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn run_until_idle(&self) {
        while self.step().await {}
    }
    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }
    /// The phases of a job that started, in order, as `name#try`.
    ///
    /// # Panics
    /// If the store fails.
    pub fn trace(&self, job: JobId) -> Vec<String> {
        let history = block_on(self.stepwell.history(job)).expect("the store answers");
        let started = |event: &crate::Event| match &event.change {
            Change::PhaseStarted { phase, attempt } => Some(format!("{phase}#{attempt}")),
            _ => None,
        };
        history.iter().filter_map(started).collect()
    }
    /// What happened to a job, in order, by the names of the events.
    ///
    /// # Panics
    /// If the store fails.
    pub fn history_names(&self, job: JobId) -> Vec<&'static str> {
        let history = block_on(self.stepwell.history(job)).expect("the store answers");
        history.iter().map(|event| event.event_type.as_str()).collect()
    }
    /// Lets the process that runs a job between two phases die: its lease runs out, and the job is taken back.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn crash(&self) {
        drop(self.in_flight.lock().await.take());
        if let Some(session) = self.stepwell.engine.current_session() {
            self.stepwell.engine.lose_session(session);
        }
        self.advance(self.stepwell.engine.config.lease_ttl + Duration::from_secs(1));
    }
}

/// Waits on this thread. A store in memory answers at once, and any other has threads of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

impl Deref for TestBed {
    type Target = Stepwell;
    fn deref(&self) -> &Stepwell {
        &self.stepwell
    }
}

/// What [`crash_everywhere`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crashes {
    /// How many places there were at which the process could die, and did.
    pub places: usize,
    /// The job's result, the same every time.
    pub result: Json,
}

/// Runs a job again and again, each time on a fresh bed, and lets the process die behind another checkpoint: the end of
/// a phase, an element of a fan-out, a saved cursor. Checks that the job ends with the same result every time.
///
/// `bed` makes a bed with fresh workers, so that what they remember is gone as it would be.
///
/// # Panics
/// If the job does not complete, or ends with another result than without a crash; the message says behind which
/// checkpoint.
pub async fn crash_everywhere<J, B, F>(bed: B, job: impl Fn() -> J) -> Crashes
where
    J: Job,
    B: Fn() -> F,
    F: Future<Output = TestBed>,
{
    let first = bed().await;
    let undisturbed = run_crashing(&first, job(), usize::MAX).await;
    let places = first.stepwell.engine.crash_plan.passed();
    for place in 0..places {
        let result = run_crashing(&bed().await, job(), place).await;
        assert_eq!(result, undisturbed, "another result after a crash behind checkpoint {}", place + 1);
    }
    Crashes { places, result: undisturbed }
}

/// Runs a job to its end, with a crash behind one checkpoint.
async fn run_crashing<J: Job>(bed: &TestBed, job: J, crash_behind: usize) -> Json {
    let plan = bed.stepwell.engine.crash_plan.clone();
    plan.die_behind(crash_behind);
    let handle: JobHandle<J> = bed.enqueue(job).await.expect("the job is accepted");
    let mut steps = 0;
    while !handle.state().await.expect("the job exists").is_terminal() {
        assert!(steps < 100 * limits::PHASES_MAX, "the job does not end");
        steps += 1;
        let passed = plan.passed();
        let ran = bed.step().await;
        let died_inside = plan.passed() > crash_behind && passed <= crash_behind;
        if died_inside || (ran && plan.pass()) {
            bed.crash().await;
        } else if !ran {
            // It waits for a retry, or for its lease to run out.
            bed.advance(Duration::from_mins(1));
        }
    }
    handle.result_json().await.unwrap_or_else(|error| panic!("the job did not complete: {error}"))
}
