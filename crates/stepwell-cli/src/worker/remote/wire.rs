//! What a worker sends, and what it is answered.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stepwell::{Json, PhaseSpec, PlanSpec, process::Task};

use crate::failure::{FailedTo, Failure};

#[derive(Serialize)]
pub(super) struct Registration<'a> {
    pub(super) name: &'a str,
    pub(super) queues: Vec<&'a str>,
    pub(super) kinds: Vec<Kind<'a>>,
}

#[derive(Serialize)]
pub(super) struct Kind<'a> {
    kind: &'a str,
    phases: Vec<Phase<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Phase<'a> {
    name: &'a str,
    inputs: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    retry: Value,
}

impl<'a> Kind<'a> {
    pub(super) fn of(plan: &'a PlanSpec) -> Result<Self, Failure> {
        let phases = plan.phases.iter().map(Phase::of).collect::<Result<_, _>>()?;
        Ok(Self { kind: &plan.kind, phases })
    }
}

impl<'a> Phase<'a> {
    fn of(spec: &'a PhaseSpec) -> Result<Self, Failure> {
        // As it is stored, but for the name of its form, which the fields tell.
        let mut retry = serde_json::to_value(&spec.retry).failed_to("write a phase's retries")?;
        if let Some(retry) = retry.as_object_mut() {
            retry.remove("backoff");
        }
        Ok(Self {
            name: &spec.name,
            inputs: spec.inputs.iter().map(|input| &**input).collect(),
            queue: spec.queue.as_deref(),
            renamed_from: spec.renamed_from.as_deref(),
            timeout_ms: spec.timeout_ms,
            retry,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Registered {
    pub(super) id: String,
    pub(super) lease_ms: u64,
    pub(super) heartbeat_ms: u64,
    pub(super) generation: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted<'a> {
    pub(super) worker_id: &'a str,
    pub(super) queues: [&'a str; 1],
    pub(super) max: usize,
    pub(super) wait_ms: u128,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Claimed {
    pub(super) claims: Vec<Claim>,
    pub(super) next_due_ms: Option<u64>,
}

/// A phase that is the worker's to run. (It is not flattened, since JSON that is kept as it is does not bear that.)
#[derive(Deserialize)]
pub(super) struct Claim {
    pub(super) lease: String,
    job: stepwell::process::TaskJob,
    phase: stepwell::process::TaskPhase,
}

impl Claim {
    pub(super) fn task(self) -> Task {
        Task { job: self.job, phase: self.phase }
    }
    pub(super) fn named(&self) -> String {
        format!("phase {} of job {}", self.phase.name, self.job.id)
    }
}

#[derive(Serialize)]
pub(super) struct Beat<'a> {
    pub(super) state: &'static str,
    pub(super) leases: Vec<&'a str>,
}

#[derive(Deserialize)]
pub(super) struct Beaten {
    pub(super) desired: Desired,
    pub(super) leases: Vec<Standing>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Desired {
    Run,
    Quiet,
    Terminate,
}

#[derive(Deserialize)]
pub(super) struct Standing {
    pub(super) lease: String,
    pub(super) status: Status,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    Held,
    Cancel,
    Lost,
}

#[derive(Serialize)]
pub(super) struct Checkpoint<'a> {
    pub(super) value: &'a Json,
}

#[derive(Serialize)]
pub(super) struct Lines<'a> {
    pub(super) lines: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Completion<'a> {
    pub(super) output: &'a Json,
    pub(super) claim_next: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FailedTry<'a> {
    pub(super) error: ErrorText<'a>,
    pub(super) retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after_ms: Option<u128>,
}

#[derive(Serialize)]
pub(super) struct ErrorText<'a> {
    pub(super) message: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snooze {
    pub(super) delay_ms: u128,
}

#[derive(Serialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reported {
    pub(super) job_state: String,
    pub(super) next: Option<Claim>,
}

/// What a refusal says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    pub(super) code: String,
    #[serde(default)]
    pub(super) retryable: bool,
    pub(super) retry_after_ms: Option<u64>,
}
