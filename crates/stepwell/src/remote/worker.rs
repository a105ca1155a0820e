//! One remote worker.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stepwell_core::{JobId, Name, SessionId, Timestamp, plan::PlanSpec, session::Desired, store::WorkedPlan};

/// Answers to claims that are kept, in case one did not arrive.
const CLAIMS_KEPT: usize = 64;

/// A worker that is to be registered.
#[derive(Clone, Debug)]
pub struct NewRemoteWorker {
    /// What people call it.
    pub name: String,
    /// The queues that it works.
    pub queues: BTreeSet<Name>,
    /// The kinds that it works, and their phases.
    pub kinds: Vec<PlanSpec>,
}

/// A remote worker, as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWorker {
    /// Its id, which is that of its session.
    pub id: SessionId,
    /// What people call it.
    pub name: String,
    /// The queues that it works.
    pub queues: BTreeSet<Name>,
    /// The kinds that it works.
    pub kinds: BTreeSet<Name>,
    /// What an operator wants of it.
    pub desired: Desired,
}

/// A worker as this process keeps it.
pub(super) struct Remote {
    pub(super) id: SessionId,
    pub(super) name: String,
    pub(super) queues: BTreeSet<Name>,
    pub(super) plans: Arc<Vec<WorkedPlan>>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) desired: Desired,
    /// What the answer to its last heartbeat told it of that.
    pub(super) told: Desired,
    /// Whether it says itself that it claims nothing more.
    pub(super) quiet: bool,
    /// Whether it is being ended here: it is as unknown from then on as it is afterwards.
    pub(super) ended: bool,
    /// Claims whose answer is on its way to the store.
    pub(super) claiming: usize,
    /// What it owns and did not name in the last heartbeat, and since when it has named that in none.
    pub(super) unnamed: HashMap<(JobId, u64), Timestamp>,
    answered: VecDeque<(String, Vec<(JobId, u64)>)>,
}

impl Remote {
    pub(super) fn new(id: SessionId, new: NewRemoteWorker, plans: Vec<WorkedPlan>) -> Self {
        let NewRemoteWorker { name, queues, .. } = new;
        Self { id, name, queues, plans: Arc::new(plans), state: Mutex::default() }
    }
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// What is wanted of it, among others. Answers whether that is something else than before.
    pub(super) fn hear(&self, wanted: &[(SessionId, Desired)]) -> bool {
        let Some((_, desired)) = wanted.iter().find(|(id, _)| *id == self.id) else { return false };
        let mut state = self.lock();
        let next = state.desired.then(*desired);
        std::mem::replace(&mut state.desired, next) != next
    }
    pub(super) fn plan(&self, kind: &Name) -> Option<&WorkedPlan> {
        self.plans.iter().find(|plan| plan.spec.kind == *kind)
    }
    pub(super) fn shown(&self) -> RemoteWorker {
        RemoteWorker {
            id: self.id,
            name: self.name.clone(),
            queues: self.queues.clone(),
            kinds: self.plans.iter().map(|plan| plan.spec.kind.clone()).collect(),
            desired: self.lock().desired,
        }
    }
}

impl State {
    /// Whether it may claim.
    pub(super) fn claims(&self) -> bool {
        self.desired == Desired::Run && !self.quiet && !self.ended
    }
    /// Whether it may not claim, and knows that. One that does not know yet would ask again at once.
    pub(super) fn knows_better(&self) -> bool {
        self.quiet || self.ended || (self.desired != Desired::Run && self.told != Desired::Run)
    }
    /// What a claim under this key brought.
    pub(super) fn answer(&self, key: &str) -> Option<Vec<(JobId, u64)>> {
        self.answered.iter().find(|(known, _)| known == key).map(|(_, jobs)| jobs.clone())
    }
    pub(super) fn keep(&mut self, key: String, jobs: Vec<(JobId, u64)>) {
        self.answered.push_back((key, jobs));
        if self.answered.len() > CLAIMS_KEPT {
            self.answered.pop_front();
        }
    }
}
