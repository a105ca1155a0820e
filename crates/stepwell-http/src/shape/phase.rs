//! Phases on the wire.

use serde::Serialize;
use stepwell::{Failure, Json, Name, PhaseRecord};
use utoipa::ToSchema;

use super::time;

/// A phase of a job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Phase)]
pub(crate) struct PhaseView {
    /// Its name.
    #[schema(value_type = String)]
    pub(crate) name: Name,
    /// Where it stands.
    #[schema(value_type = PhaseStateName)]
    pub(crate) state: &'static str,
    /// Tries in this run.
    pub(crate) tries: u32,
    /// Tries after which a failure is final.
    pub(crate) max_tries: u32,
    /// The queue it runs in, if that is not the job's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) queue: Option<Name>,
    /// Whether an earlier try was cut off, and may have left half of its effects.
    pub(crate) interrupted: bool,
    /// What its last failed try said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// When its last try began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) started_at: Option<String>,
    /// When it completed, failed, or was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) finished_at: Option<String>,
    /// Bytes of its recorded result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_bytes: Option<usize>,
}

/// Where a phase stands.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands for the names in the description")]
pub(crate) enum PhaseStateName {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Skipped,
}

impl From<&PhaseRecord> for PhaseView {
    fn from(phase: &PhaseRecord) -> Self {
        Self {
            name: phase.name.clone(),
            state: phase.state.as_str(),
            tries: phase.tries,
            max_tries: phase.max_tries,
            queue: phase.queue.clone(),
            interrupted: phase.interrupted,
            error: phase.error.clone(),
            started_at: phase.started_at.map(time),
            finished_at: phase.finished_at.map(time),
            result_bytes: phase.result.as_ref().map(|recorded| recorded.bytes),
        }
    }
}

/// A phase of a job, with its result.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PhaseDetail {
    /// The phase.
    #[serde(flatten)]
    pub(crate) phase: PhaseView,
    /// Its recorded result, as it was written; absent if it has not completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub(crate) result: Option<Json>,
    /// Whether the result was left out because the list would be too long; ask for the phase by itself.
    #[serde(rename = "resultLeftOut", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) left_out: bool,
}

/// Why a job failed.
#[derive(Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct FailureView {
    /// The phase in which it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) phase: Option<Name>,
    /// What was said.
    pub(crate) message: String,
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        Self { phase: failure.phase.clone(), message: failure.message.clone() }
    }
}
