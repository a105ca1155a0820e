//! One try of a phase, as its child is told of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell_core::{JobId, Json, Name, plan::PhaseSpec};

use crate::{notes, registered::Given};

/// One try of a phase: what its child is told on its standard input, and what a claim over HTTP brings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The job.
    pub job: TaskJob,
    /// The phase.
    pub phase: TaskPhase,
}

/// The job of a try.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskJob {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: Name,
    /// The queue that it is in.
    pub queue: Name,
    /// 1, and one more with each operator's retry.
    pub run: u32,
    /// Rises with each claim of the job.
    pub epoch: u64,
    /// What it is about.
    pub payload: Json,
}

/// The phase of a try.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskPhase {
    /// Its name.
    pub name: Name,
    /// Which try of it this is: 1 for the first in this run of the job.
    pub attempt: u32,
    /// Whether an earlier try was cut off, and may have left half of its effects.
    pub interrupted: bool,
    /// What an earlier try has stored last.
    pub checkpoint: Option<Json>,
    /// The same for every try: for systems that accept such a key.
    pub idempotency_key: String,
    /// The longest that the try may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The outputs of its inputs, by their names.
    pub outputs: BTreeMap<Name, Json>,
}

impl Task {
    /// The try that a worker of this process is given.
    pub(crate) fn of(kind: &Name, spec: &PhaseSpec, given: &Given) -> Self {
        let run = &given.phase_run;
        let outputs = spec.inputs.iter().cloned().zip(given.inputs.iter().cloned());
        Self {
            job: TaskJob {
                id: run.id,
                kind: kind.clone(),
                queue: given.queue.clone(),
                run: run.run,
                epoch: run.epoch,
                payload: given.payload.clone(),
            },
            phase: TaskPhase {
                name: run.phase.clone(),
                attempt: run.tries,
                interrupted: run.interrupted,
                checkpoint: notes::lock(&run.checkpoint).clone(),
                idempotency_key: run.idempotency_key().to_owned(),
                timeout_ms: spec.timeout_ms,
                outputs: outputs.collect(),
            },
        }
    }

    /// The object for the standard input, as a line.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        // What is passed on as it was written may have lines: outside of a string, as none is inside of one.
        let mut line = serde_json::to_string(self)?.replace('\n', " ");
        line.push('\n');
        Ok(line.into_bytes())
    }
    /// The same ids as variables.
    pub(super) fn variables(&self) -> [(&'static str, String); 7] {
        let Self { job, phase } = self;
        [
            ("STEPWELL_JOB_ID", job.id.to_string()),
            ("STEPWELL_KIND", job.kind.to_string()),
            ("STEPWELL_QUEUE", job.queue.to_string()),
            ("STEPWELL_RUN", job.run.to_string()),
            ("STEPWELL_PHASE", phase.name.to_string()),
            ("STEPWELL_ATTEMPT", phase.attempt.to_string()),
            ("STEPWELL_IDEMPOTENCY_KEY", phase.idempotency_key.clone()),
        ]
    }
}
