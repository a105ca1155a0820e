//! A store under test, its clock, and short words for what the cases do with them.

use std::{sync::Arc, time::Duration};

use stepwell_core::{
    Clock, Event, Job, JobId, Json, Name, Phase, PhaseSpec, PhaseState, PlanSpec, Result, SessionId,
    Timestamp, Token,
    event::EventFilter,
    lease::Fence,
    limits,
    machine::{Command, NewJob},
    queue::{Queue, QueueChange},
    retention::Retention,
    session::Session,
    store::{
        Applied, ClaimRequest, Claimed, ClaimedBatch, EventPage, Lane, Maintain, Maintained, Request, Store,
        WorkedPlan, inbox::InboxEntry,
    },
};

use crate::fixture::{Fixture, ViewRow};

/// The kind that most cases use. Its plan is `a`, `b`, `c`, each with the result of the one before it.
pub const KIND: &str = "k";
/// The queue of jobs that name none.
pub const QUEUE: &str = NewJob::DEFAULT_QUEUE;

/// A store under test.
pub struct World {
    fixture: Box<dyn Fixture>,
    made: u32,
}

/// A session, and what it works.
#[derive(Clone)]
pub struct Worker {
    /// The session.
    pub session: SessionId,
    /// The plans it works by.
    pub plans: Arc<Vec<WorkedPlan>>,
    /// The queues it works.
    pub queues: Vec<Name>,
}

/// What a worker holds of a job that it claimed.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The job.
    pub id: JobId,
    /// The fence of the claim.
    pub fence: Fence,
    /// The row as it was claimed.
    pub job: Job,
    /// The payload.
    pub payload: Json,
}

impl World {
    /// Around a fresh store.
    #[must_use]
    pub fn new(fixture: Box<dyn Fixture>) -> Self {
        Self { fixture, made: 0 }
    }
    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.fixture.store()
    }
    /// The store's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.store().clock()
    }
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }
    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }
    /// Lets so much time pass that whoever does not beat is dead.
    pub fn outlive_sessions(&self) {
        self.advance(self.fixture.session_ttl() + Duration::from_secs(1));
    }
    /// Closes the store and opens it again; false if it cannot.
    pub async fn reopen(&mut self) -> bool {
        self.fixture.reopen().await
    }
    /// The rows of a view, if there are views.
    pub async fn view(&self, name: &str) -> Option<Vec<ViewRow>> {
        self.fixture.view(name).await
    }
    /// Writes a row into the inbox; false if the table refused it.
    pub async fn push_inbox(&self, entry: InboxEntry) -> bool {
        self.fixture.push_inbox(entry).await
    }

    fn fresh(&mut self) -> [u8; 16] {
        self.made += 1;
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&self.made.to_be_bytes());
        bytes
    }
    /// A new id.
    pub fn id(&mut self) -> JobId {
        let mut random = [0; 10];
        random.copy_from_slice(&self.fresh()[6..]);
        JobId::from_parts(self.now(), random)
    }
    /// A new token.
    pub fn token(&mut self) -> Token {
        Token::from_bytes(self.fresh())
    }
    /// A job of a kind, with the defaults.
    pub fn job_of(&mut self, kind: &str) -> NewJob {
        NewJob::new(self.id(), kind, json(r#"{"n":1}"#))
    }
    /// A job of the usual kind, with the defaults.
    pub fn new_job(&mut self) -> NewJob {
        self.job_of(KIND)
    }
    /// A job of the usual kind with a unique key.
    pub fn unique_job(&mut self, key: &str) -> NewJob {
        NewJob { unique: Some(stepwell_core::Unique::key(key)), ..self.new_job() }
    }
    /// Enqueues one job.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn try_put(&self, new: NewJob) -> Result<stepwell_core::store::Enqueued> {
        let mut answers = self.store().enqueue(vec![new]).await.expect("the batch is answered");
        answers.pop().expect("one answer for one job")
    }
    /// Enqueues one job that is new.
    pub async fn put(&self, new: NewJob) -> JobId {
        let id = new.id;
        let enqueued = self.try_put(new).await.expect("the job is stored");
        assert_eq!((enqueued.id, enqueued.duplicate), (id, false));
        id
    }
    /// Enqueues a job of the usual kind.
    pub async fn add(&mut self) -> JobId {
        let new = self.new_job();
        self.put(new).await
    }

    /// A job's row.
    pub async fn row(&self, id: JobId) -> Job {
        self.store().job(id).await.expect("the job can be read").expect("the job exists")
    }
    /// Whether a job exists.
    pub async fn exists(&self, id: JobId) -> bool {
        self.store().job(id).await.expect("the job can be read").is_some()
    }
    /// A job's events.
    pub async fn history(&self, id: JobId) -> Vec<Event> {
        self.store().history(id, 0, limits::PAGE_MAX).await.expect("the history can be read")
    }
    /// The types of a job's events.
    pub async fn types(&self, id: JobId) -> Vec<&'static str> {
        self.history(id).await.iter().map(|event| event.ty.as_str()).collect()
    }
    /// The last event of a job.
    pub async fn last_event(&self, id: JobId) -> Event {
        self.history(id).await.pop().expect("the job has an event")
    }
    /// Every event that is kept, of internal kinds as well.
    pub async fn all_events(&self) -> Vec<Event> {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let page = self.events(after, EventFilter { internal: true, ..EventFilter::default() }).await;
            if page.next <= after {
                return events;
            }
            after = page.next;
            events.extend(page.events);
        }
    }
    /// A page of events.
    pub async fn events(&self, after: u64, filter: EventFilter) -> EventPage {
        self.store().events(after, 1_000, filter).await.expect("the events can be read")
    }

    /// Changes what is set of a queue, and answers with what is set then.
    pub async fn change_queue(&self, name: &str, change: QueueChange) -> Queue {
        self.store().change_queue(name.into(), change).await.expect("the queue is changed")
    }
    /// A worker of the usual kind and queue.
    pub async fn worker(&mut self) -> Worker {
        self.worker_of(vec![plan()], &[QUEUE]).await
    }
    /// A worker with these plans, registered, and a live session.
    pub async fn worker_of(&mut self, plans: Vec<PlanSpec>, queues: &[&str]) -> Worker {
        let refs = self.store().register(plans.clone()).await.expect("the plans are registered");
        let plans: Vec<WorkedPlan> = plans
            .into_iter()
            .zip(refs)
            .map(|(spec, plan_ref)| WorkedPlan { spec: Arc::new(spec), plan_ref })
            .collect();
        let session = Session {
            id: SessionId::from_bytes(self.fresh()),
            node: format!("node-{}", self.made),
            started_at: self.now(),
            kinds: plans.iter().map(|plan| (plan.spec.kind.clone(), plan.plan_ref.generation)).collect(),
            queues: queues.iter().map(|queue| (Name::from(*queue), 10)).collect(),
            about: stepwell_core::session::About::default(),
        };
        let worker = Worker {
            session: session.id,
            plans: Arc::new(plans),
            queues: queues.iter().map(|queue| Name::from(*queue)).collect(),
        };
        self.store().open_session(session).await.expect("the session opens");
        worker
    }
    /// Claims from every queue of a worker.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn try_claim(&mut self, worker: &Worker, at_most: usize) -> Result<ClaimedBatch> {
        let lanes = worker.queues.iter().map(|queue| Lane { queue: queue.clone(), at_most }).collect();
        let tokens = (0..at_most).map(|_| self.token()).collect();
        self.claim_with(worker, lanes, tokens).await
    }
    /// Claims with these lanes and tokens.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn claim_with(
        &self,
        worker: &Worker,
        lanes: Vec<Lane>,
        tokens: Vec<Token>,
    ) -> Result<ClaimedBatch> {
        let plans = Arc::clone(&worker.plans);
        self.store().claim(ClaimRequest { session: worker.session, lanes, plans, tokens }).await
    }
    /// Claims up to so many jobs.
    pub async fn claim(&mut self, worker: &Worker, at_most: usize) -> Vec<Hold> {
        let batch = self.try_claim(worker, at_most).await.expect("the claim is answered");
        batch.jobs.into_iter().map(hold).collect()
    }
    /// Claims the one job that is ready.
    pub async fn claim_one(&mut self, worker: &Worker) -> Hold {
        let mut holds = self.claim(worker, 10).await;
        assert_eq!(holds.len(), 1, "one job is ready");
        holds.pop().expect("one job was claimed")
    }
    /// A worker, and a job of the usual kind that it has claimed.
    pub async fn claimed(&mut self) -> (Worker, Hold) {
        let worker = self.worker().await;
        self.add().await;
        let hold = self.claim_one(&worker).await;
        (worker, hold)
    }

    /// Sends commands for one job.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn send(&self, job: JobId, fence: Fence, commands: Vec<Command>) -> Result<Applied> {
        self.store().apply(Request { job, fence, commands }).await
    }
    /// Sends one command of an owner.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn own(&self, hold: &Hold, command: Command) -> Result<Applied> {
        self.send(hold.id, hold.fence, vec![command]).await
    }
    /// Sends one command of a caller who names the job and nothing else.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn ask(&self, job: JobId, command: Command) -> Result<Applied> {
        self.send(job, Fence::None, vec![command]).await
    }
    /// Ends a phase, and starts the next in the same commit, as the engine does.
    pub async fn complete(&self, hold: &Hold, phase: &str) -> Job {
        let end = complete(phase, &format!(r#"{{"of":"{phase}"}}"#));
        let done = self.send(hold.id, hold.fence, vec![end, Command::StartPhase]).await;
        done.expect("the phase's end is recorded").job
    }
    /// Runs all three phases of the usual plan.
    pub async fn finish(&self, hold: &Hold) -> Job {
        self.complete(hold, "a").await;
        self.finish_from_b(hold).await
    }
    /// Runs what is left after phase `a`.
    pub async fn finish_from_b(&self, hold: &Hold) -> Job {
        self.complete(hold, "b").await;
        self.complete(hold, "c").await
    }
    /// A pass of maintenance, with no jitter.
    pub async fn maintain(&self) -> Maintained {
        self.maintain_for(None, 0.0).await
    }
    /// A pass of maintenance that a session asks for.
    pub async fn maintain_for(&self, session: Option<SessionId>, jitter: f64) -> Maintained {
        self.store().maintain(Maintain { jitter, session }).await.expect("maintenance passes")
    }
    /// Prunes until nothing more goes, and answers how many jobs and rows of events went.
    pub async fn prune(&self, retention: Retention) -> (usize, usize) {
        let (mut jobs, mut event_rows) = (0, 0);
        loop {
            let pruned = self.store().prune(retention.clone()).await.expect("retention passes");
            jobs += pruned.jobs;
            event_rows += pruned.event_rows;
            if !pruned.more {
                return (jobs, event_rows);
            }
        }
    }
    /// Kills a worker: its session dies, and what it owns is taken from it.
    pub async fn kill(&self, worker: &Worker) {
        self.store().close_session(worker.session).await.expect("the session closes");
        self.maintain().await;
    }
}

/// What a worker holds of a claimed job.
#[must_use]
pub fn hold(claimed: Claimed) -> Hold {
    let fence = claimed.job.owner_fence().expect("a claimed job has a lease");
    Hold { id: claimed.job.id, fence, job: claimed.job, payload: claimed.payload }
}

/// A JSON text.
#[must_use]
pub fn json(text: &str) -> Json {
    Json::from_text(text).expect("the case's own JSON is valid")
}

/// A JSON string of so many bytes, the quotes included.
#[must_use]
pub fn json_of_bytes(bytes: usize) -> Json {
    json(&format!("\"{}\"", "x".repeat(bytes - 2)))
}

/// The plan of the usual kind.
#[must_use]
pub fn plan() -> PlanSpec {
    plan_of(KIND, &["a", "b", "c"])
}

/// A plan of phases, each with the result of the one before it.
#[must_use]
pub fn plan_of(kind: &str, phases: &[&str]) -> PlanSpec {
    let spec = |position: usize| PhaseSpec {
        inputs: position.checked_sub(1).map(|before| phases[before].into()).into_iter().collect(),
        ..PhaseSpec::new(phases[position])
    };
    PlanSpec { kind: kind.into(), phases: (0..phases.len()).map(spec).collect() }
}

/// The end of a phase.
#[must_use]
pub fn complete(phase: &str, result: &str) -> Command {
    Command::CompletePhase { phase: phase.into(), result: json(result) }
}

/// So many seconds.
#[must_use]
pub const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The states of a job's phases, a letter each: completed, running, pending, failed, skipped, and X for cancelled.
#[must_use]
pub fn shape(job: &Job) -> String {
    let letter = |phase: &Phase| match phase.state {
        PhaseState::Pending => 'P',
        PhaseState::Running => 'R',
        PhaseState::Completed => 'C',
        PhaseState::Failed => 'F',
        PhaseState::Cancelled => 'X',
        PhaseState::Skipped => 'S',
    };
    job.phases.iter().map(letter).collect()
}

/// What an event says beside its columns.
#[must_use]
pub fn data(event: &Event) -> serde_json::Value {
    event.data.decode().expect("an event's data is JSON")
}
