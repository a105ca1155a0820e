//! Registering, claiming, heartbeats.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use stepwell_core::{
    Error, JobId, Name, Result, SessionId, Timestamp,
    lease::Fence,
    limits,
    machine::Command,
    name,
    session::{About, Desired, Session, SessionState},
    store::{ClaimRequest, Claimed, Lane, Request, Store, WorkedPlan},
    time::Stopwatch,
};

use crate::{client::Stepwell, engine::Engine};

use super::{
    claim::{RemoteClaim, RemoteClaims},
    lease::LeaseToken,
    registry::WORKERS_MAX,
    worker::{NewRemoteWorker, Remote, RemoteWorker},
};

/// What part of a lease passes before something is forgotten that no heartbeat names: half of the third after which
/// the next one is due.
const LEASE_PER_FORGOTTEN: u32 = 6;
/// Phases in one claim of a remote worker.
const CLAIM_MAX: usize = 100;
/// The longest that a claim waits.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a claim that waits looks for itself.
const LOOK: Duration = Duration::from_secs(1);
/// Queues, and kinds, of one worker.
const NAMES_MAX: usize = 100;

/// What remote workers do: see [`Stepwell::remote_workers`].
#[derive(Clone, Copy)]
pub struct RemoteWorkers<'s> {
    pub(super) stepwell: &'s Stepwell,
}

/// What a worker wants to claim.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of these queues only, out of those that it works; of all if there are none.
    pub queues: BTreeSet<Name>,
    /// Of these kinds only, out of those that it works; of all if there are none.
    pub kinds: BTreeSet<Name>,
    /// How many phases at most: 1 to 100.
    pub max: usize,
    /// How long to wait for the first one: at most 30 s.
    pub wait: Duration,
    /// Under this key the same claim is answered in the same way.
    pub once: Option<String>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// What an operator wants of the worker.
    pub desired: Desired,
    /// How the leases stand that were named, in their order.
    pub leases: Vec<Held>,
}

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The phase is the worker's to run.
    Held,
    /// It is, but somebody wants it stopped.
    Cancelled,
    /// It is not: the worker need not go on.
    Lost,
}

impl Stepwell {
    /// Workers that are programs elsewhere, and claim phases by calls: over HTTP, say.
    pub fn remote_workers(&self) -> RemoteWorkers<'_> {
        RemoteWorkers { stepwell: self }
    }
}

impl RemoteWorkers<'_> {
    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.stepwell.engine
    }
    pub(super) fn store(&self) -> &dyn Store {
        &*self.engine().store
    }
    /// How long a lease outlives the last heartbeat of its worker.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.engine().config.lease_ttl
    }

    /// Registers a worker. It is alive from now on, as long as it sends heartbeats.
    ///
    /// # Errors
    /// If it has no name, no queue or no kind, or too many; if a kind's phases are no plan; if there are too many
    /// workers; or if the store fails.
    pub async fn register(&self, new: NewRemoteWorker) -> Result<RemoteWorker> {
        check(&new)?;
        let (engine, store) = (self.engine(), self.store());
        self.forget_dead().await?;
        if engine.remote.all().len() >= WORKERS_MAX {
            let problem = format!("are {WORKERS_MAX} already at this server; ask another, or end some");
            return Err(Error::invalid("workers", problem));
        }
        let refs = store.register(new.kinds.clone()).await?;
        let plans = new.kinds.iter().cloned().zip(refs);
        let plans: Vec<WorkedPlan> =
            plans.map(|(spec, plan_ref)| WorkedPlan { spec: Arc::new(spec), plan_ref }).collect();
        let now = store.clock().now();
        let id = engine.entropy.session_id(now);
        let session = Session {
            id,
            node: new.name.clone(),
            started_at: now,
            kinds: plans.iter().map(|plan| (plan.spec.kind.clone(), plan.plan_ref.generation)).collect(),
            queues: new.queues.iter().map(|queue| (queue.clone(), CLAIM_MAX)).collect(),
            about: About { remote: true, ..About::default() },
        };
        store.open_session(session).await?;
        let remote = Remote::new(id, new, plans);
        let shown = remote.shown();
        engine.remote.add(remote);
        Ok(shown)
    }

    /// The workers that are registered at this process.
    #[must_use]
    pub fn list(&self) -> Vec<RemoteWorker> {
        self.engine().remote.all().iter().map(|worker| worker.shown()).collect()
    }
    /// One of them.
    ///
    /// # Errors
    /// If there is no such worker here.
    pub fn get(&self, worker: SessionId) -> Result<RemoteWorker> {
        self.engine().remote.find(worker).map(|worker| worker.shown())
    }

    /// Ends a worker: what it still has is given back. To tell one from elsewhere that it is to end by itself, there is
    /// [`Stepwell::want`].
    ///
    /// # Errors
    /// If there is no such worker here, or the store fails.
    pub async fn deregister(&self, worker: SessionId) -> Result<()> {
        let remote = self.engine().remote.find(worker)?;
        remote.lock().ended = true;
        // A claim that it still waits for would wait for nothing.
        self.engine().remote.wake();
        for (job, fence, cancelling) in self.store().owned(worker).await? {
            self.give_back(job, fence, cancelling).await?;
        }
        self.store().close_session(worker).await?;
        self.engine().remote.remove(worker);
        Ok(())
    }

    /// Keeps a worker alive, and tells it how its leases stand. What it has and does not name in two heartbeats, at
    /// least half an interval apart, is given back: the answer to its claim was lost. One that has something to say
    /// sends several at once, and may have the answer still before it.
    ///
    /// # Errors
    /// If there is no such worker here, as when it was taken for dead: then it registers anew, and what it had is not
    /// its own any more. If the store fails.
    pub async fn heartbeat(
        &self,
        worker: SessionId,
        quiet: bool,
        leases: &[LeaseToken],
    ) -> Result<Heartbeat> {
        let remote = self.engine().remote.find(worker)?;
        let store = self.engine().store.clone();
        // A store across a network takes its time for it.
        let beat = tokio::task::spawn_blocking(move || store.beat(worker)).await;
        if !beat.map_err(|error| Error::storage("record a heartbeat", error))??.alive {
            self.bury(worker).await?;
            return Err(Error::no_such("worker", worker.to_string()));
        }
        remote.hear(&self.store().wanted().await?);
        let is_news = std::mem::replace(&mut remote.lock().quiet, quiet) != quiet;
        if is_news {
            let state = if quiet { SessionState::Quiet } else { SessionState::Running };
            self.store().tell(worker, state).await?;
        }
        let before = remote.lock().claiming;
        let owned = self.store().owned(worker).await?;
        let mut standing = HashMap::new();
        for (job, fence, cancelling) in owned {
            if let Fence::Owner { epoch, .. } = fence {
                standing.insert((job, epoch), (fence, cancelling));
            }
        }
        let named: HashSet<(JobId, u64)> = leases.iter().map(|lease| (lease.job, lease.epoch)).collect();
        let held = |lease: &LeaseToken| match standing.get(&(lease.job, lease.epoch)) {
            Some((fence, cancelling)) if *fence == lease.fence() => match cancelling {
                true => Held::Cancelled,
                false => Held::Held,
            },
            _ => Held::Lost,
        };
        let (desired, ended) = {
            let state = remote.lock();
            (state.desired, state.ended)
        };
        if ended {
            return Err(Error::no_such("worker", worker.to_string()));
        }
        let answer = Heartbeat { desired, leases: leases.iter().map(held).collect() };
        if std::mem::replace(&mut remote.lock().told, desired) != desired || is_news {
            // Now it knows why its claim brings nothing.
            self.engine().remote.wake();
        }
        let forgotten = {
            let mut state = remote.lock();
            let now = self.engine().store.clock().now();
            let unnamed = standing.keys().filter(|key| !named.contains(*key));
            let unnamed: HashMap<(JobId, u64), Timestamp> =
                unnamed.map(|key| (*key, state.unnamed.get(key).copied().unwrap_or(now))).collect();
            // A claim that is under way has an answer that the worker cannot know yet.
            let settled = before == 0 && state.claiming == 0;
            let long = self.lease() / LEASE_PER_FORGOTTEN;
            let forgotten = unnamed.iter().filter(|(_, since)| settled && now.since(**since) >= long);
            let forgotten: Vec<(JobId, u64)> = forgotten.map(|(key, _)| *key).collect();
            state.unnamed = if settled { unnamed } else { HashMap::new() };
            forgotten
        };
        for key in forgotten {
            if let Some((fence, cancelling)) = standing.get(&key) {
                tracing::warn!(job = %key.0, %worker, "a job of this worker is not run by it; it is given back");
                self.give_back(key.0, *fence, *cancelling).await?;
            }
        }
        Ok(answer)
    }

    /// Claims phases, and waits for the first one if so wished.
    ///
    /// # Errors
    /// If there is no such worker here; if a limit is broken; or if the store fails.
    pub async fn claim(&self, worker: SessionId, wanted: Wanted) -> Result<RemoteClaims> {
        let remote = self.engine().remote.find(worker)?;
        if !(1..=CLAIM_MAX).contains(&wanted.max) {
            return Err(Error::invalid("max", format!("is {}; it is 1 to {CLAIM_MAX}", wanted.max)));
        }
        if wanted.wait > WAIT_MAX {
            let problem =
                format!("is {} ms; it is at most {} ms", wanted.wait.as_millis(), WAIT_MAX.as_millis());
            return Err(Error::invalid("waitMs", problem));
        }
        let known = wanted.once.as_ref().and_then(|key| remote.lock().answer(key));
        if let Some(jobs) = known {
            return Ok(RemoteClaims { claims: self.again(&remote, jobs).await?, next_due: None });
        }
        let claimed = self.wait_for(&remote, &wanted).await?;
        if let Some(key) = wanted.once.filter(|_| !claimed.claims.is_empty()) {
            let jobs = claimed.claims.iter().map(|claim| (claim.job.id, claim.job.epoch)).collect();
            remote.lock().keep(key, jobs);
        }
        Ok(claimed)
    }

    async fn wait_for(&self, remote: &Remote, wanted: &Wanted) -> Result<RemoteClaims> {
        let engine = self.engine();
        let waited = Stopwatch::start();
        loop {
            // From here on nothing is missed.
            let mut ready = pin!(engine.remote.ready.notified());
            ready.as_mut().enable();
            let (claims, knows_better) = {
                let state = remote.lock();
                (state.claims(), state.knows_better())
            };
            if engine.is_draining() || knows_better {
                return Ok(RemoteClaims::default());
            }
            let claimed = match claims {
                true => {
                    // Not while it waits: a worker that always waits for more would never get rid of what it lost.
                    let _counted = Counted::one(remote);
                    self.claim_now(remote, wanted).await?
                }
                false => RemoteClaims::default(),
            };
            let left = wanted.wait.saturating_sub(waited.elapsed());
            if !claimed.claims.is_empty() || left.is_zero() {
                return Ok(claimed);
            }
            let until_due = claimed.next_due.map_or(LOOK, |due| due.since(engine.store.clock().now()));
            tokio::select! {
                () = ready => {}
                () = tokio::time::sleep(left.min(LOOK).min(until_due.max(Duration::from_millis(1)))) => {}
            }
        }
    }

    async fn claim_now(&self, remote: &Remote, wanted: &Wanted) -> Result<RemoteClaims> {
        let engine = self.engine();
        let wants = |names: &BTreeSet<Name>, name: &Name| names.is_empty() || names.contains(name);
        let queues = remote.queues.iter().filter(|queue| wants(&wanted.queues, queue));
        let lanes: Vec<Lane> =
            queues.map(|queue| Lane { queue: queue.clone(), at_most: wanted.max }).collect();
        let plans = remote.plans.iter().filter(|plan| wants(&wanted.kinds, &plan.spec.kind)).cloned();
        let plans: Vec<WorkedPlan> = plans.collect();
        if lanes.is_empty() || plans.is_empty() {
            return Ok(RemoteClaims::default());
        }
        let tokens = engine.entropy.tokens(wanted.max);
        let request = ClaimRequest { session: remote.id, lanes, plans: Arc::new(plans), tokens };
        let batch = match self.store().claim(request).await {
            Err(error) if error.is_lease_lost() => {
                self.bury(remote.id).await?;
                return Err(Error::no_such("worker", remote.id.to_string()));
            }
            batch => batch?,
        };
        let mut claims = Vec::with_capacity(batch.jobs.len());
        for claimed in batch.jobs {
            claims.extend(self.hand_out(remote, claimed).await?);
        }
        let next_due = batch.next_due.filter(|_| claims.is_empty());
        Ok(RemoteClaims { claims, next_due })
    }

    pub(super) async fn hand_out(&self, remote: &Remote, claimed: Claimed) -> Result<Option<RemoteClaim>> {
        let Some(plan) = remote.plan(&claimed.job.kind) else { return Ok(None) };
        RemoteClaim::of(self.store(), claimed, &plan.spec).await
    }

    /// What an earlier claim brought, as far as it is still this worker's.
    async fn again(&self, remote: &Remote, jobs: Vec<(JobId, u64)>) -> Result<Vec<RemoteClaim>> {
        let mut claims = Vec::with_capacity(jobs.len());
        for (id, epoch) in jobs {
            let Some(job) = self.store().job(id).await? else { continue };
            let mine = job.epoch == epoch && job.lease.is_some_and(|lease| lease.session == remote.id);
            let Some(payload) = self.store().payload(id).await?.filter(|_| mine) else { continue };
            claims.extend(self.hand_out(remote, Claimed { job, payload }).await?);
        }
        Ok(claims)
    }

    pub(super) async fn give_back(&self, job: JobId, fence: Fence, cancelling: bool) -> Result<()> {
        let command = if cancelling { Command::AcknowledgeCancel } else { Command::Release };
        match self.store().apply(Request { job, fence, commands: vec![command] }).await {
            Err(error) if !error.is_lease_lost() && !error.is_wrong_state() => Err(error),
            _ => Ok(()),
        }
    }

    /// A worker that was taken for dead: what is kept for it goes.
    async fn bury(&self, worker: SessionId) -> Result<()> {
        self.engine().remote.remove(worker);
        self.store().close_session(worker).await
    }
    async fn forget_dead(&self) -> Result<()> {
        let workers = self.engine().remote.all();
        if workers.is_empty() {
            return Ok(());
        }
        let live: HashSet<SessionId> =
            self.store().sessions().await?.into_iter().map(|session| session.id).collect();
        for worker in workers.iter().filter(|worker| !live.contains(&worker.id)) {
            self.bury(worker.id).await?;
        }
        Ok(())
    }
}

/// A claim under way.
struct Counted<'r>(&'r Remote);

impl<'r> Counted<'r> {
    fn one(remote: &'r Remote) -> Self {
        remote.lock().claiming += 1;
        Self(remote)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.lock().claiming -= 1;
    }
}

fn check(new: &NewRemoteWorker) -> Result<()> {
    let wrong = |field: &str, problem: &str| Err(Error::invalid(field, problem));
    if new.name.is_empty() || new.name.len() > limits::NAME_BYTES_MAX {
        return wrong("name", "must be 1 to 200 bytes long");
    }
    if new.queues.is_empty() || new.queues.len() > NAMES_MAX {
        return wrong("queues", "must name 1 to 100 queues");
    }
    if new.kinds.is_empty() || new.kinds.len() > NAMES_MAX {
        return wrong("kinds", "must name 1 to 100 kinds");
    }
    for queue in &new.queues {
        name::check("queues", queue)?;
    }
    let mut seen = BTreeSet::new();
    for spec in &new.kinds {
        if crate::is_internal(&spec.kind) {
            return wrong("kinds", "must not begin with `stepwell.`, which is Stepwell's own");
        }
        if !seen.insert(&spec.kind) {
            return wrong("kinds", "must name each kind once");
        }
    }
    Ok(())
}
