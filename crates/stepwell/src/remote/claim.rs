//! A phase as it is handed to a remote worker.

use stepwell_core::{
    Json, Name, Result, Timestamp,
    job::Job,
    plan::PlanSpec,
    store::{Claimed, Store},
};

use crate::recorded;

use super::lease::LeaseToken;

/// A phase that a remote worker has claimed, with all that it takes to run it.
#[derive(Clone, Debug)]
pub struct RemoteClaim {
    /// What the worker shows with whatever it says about this phase.
    pub lease: LeaseToken,
    /// The job.
    pub job: Job,
    /// Its payload.
    pub payload: Json,
    /// The phase's name.
    pub phase: Name,
    /// Which try of the phase this is: 1 for the first in this run of the job.
    pub attempt: u32,
    /// Whether an earlier try was cut off.
    pub interrupted: bool,
    /// What an earlier try has stored last.
    pub checkpoint: Option<Json>,
    /// The same for every try: for systems that accept such a key.
    pub idempotency_key: String,
    /// The longest that the try may run.
    pub timeout_ms: Option<u64>,
    /// The outputs of the phase's inputs, in the order of its plan.
    pub outputs: Vec<(Name, Json)>,
}

/// What a claim has brought.
#[derive(Clone, Debug, Default)]
pub struct RemoteClaims {
    /// The phases.
    pub claims: Vec<RemoteClaim>,
    /// If there are none: when the next job is due, as far as is known.
    pub next_due: Option<Timestamp>,
}

impl RemoteClaim {
    /// Reads what the running phase of a job is given. None if no phase of it runs.
    pub(super) async fn of(store: &dyn Store, claimed: Claimed, plan: &PlanSpec) -> Result<Option<Self>> {
        let Claimed { job, payload } = claimed;
        let (Some(phase), Some(held)) = (job.running_phase().cloned(), job.lease) else { return Ok(None) };
        let lease = LeaseToken {
            session: held.session,
            job: job.id,
            epoch: job.epoch,
            token: held.token,
            phase: phase.name.clone(),
        };
        let checkpoint = match phase.checkpoint {
            true => store.checkpoint(job.id, phase.stored_name().clone()).await?,
            false => None,
        };
        let spec = plan.phase(&phase.name);
        let inputs = spec.map_or(&[][..], |spec| &spec.inputs);
        let mut outputs = Vec::with_capacity(inputs.len());
        for input in inputs {
            outputs.push((input.clone(), recorded::output(store, &job, input).await?));
        }
        Ok(Some(Self {
            lease,
            idempotency_key: phase.idempotency_key(job.id),
            timeout_ms: spec.and_then(|spec| spec.timeout_ms),
            payload,
            attempt: phase.tries,
            interrupted: phase.interrupted,
            phase: phase.name,
            checkpoint,
            outputs,
            job,
        }))
    }
}
