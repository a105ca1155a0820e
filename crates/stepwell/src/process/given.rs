//! What a child is told.

use serde::Serialize;
use stepwell_core::{Json, Name};

use crate::{notes, registered::Given};

use super::kind::{CommandKind, CommandPhase};

/// What a child is told on its standard input.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    job: ToldJob<'a>,
    phase: ToldPhase<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldJob<'a> {
    id: String,
    kind: &'a Name,
    queue: &'a Name,
    run: u32,
    payload: &'a Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldPhase<'a> {
    name: &'a Name,
    attempt: u32,
    interrupted: bool,
    checkpoint: Option<&'a Json>,
    idempotency_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    outputs: Outputs<'a>,
}

/// The outputs of the inputs, by their names and in their order.
struct Outputs<'a> {
    names: &'a [Name],
    values: &'a [Json],
}

impl Serialize for Outputs<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().zip(self.values))
    }
}

/// The object for the standard input, as a line.
pub(super) fn object(kind: &CommandKind, phase: &CommandPhase, given: &Given) -> serde_json::Result<Vec<u8>> {
    let run = &given.phase_run;
    let checkpoint = notes::lock(&run.checkpoint).clone();
    let told = Told {
        job: ToldJob {
            id: run.id.to_string(),
            kind: &kind.name,
            queue: &given.queue,
            run: run.run,
            payload: &given.payload,
        },
        phase: ToldPhase {
            name: &run.phase,
            attempt: run.tries,
            interrupted: run.interrupted,
            checkpoint: checkpoint.as_ref(),
            idempotency_key: run.idempotency_key().to_owned(),
            timeout_ms: phase.spec.timeout_ms,
            outputs: Outputs { names: &phase.spec.inputs, values: &given.inputs },
        },
    };
    let mut line = serde_json::to_vec(&told)?;
    line.push(b'\n');
    Ok(line)
}

/// The same ids as variables.
pub(super) fn variables(kind: &CommandKind, given: &Given) -> [(&'static str, String); 7] {
    let run = &given.phase_run;
    [
        ("STEPWELL_JOB_ID", run.id.to_string()),
        ("STEPWELL_KIND", kind.name.to_string()),
        ("STEPWELL_QUEUE", given.queue.to_string()),
        ("STEPWELL_RUN", run.run.to_string()),
        ("STEPWELL_PHASE", run.phase.to_string()),
        ("STEPWELL_ATTEMPT", run.tries.to_string()),
        ("STEPWELL_IDEMPOTENCY_KEY", run.idempotency_key().to_owned()),
    ]
}
