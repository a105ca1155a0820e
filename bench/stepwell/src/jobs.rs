//! Jobs whose phases do nothing, so that only the queue is measured.
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stepwell::{Ctx, Job, Phase, PhaseResult, Plan, Worker};
use stepwell_bench_subject::{Ledger, Payload};

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OnePhase(pub(crate) Payload);

impl Job for OnePhase {
    const KIND: &'static str = "one_phase";
    type Output = ();
}

pub(crate) struct RunOnePhase {
    pub(crate) ledger: Arc<Ledger>,
}

impl Worker for RunOnePhase {
    type Job = OnePhase;

    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        plan.phase("read", (), Self::read)
    }
}

impl RunOnePhase {
    async fn read(&self, cx: &Ctx<OnePhase>) -> PhaseResult<()> {
        self.ledger.handle(&cx.job().0);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ThreePhases(pub(crate) Payload);

impl Job for ThreePhases {
    const KIND: &'static str = "three_phases";
    type Output = ();
}

pub(crate) struct RunThreePhases {
    pub(crate) ledger: Arc<Ledger>,
}

impl Worker for RunThreePhases {
    type Job = ThreePhases;

    fn plan(plan: &Plan<Self>) -> Phase<'_, ()> {
        let read = plan.phase("read", (), Self::read);
        let hash = plan.phase("hash", read, Self::hash);
        plan.phase("store", hash, Self::store)
    }
}

impl RunThreePhases {
    async fn read(&self, _: &Ctx<ThreePhases>) -> PhaseResult<()> {
        Ok(())
    }

    async fn hash(&self, _: &Ctx<ThreePhases>, (): ()) -> PhaseResult<()> {
        Ok(())
    }

    async fn store(&self, cx: &Ctx<ThreePhases>, (): ()) -> PhaseResult<()> {
        self.ledger.handle(&cx.job().0);
        Ok(())
    }
}
