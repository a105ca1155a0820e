//! Queues.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::{Deserialize, Deserializer, Serialize};
use stepwell::{JobState, Name, Queue, is_internal, limits};
use utoipa::ToSchema;

use super::aspects::Whole;
use crate::{
    access::{Caller, Grant},
    front::{JsonBody, OptionalBody, Problem, Segment},
    hub::Hub,
    shape::time,
};

/// How many jobs there are, by state.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct StateCounts {
    pub(crate) pending: u64,
    pub(crate) running: u64,
    pub(crate) cancelling: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

impl StateCounts {
    pub(crate) fn add(&mut self, state: JobState, n: u64) {
        let place = match state {
            JobState::Pending => &mut self.pending,
            JobState::Running => &mut self.running,
            JobState::Cancelling => &mut self.cancelling,
            JobState::Completed => &mut self.completed,
            JobState::Failed => &mut self.failed,
            JobState::Cancelled => &mut self.cancelled,
        };
        *place += n;
    }
}

/// A queue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Queue)]
pub(crate) struct QueueView {
    /// Its name.
    #[schema(value_type = String)]
    name: Name,
    /// Whether workers are kept from taking its jobs.
    paused: bool,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    paused_at: Option<String>,
    /// Why, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_reason: Option<String>,
    /// How many of its jobs may run at once in all workers together, if that was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    limit: Option<u32>,
    /// How many jobs are in it, by state.
    jobs: StateCounts,
    /// How many of its jobs may run at once in all live workers.
    slots: u64,
    /// How many live processes work it.
    workers: u64,
}

/// Every queue that has jobs, a worker, or something that an operator has set.
async fn queues(hub: &Hub, grant: &Grant) -> Result<BTreeMap<Name, QueueView>, Problem> {
    let (counts, set, sessions) =
        (hub.stepwell.counts().await?, hub.stepwell.queues().await?, hub.stepwell.sessions().await?);
    let mut found: BTreeMap<Name, QueueView> = BTreeMap::new();
    let theirs =
        |count: &&stepwell::Count| !is_internal(&count.kind) && grant.covers(&count.queue, &count.kind);
    for count in counts.iter().filter(theirs) {
        view(&mut found, &count.queue).jobs.add(count.state, count.n);
    }
    for (queue, slots) in sessions.iter().flat_map(|session| &session.queues) {
        let view = view(&mut found, queue);
        view.slots += *slots as u64;
        view.workers += 1;
    }
    for Queue { name, paused_at, paused_reason, limit } in set {
        let view = view(&mut found, &name);
        view.paused = paused_at.is_some();
        view.paused_at = paused_at.map(time);
        view.paused_reason = paused_reason;
        view.limit = limit;
    }
    found.retain(|name, _| !is_internal(name) && grant.covers_queue(name));
    Ok(found)
}

fn view<'m>(found: &'m mut BTreeMap<Name, QueueView>, name: &Name) -> &'m mut QueueView {
    found.entry(name.clone()).or_insert_with(|| QueueView {
        name: name.clone(),
        paused: false,
        paused_at: None,
        paused_reason: None,
        limit: None,
        jobs: StateCounts::default(),
        slots: 0,
        workers: 0,
    })
}

/// Every queue that has jobs, a worker, or something that an operator has set.
#[utoipa::path(
    get, path = "/api/v1/queues", tag = "queues",
    responses((status = 200, description = "The queues", body = Whole<QueueView>)),
)]
pub(crate) async fn list_queues(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
) -> Result<Json<Whole<QueueView>>, Problem> {
    Ok(Json(Whole { data: queues(&hub, &grant).await?.into_values().collect() }))
}

/// A queue.
#[utoipa::path(
    get, path = "/api/v1/queues/{name}", tag = "queues",
    params(("name" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "The queue", body = QueueView)),
)]
pub(crate) async fn get_queue(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(name): Segment,
) -> Result<Json<QueueView>, Problem> {
    shown(&hub, &grant, &name).await
}

/// What is set for a queue.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueueSettings {
    /// How many of its jobs may run at once in all workers together; null for any number.
    #[serde(deserialize_with = "said")]
    #[schema(required = true, minimum = 1, maximum = 1_000_000)]
    limit: Option<u32>,
}

/// What must be said, even if it is null.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Option::deserialize(deserializer)
}

/// Sets how many jobs of a queue may run at once. What runs goes on, even if it is more.
#[utoipa::path(
    put, path = "/api/v1/queues/{name}", tag = "queues",
    params(("name" = String, Path, description = "The queue's name")),
    request_body = QueueSettings,
    responses((status = 200, description = "The queue", body = QueueView)),
)]
pub(crate) async fn set_queue(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(name): Segment,
    JsonBody(QueueSettings { limit }, _): JsonBody<QueueSettings>,
) -> Result<Json<QueueView>, Problem> {
    check(&name)?;
    grant_queue(&grant, &name)?;
    hub.stepwell.set_limit(name.as_str(), limit).await?;
    shown(&hub, &grant, &name).await
}

/// Why a queue is paused.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pause {
    /// In words, for others.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Keeps workers from taking jobs of a queue. What runs goes on.
#[utoipa::path(
    post, path = "/api/v1/queues/{name}/pause", tag = "queues",
    params(("name" = String, Path, description = "The queue's name")),
    request_body = Option<Pause>,
    responses((status = 200, description = "The queue", body = QueueView)),
)]
pub(crate) async fn pause_queue(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(name): Segment,
    OptionalBody(pause): OptionalBody<Pause>,
) -> Result<Json<QueueView>, Problem> {
    check(&name)?;
    grant_queue(&grant, &name)?;
    if pause
        .reason
        .as_ref()
        .is_some_and(|reason| reason.len() > limits::KEY_BYTES_MAX || reason.contains('\0'))
    {
        let limit = limits::KEY_BYTES_MAX;
        return Err(Problem::of("#/reason", format!("must be at most {limit} bytes without U+0000")));
    }
    hub.stepwell.pause(name.as_str(), pause.reason.as_deref()).await?;
    shown(&hub, &grant, &name).await
}

/// Lets workers take jobs of a queue again.
#[utoipa::path(
    post, path = "/api/v1/queues/{name}/resume", tag = "queues",
    params(("name" = String, Path, description = "The queue's name")),
    responses((status = 200, description = "The queue", body = QueueView)),
)]
pub(crate) async fn resume_queue(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(name): Segment,
) -> Result<Json<QueueView>, Problem> {
    check(&name)?;
    grant_queue(&grant, &name)?;
    hub.stepwell.resume(name.as_str()).await?;
    shown(&hub, &grant, &name).await
}

fn check(name: &str) -> Result<(), Problem> {
    match is_internal(name) {
        true => Err(Problem::reserved("{name}")),
        false => Ok(()),
    }
}

/// A queue holds jobs of every kind, so that a token for some kinds may not stop it.
fn grant_queue(grant: &Grant, name: &str) -> Result<(), Problem> {
    if grant.kinds.is_some() {
        grant.expect_unlimited("changing a queue")?;
    }
    grant.expect(name, "")
}

async fn shown(hub: &Hub, grant: &Grant, name: &str) -> Result<Json<QueueView>, Problem> {
    let found = queues(hub, grant).await?.remove(name);
    found.map(Json).ok_or_else(|| Problem::not_found("queue"))
}
