//! A writer: new jobs, changes of jobs that all change, jobs that are worked, and what is refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};
use stepwell_core::{
    Clock, EventType, JobId, Json, Name, PhaseSpec, PlanSpec, SessionId, Timestamp, Token, Unique,
    lease::Fence,
    machine::{Command, Edit, NewJob},
    session::{About, Session},
    store::{ClaimRequest, Claimed, Lane, Request, Store, WorkedPlan},
};
use stepwell_postgres::Postgres;

use crate::told::Told;

/// How many jobs there are that all change.
pub(crate) const COMMON: u8 = 12;
/// The kind that is worked.
const WORKED: &str = "worked";
const PHASE: &str = "phase";

/// One of those.
pub(crate) fn common_job(nth: u8) -> NewJob {
    let id = JobId::from_parts(Timestamp::from_micros(1_780_000_000_000_000), [nth; 10]);
    NewJob::new(id, "common", Json::from_text("{}").unwrap())
}

struct Writer {
    store: Arc<Postgres>,
    random: StdRng,
    told: Arc<Told>,
    claims: ClaimRequest,
}

/// Writes until it is enough.
pub(crate) async fn write(store: Arc<Postgres>, random: StdRng, told: Arc<Told>, is_enough: Arc<AtomicBool>) {
    let mut writer = Writer::start(store, random, told).await;
    while !is_enough.load(Ordering::Relaxed) {
        match writer.random.random_range(0..10) {
            0..3 => writer.enqueue().await,
            3..6 => writer.edit().await,
            6 => writer.cancel().await,
            _ => writer.claim().await,
        }
    }
}

impl Writer {
    async fn start(store: Arc<Postgres>, mut random: StdRng, told: Arc<Told>) -> Self {
        let spec = PlanSpec { kind: WORKED.into(), phases: vec![PhaseSpec::new(PHASE)] };
        let plan_ref = loop {
            // Whoever terminates backends may be at it already.
            if let Ok(plans) = store.register(vec![spec.clone()]).await {
                break plans[0].clone();
            }
        };
        let mut session = Session {
            id: SessionId::from_bytes(rand::rng().random()),
            node: "node".into(),
            started_at: store.clock().now(),
            kinds: vec![(WORKED.into(), plan_ref.generation)],
            queues: vec![(Name::from(NewJob::DEFAULT_QUEUE), 10)],
            about: About::default(),
        };
        while store.open_session(session.clone()).await.is_err() {
            session.id = SessionId::from_bytes(rand::rng().random());
        }
        let claims = ClaimRequest {
            session: session.id,
            lanes: vec![Lane { queue: NewJob::DEFAULT_QUEUE.into(), at_most: random.random_range(1..4) }],
            plans: Arc::new(vec![WorkedPlan { spec: Arc::new(spec), plan_ref }]),
            tokens: Vec::new(),
        };
        Self { store, random, told, claims }
    }

    fn new_job(&mut self, kind: &str) -> NewJob {
        let id = JobId::from_parts(Clock::system().now(), rand::rng().random());
        NewJob::new(id, kind, Json::of(&self.random.random::<u32>()).unwrap())
    }

    /// Some of them are refused: by the operation that finds the key taken, and by the database, which finds that an id
    /// is taken. Then everything that was written with it is taken back, and written once more.
    async fn enqueue(&mut self) {
        let mut jobs: Vec<NewJob> =
            (0..self.random.random_range(1..5)).map(|_| self.new_job(WORKED)).collect();
        let key = self.random.random_range(0..20_u8);
        jobs.push(NewJob { unique: Some(Unique::key(format!("key-{key}"))), ..self.new_job("unique") });
        if self.random.random_bool(0.2) {
            let mut taken = self.new_job("taken");
            taken.id = common_job(self.random.random_range(0..COMMON)).id;
            jobs.insert(self.random.random_range(0..jobs.len()), taken);
        }
        // It may fail as a whole, when its connection is terminated too often. Nothing of that was acknowledged.
        for enqueued in self.store.enqueue(jobs).await.into_iter().flatten().flatten() {
            if !enqueued.duplicate {
                self.told.add(enqueued.id, EventType::Enqueued);
            }
        }
    }

    async fn edit(&mut self) {
        let job = common_job(self.random.random_range(0..COMMON)).id;
        let priority = self.random.random_range(-9_000..9_000);
        let edit = Command::Edit(Edit { priority: Some(priority), ..Edit::default() });
        // Outdated, mostly.
        let fence = if self.random.random_bool(0.2) { Fence::Version(1) } else { Fence::None };
        let applied = self.store.apply(Request { job, fence, commands: vec![edit] }).await;
        if applied.is_ok_and(|applied| applied.changed) {
            self.told.add(job, EventType::Edited);
        }
    }

    async fn cancel(&mut self) {
        let job = self.new_job("own");
        let id = job.id;
        if !matches!(self.store.enqueue(vec![job]).await.as_deref(), Ok([Ok(_)])) {
            return;
        }
        self.told.add(id, EventType::Enqueued);
        let cancel = Command::Cancel { grace: Duration::ZERO };
        let applied = self.store.apply(Request { job: id, fence: Fence::None, commands: vec![cancel] }).await;
        if applied.is_ok_and(|applied| applied.changed) {
            self.told.add(id, EventType::Cancelled);
        }
    }

    async fn claim(&mut self) {
        let tokens = (0..4).map(|_| Token::from_bytes(rand::rng().random())).collect();
        let request = ClaimRequest { tokens, ..self.claims.clone() };
        let Ok(batch) = self.store.claim(request).await else { return };
        let worked = batch.jobs.iter().map(|Claimed { job, .. }| {
            self.told.add(job.id, EventType::Started);
            let lease = job.lease.as_ref().unwrap();
            let complete =
                Command::CompletePhase { phase: PHASE.into(), result: Json::from_text("1").unwrap() };
            self.store.apply(Request {
                job: job.id,
                fence: Fence::Owner { epoch: job.epoch, token: lease.token },
                commands: vec![complete, Command::StartPhase],
            })
        });
        for (worked, Claimed { job, .. }) in
            futures_util::future::join_all(worked).await.into_iter().zip(&batch.jobs)
        {
            if worked.is_ok_and(|applied| applied.changed) {
                self.told.add(job.id, EventType::PhaseCompleted);
                self.told.add(job.id, EventType::Completed);
            }
        }
    }
}
