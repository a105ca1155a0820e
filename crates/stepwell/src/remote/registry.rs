//! The remote workers of this process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stepwell_core::{Error, Result, SessionId, session::Desired};
use tokio::sync::Notify;

use super::worker::Remote;

/// Remote workers that one process keeps. Each has a session, and more of them belong behind more servers.
pub(super) const WORKERS_MAX: usize = 1_000;

/// The remote workers of this process.
#[derive(Default)]
pub(crate) struct Registry {
    workers: Mutex<BTreeMap<SessionId, Arc<Remote>>>,
    /// Wakes every claim that waits: there may be something to claim.
    pub(super) ready: Notify,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, Arc<Remote>>> {
        // Nothing that can panic runs under the lock.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// There may be something to claim.
    pub(crate) fn wake(&self) {
        self.ready.notify_waiters();
    }
    /// What is wanted of the workers. Claims that wait are answered.
    pub(crate) fn hear(&self, wanted: &[(SessionId, Desired)]) {
        let mut changed = false;
        for worker in self.all() {
            changed |= worker.hear(wanted);
        }
        if changed {
            self.wake();
        }
    }
    pub(super) fn add(&self, worker: Remote) {
        self.lock().insert(worker.id, Arc::new(worker));
    }
    pub(super) fn remove(&self, id: SessionId) {
        self.lock().remove(&id);
    }
    pub(super) fn find(&self, id: SessionId) -> Result<Arc<Remote>> {
        self.lock().get(&id).cloned().ok_or_else(|| Error::no_such("worker", id.to_string()))
    }
    pub(super) fn all(&self) -> Vec<Arc<Remote>> {
        self.lock().values().cloned().collect()
    }
}
