//! Who the worker is to the server, and what it holds.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Method;
use stepwell::process::Programs;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    lease::{Lease, Why},
    link::{Call, Link, Trouble},
    pause::Pause,
    wire::{Claim, Claimed, Kind, Nothing, Registered, Registration, Wanted},
};
use crate::{
    failure::{FailedTo, Failure},
    output::beside,
    worker::options::Lanes,
};

/// How long the server may take to hear that the worker ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Who the worker is to the server, and what it holds.
pub(super) struct Desk {
    pub(super) link: Link,
    pub(super) programs: Programs,
    registration: serde_json::Value,
    identity: Mutex<Arc<Identity>>,
    /// Held while the worker registers, so that two who find it unknown do not register it twice.
    registering: tokio::sync::Mutex<()>,
    /// By their secrets.
    held: Mutex<BTreeMap<String, Arc<Lease>>>,
    /// How many jobs are under way.
    pub(super) flying: watch::Sender<usize>,
    /// What an operator wants.
    pub(super) is_quiet: watch::Sender<bool>,
    /// Nothing more is claimed.
    pub(super) drained: CancellationToken,
    /// Whatever runs is killed, and nothing more is said.
    pub(super) aborted: CancellationToken,
    pub(super) has_failed: AtomicBool,
    claims: AtomicU64,
    trouble: mpsc::UnboundedSender<Failure>,
}

/// A registration.
pub(super) struct Identity {
    pub(super) id: String,
    /// How long leases outlive the last heartbeat.
    pub(super) lease: Duration,
    pub(super) beat_every: Duration,
    /// The generation of the server's store.
    pub(super) generation: String,
}

impl Desk {
    /// Registers the worker. Answers also where it is told of what ends it.
    ///
    /// # Errors
    /// If the server refuses it, or does not answer.
    pub(super) async fn open(
        link: Link,
        programs: Programs,
        name: &str,
        lanes: &Lanes,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Failure>), Failure> {
        let kinds = programs.plans().map(Kind::of).collect::<Result<_, _>>()?;
        let queues = lanes.keys().map(|queue| &**queue).collect();
        let registration =
            serde_json::to_value(Registration { name, queues, kinds }).failed_to("register")?;
        let identity = register(&link, &registration).await.map_err(Trouble::failure)?;
        programs.end_strays(&identity.generation).await.failed_to("begin")?;
        let (trouble, told) = mpsc::unbounded_channel();
        let desk = Self {
            link,
            programs,
            registration,
            identity: Mutex::new(Arc::new(identity)),
            registering: tokio::sync::Mutex::default(),
            held: Mutex::default(),
            flying: watch::Sender::new(0),
            is_quiet: watch::Sender::new(false),
            drained: CancellationToken::new(),
            aborted: CancellationToken::new(),
            has_failed: AtomicBool::new(false),
            claims: AtomicU64::new(0),
            trouble,
        };
        Ok((desk, told))
    }
    pub(super) fn identity(&self) -> Arc<Identity> {
        lock(&self.identity).clone()
    }
    /// The worker cannot go on.
    pub(super) fn give_up(&self, failure: Failure) {
        // Nobody listens when it ends already.
        self.trouble.send(failure).ok();
    }

    /// Registers anew, because the server does not know this worker any more: what it held is not its own.
    ///
    /// # Errors
    /// If the server refuses it.
    pub(super) async fn register_again(&self, unknown: &Identity) -> Result<(), Failure> {
        let _registering = self.registering.lock().await;
        if self.identity().id != unknown.id {
            return Ok(());
        }
        self.lose_all();
        let mut pause = Pause::new();
        while !self.aborted.is_cancelled() {
            match register(&self.link, &self.registration).await {
                Ok(identity) => {
                    beside("stepwell: the server did not know this worker any more; it has registered anew");
                    *lock(&self.identity) = Arc::new(identity);
                    return Ok(());
                }
                Err(Trouble::Away(_, after)) => pause.wait(after).await,
                Err(trouble) => return Err(trouble.failure()),
            }
        }
        Ok(())
    }

    /// Claims phases of one queue. Ends early, with none, when nothing more is to be claimed.
    ///
    /// # Errors
    /// If the server refuses it.
    pub(super) async fn claim(&self, queue: &str, max: usize, wait: Duration) -> Result<Claimed, Failure> {
        let claimed = async {
            let mut pause = Pause::new();
            loop {
                let identity = self.identity();
                let nth = self.claims.fetch_add(1, Ordering::Relaxed);
                let key = format!("{}-{nth}", identity.id);
                match self.claim_under(&key, &identity, queue, max, wait).await {
                    Ok(claimed) => return Ok(claimed),
                    Err(Trouble::Unknown(_)) => self.register_again(&identity).await?,
                    Err(Trouble::Away(_, after)) => pause.wait(after).await,
                    Err(trouble) => return Err(trouble.failure()),
                }
            }
        };
        tokio::select! {
            claimed = claimed => claimed,
            // What is on its way is given back with the end of the worker.
            () = self.drained.cancelled() => Ok(Claimed { claims: Vec::new(), next_due_ms: None }),
        }
    }
    /// The same claim, until its answer has come.
    async fn claim_under(
        &self,
        key: &str,
        identity: &Identity,
        queue: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Claimed, Trouble> {
        let wanted = Wanted { worker_id: &identity.id, queues: [queue], max, wait_ms: wait.as_millis() };
        let call = Call { key: Some(key), wait, ..Call::post("claim a phase", "/api/v1/claims") };
        let mut pause = Pause::new();
        loop {
            match self.link.ask(&call, &wanted).await {
                Err(Trouble::Away(_, after)) => pause.wait(after).await,
                answer => return answer,
            }
        }
    }

    /// Takes a phase that was claimed.
    pub(super) fn take(self: &Arc<Self>, claim: &Claim) -> Arc<Lease> {
        let lease = Arc::new(Lease::new(self.clone(), claim.lease.clone(), claim.named()));
        lock(&self.held).insert(claim.lease.clone(), lease.clone());
        lease
    }
    pub(super) fn let_go(&self, lease: &str) {
        lock(&self.held).remove(lease);
    }
    pub(super) fn held(&self) -> Vec<Arc<Lease>> {
        lock(&self.held).values().cloned().collect()
    }
    pub(super) fn lose_all(&self) {
        self.held().iter().for_each(|lease| lease.ask(Why::Lost));
    }

    /// Waits until nothing is under way.
    pub(super) async fn landed(&self) {
        // It cannot be closed while it is looked at.
        self.flying.subscribe().wait_for(|flying| *flying == 0).await.ok();
    }
    /// Says that the worker ends: what it still holds is given back. Answers whether the server has heard it.
    pub(super) async fn leave(&self) -> bool {
        let path = format!("/api/v1/workers/{}", self.identity().id);
        let call = Call { method: Method::DELETE, ..Call::post("end the worker", &path) };
        let told = async {
            let mut pause = Pause::new();
            loop {
                match self.link.ask(&call, &Nothing {}).await {
                    Err(Trouble::Away(_, after)) => pause.wait(after).await,
                    Ok(()) | Err(Trouble::Unknown(_)) => return true,
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(FAREWELL, told).await.unwrap_or(false)
    }
}

async fn register(link: &Link, registration: &serde_json::Value) -> Result<Identity, Trouble> {
    let call = Call::post("register this worker", "/api/v1/workers");
    let registered: Registered = link.ask(&call, registration).await?;
    let Registered { id, lease_ms, heartbeat_ms, generation } = registered;
    let [lease, beat_every] = [lease_ms, heartbeat_ms].map(Duration::from_millis);
    Ok(Identity { id, lease, beat_every, generation })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic runs under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
