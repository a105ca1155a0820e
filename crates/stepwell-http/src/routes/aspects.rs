//! What there is to know about one job.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use serde::Serialize;
use serde_json::{Value, json};
use stepwell::{Explanation, Name};
use utoipa::ToSchema;

use super::jobs::Named;
use crate::{
    front::Problem,
    hub::Hub,
    shape::{PhaseDetail, PhaseView, time},
};

/// A list without pages: it is short by its nature.
#[derive(Serialize, ToSchema)]
pub(crate) struct Whole<T> {
    /// What is on it.
    pub(crate) data: Vec<T>,
}

/// Bytes of the results that a list of phases holds; one that does not fit in is asked for by itself.
const RESULTS_BYTES_MAX: usize = 4 << 20;

/// The phases of a job, with their results as far as they fit into 4 MiB.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/phases", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    responses((status = 200, description = "Those that ran, in order, then the others", body = Whole<PhaseDetail>)),
)]
pub(crate) async fn list_phases(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
) -> Result<Json<Whole<PhaseDetail>>, Problem> {
    let mut data = Vec::with_capacity(job.phases.len());
    let mut room = RESULTS_BYTES_MAX;
    for phase in &job.phases {
        let fits = phase.result.as_ref().and_then(|recorded| room.checked_sub(recorded.bytes));
        let result = match fits {
            Some(left) => {
                room = left;
                hub.stepwell.phase_result(job.id, &phase.name).await?
            }
            None => None,
        };
        let left_out = phase.result.is_some() && fits.is_none();
        data.push(PhaseDetail { phase: PhaseView::from(phase), result, left_out });
    }
    Ok(Json(Whole { data }))
}

/// A phase of a job, with its result.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/phases/{phase}", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid"),
        ("phase" = String, Path, description = "The phase's name")),
    responses((status = 200, description = "The phase", body = PhaseDetail)),
)]
pub(crate) async fn get_phase(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
    names: Result<Path<HashMap<String, String>>, PathRejection>,
) -> Result<Json<PhaseDetail>, Problem> {
    // What is no text names no phase.
    let name = names.ok().and_then(|Path(mut names)| names.remove("phase"));
    let phase = job.phases.iter().find(|phase| name.as_deref() == Some(&*phase.name));
    let phase = phase.ok_or_else(|| Problem::not_found("phase"))?;
    let result = match phase.result.is_some() {
        true => hub.stepwell.phase_result(job.id, &phase.name).await?,
        false => None,
    };
    Ok(Json(PhaseDetail { phase: PhaseView::from(phase), result, left_out: false }))
}

/// A line of a job's log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LogLine {
    /// When it was written.
    #[schema(format = DateTime)]
    at: String,
    /// The phase that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    phase: Option<Name>,
    /// The text.
    text: String,
}

/// What a job's phases have logged, the oldest line first.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/logs", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    responses((status = 200, description = "At most 1,000 lines", body = Whole<LogLine>)),
)]
pub(crate) async fn list_logs(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
) -> Result<Json<Whole<LogLine>>, Problem> {
    let lines = hub.stepwell.log(job.id).await?.into_iter();
    let line = |line: stepwell::LogLine| LogLine { at: time(line.at), phase: line.phase, text: line.text };
    Ok(Json(Whole { data: lines.map(line).collect() }))
}

/// Why a job is not running now, or what it does if it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Explained {
    /// The reason, for programs: `scheduled`, `waitingForRetry`, `paused`, `expired`, `noWorkerForKind`, `newerPlan`,
    /// `noWorkerForQueue`, `noFreeSlot`, `limitReached`, `ready`, `running`, `cancelling`, `ended`, `other`.
    reason: &'static str,
    /// In words.
    text: String,
    /// What bears on it; its members depend on the reason.
    #[schema(value_type = Object)]
    facts: Value,
}

/// Why a job is not running now.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/explain", tag = "jobs",
    params(("id" = String, Path, description = "The job's id", format = "uuid")),
    responses((status = 200, description = "The reason", body = Explained)),
)]
pub(crate) async fn explain_job(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
) -> Result<Json<Explained>, Problem> {
    let found = hub.stepwell.explain(job.id).await?;
    let (reason, facts) = facts(&found);
    Ok(Json(Explained { reason, text: found.to_string(), facts }))
}

fn facts(explanation: &Explanation) -> (&'static str, Value) {
    match explanation {
        Explanation::Scheduled { at } => ("scheduled", json!({ "at": time(*at) })),
        Explanation::WaitingForRetry { at, phase, error } => {
            ("waitingForRetry", json!({ "at": time(*at), "phase": phase, "error": error }))
        }
        Explanation::Paused { queue, since, reason } => {
            ("paused", json!({ "queue": queue, "since": time(*since), "reason": reason }))
        }
        Explanation::Expired { at } => ("expired", json!({ "at": time(*at) })),
        Explanation::NoWorkerForKind { kind } => ("noWorkerForKind", json!({ "kind": kind })),
        Explanation::NewerPlan { kind, generation } => {
            ("newerPlan", json!({ "kind": kind, "generation": generation }))
        }
        Explanation::NoWorkerForQueue { queue } => ("noWorkerForQueue", json!({ "queue": queue })),
        Explanation::NoFreeSlot { queue, running, slots, ahead } => {
            ("noFreeSlot", json!({ "queue": queue, "running": running, "slots": slots, "ahead": ahead }))
        }
        Explanation::LimitReached { queue, running, limit, ahead } => {
            ("limitReached", json!({ "queue": queue, "running": running, "limit": limit, "ahead": ahead }))
        }
        Explanation::Ready { queue, running, slots, ahead } => {
            ("ready", json!({ "queue": queue, "running": running, "slots": slots, "ahead": ahead }))
        }
        Explanation::Running { node, phase, .. } => ("running", json!({ "node": node, "phase": phase })),
        Explanation::Cancelling { deadline } => ("cancelling", json!({ "deadline": deadline.map(time) })),
        Explanation::Ended { state, reason } => {
            ("ended", json!({ "state": state.as_str(), "reason": reason.map(stepwell::Reason::as_str) }))
        }
        _ => ("other", json!({})),
    }
}
