//! What the three views must show, made from what a store shows through its interface.
//!
//! The columns are a contract: `docs/sql.md` lists them, and a test holds that list against these rows.

use serde_json::{Value, json};
use stepwell_core::{Event, EventType, Job, Json};

use crate::{
    fixture::ViewRow,
    invariants::snapshot::{Shown, Snapshot},
    world::World,
};

/// The views that people query.
pub const VIEWS: [&str; 3] = ["stepwell_jobs", "stepwell_phases", "stepwell_events"];

/// Where the views show something else than the store does, in words; nothing if the store has no views.
///
/// # Panics
/// If the store cannot be read.
pub async fn differences(world: &World) -> Vec<String> {
    let snapshot = Snapshot::read(world.store()).await.expect("the store can be read");
    let mut differences = Vec::new();
    for (name, expected) in VIEWS.into_iter().zip(expected(&snapshot)) {
        let Some(found) = world.view(name).await else { return Vec::new() };
        differences.extend(compare(name, &found, &expected));
    }
    differences
}

/// Where a view's rows are not what they should be.
#[must_use]
pub fn compare(name: &str, found: &[ViewRow], expected: &[ViewRow]) -> Vec<String> {
    let mut differences = Vec::new();
    if found.len() != expected.len() {
        differences.push(format!("{name} has {} rows instead of {}", found.len(), expected.len()));
    }
    for (found, expected) in found.iter().zip(expected) {
        let columns: std::collections::BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
        for column in columns {
            let (found, expected) = (found.get(column).map(parsed), expected.get(column).map(parsed));
            if found != expected {
                differences.push(format!("{name}.{column} is {found:?} instead of {expected:?}"));
            }
        }
    }
    differences
}

/// The rows of the views, in their order.
#[must_use]
pub fn expected(snapshot: &Snapshot) -> [Vec<ViewRow>; 3] {
    let mut shown: Vec<&Shown> = snapshot.jobs.iter().collect();
    shown.sort_by_key(|shown| shown.job.id.to_string());
    let jobs = shown.iter().map(|shown| row(&job(shown))).collect();
    let phases = shown.iter().flat_map(|shown| phases(shown)).collect();
    let events = snapshot.events.iter().map(|event| row(&one_event(event))).collect();
    [jobs, phases, events]
}

fn row(value: &Value) -> ViewRow {
    let members = value.as_object().into_iter().flatten();
    members.map(|(column, value)| (column.clone(), value.clone())).collect()
}

/// Text that holds JSON is compared as JSON: a view may write it in another way.
fn parsed(value: &Value) -> Value {
    let inner = value.as_str().filter(|text| text.starts_with(['{', '[', '"']));
    inner.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

fn text(json: Option<&Json>) -> Option<&str> {
    json.map(Json::as_str)
}

fn job(shown: &Shown) -> Value {
    let Job { details, .. } = &shown.job;
    let job = &shown.job;
    let failure = details.failure.as_ref();
    json!({
        "id": job.id.to_string(),
        "kind": job.kind,
        "queue": job.queue,
        "state": job.state.as_str(),
        "reason": job.reason.map(stepwell_core::job::Reason::as_str),
        "priority": job.priority,
        "run": job.run,
        "attempt": job.attempt,
        "crashes": job.crashes,
        "version": job.version,
        "epoch": job.epoch,
        "unique_key": job.unique_key,
        "plan_hash": job.plan.as_ref().map(|plan| &plan.hash),
        "plan_generation": job.plan.as_ref().map(|plan| plan.generation),
        "enqueued_at": job.enqueued_at,
        "available_at": job.available_at,
        "expires_at": job.expires_at,
        "cancel_requested_at": job.cancel_requested_at,
        "finished_at": job.finished_at,
        "tags": json!(details.tags).to_string(),
        "attributes": json!(details.attributes).to_string(),
        "failed_phase": failure.and_then(|failure| failure.phase.as_ref()),
        "error": failure.map(|failure| &failure.message),
        "payload": text(shown.payload.as_ref()),
    })
}

fn phases(shown: &Shown) -> Vec<ViewRow> {
    let rows = shown.job.phases.iter().enumerate().map(|(position, phase)| {
        let beside = shown.phases.get(phase.stored_name());
        let recorded = phase.result.as_ref();
        row(&json!({
            "job_id": shown.job.id.to_string(),
            "position": position,
            "name": phase.name,
            "state": phase.state.as_str(),
            "tries": phase.tries,
            "max_tries": phase.max_tries,
            "queue": phase.queue,
            "result": text(beside.and_then(|beside| beside.result.as_ref())),
            "result_bytes": recorded.map(|recorded| recorded.bytes),
            "result_hash": recorded.map(|recorded| &recorded.hash),
            "interrupted": u8::from(phase.interrupted),
            "error": phase.error,
            "started_at": phase.started_at,
            "finished_at": phase.finished_at,
        }))
    });
    rows.collect()
}

fn one_event(event: &Event) -> Value {
    let id = (event.ty != EventType::Deleted).then(|| event.job.to_string());
    json!({
        "pos": event.pos,
        "job_id": id,
        "job_seq": event.job_seq,
        "type": event.ty.as_str(),
        "at": event.at,
        "data": event.data.as_str(),
        "kind": event.kind,
        "queue": event.queue,
        "run": event.run,
        "phase": event.phase,
        "attempt": event.attempt,
    })
}
