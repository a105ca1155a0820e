//! A job on its way through its phases.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::OwnedSemaphorePermit;

use super::{desk::Desk, lease::Lease, wire::Claim};

/// A job that was claimed, and the slot that it takes.
pub(super) struct Flight {
    desk: Arc<Desk>,
    _slot: OwnedSemaphorePermit,
}

impl Flight {
    /// Takes off.
    pub(super) fn depart(desk: &Arc<Desk>, claim: Claim, slot: OwnedSemaphorePermit) {
        desk.flying.send_modify(|flying| *flying += 1);
        let flight = Self { desk: desk.clone(), _slot: slot };
        // It is held from now on, and not from when the task first runs.
        let held = Held::of(desk, &claim);
        tokio::spawn(flight.fly(held, claim));
    }
    /// Runs phase after phase, until the job leaves this worker.
    async fn fly(self, mut held: Held, mut claim: Claim) {
        while let Some(next) = self.phase(&held.0, claim).await {
            // The next is held before this one is let go: a heartbeat in between finds the job.
            held = Held::of(&self.desk, &next);
            claim = next;
        }
    }
    async fn phase(&self, lease: &Arc<Lease>, claim: Claim) -> Option<Claim> {
        let desk = &self.desk;
        let generation = &desk.identity().generation;
        let run = async {
            let outcome = desk.programs.run(generation, claim.task(), lease.clone()).await;
            lease.end();
            outcome
        };
        let outcome = tokio::select! {
            (outcome, ()) = async { tokio::join!(run, lease.tell()) } => outcome,
            // With the try, its child is dropped.
            () = lease.gone() => return None,
        };
        let reported = lease.conclude(outcome).await?;
        if reported.job_state == "failed" {
            desk.has_failed.store(true, Ordering::Relaxed);
        }
        reported.next
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.desk.flying.send_modify(|flying| *flying -= 1);
    }
}

/// A lease that is let go, however its phase ends.
struct Held(Arc<Lease>, Arc<Desk>);

impl Held {
    fn of(desk: &Arc<Desk>, claim: &Claim) -> Self {
        Self(desk.take(claim), desk.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.let_go(&self.0.secret);
    }
}
