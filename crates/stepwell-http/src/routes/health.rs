//! How the server and its store are doing.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;
use stepwell::{Clock, Disk, JobState, Late, Schema};
use utoipa::ToSchema;

use crate::{access::Caller, front::Problem, hub::Hub, shape::time};

/// Queues and kinds with jobs that wait that are told of, at most.
const WAITING_MAX: usize = 200;

/// How the server and its store are doing.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Condition {
    /// The time of the store.
    #[schema(format = DateTime)]
    at: String,
    /// The time of the server's machine.
    #[schema(format = DateTime)]
    machine_at: String,
    /// The store's schema; none if it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<SchemaView>,
    /// The store's file, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<DiskView>,
    /// How many processes work this store, the late ones included.
    workers: usize,
    /// Those that should have given a sign of life, at most 100. What they own is taken from them by any other process
    /// that works the store.
    late: Vec<LateView>,
    /// Which jobs wait, by queue and kind, at most 200 pairs.
    waiting: Vec<Waiting>,
    /// What an operator should know about how the store was opened: a clock that went backwards, an unclean stop.
    notices: Vec<String>,
}

/// Which schema a store has.
#[derive(Serialize, ToSchema)]
#[schema(as = StoreSchema)]
pub(crate) struct SchemaView {
    /// The version that is stored.
    version: u32,
    /// The version that this server brings a store to.
    known: u32,
}

/// What a store takes on a disk, and what is left of that.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StoreDisk)]
pub(crate) struct DiskView {
    /// Bytes of the file.
    bytes: u64,
    /// Bytes of the log beside it.
    log_bytes: u64,
    /// Bytes that may still be written to that disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
}

/// A process that should have given a sign of life.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LateWorker)]
pub(crate) struct LateView {
    /// The machine and the process, for people.
    node: String,
    /// For how long it has been late.
    overdue_ms: u64,
    /// How many jobs wait for somebody to take them from it.
    jobs: u64,
}

/// Jobs of one queue and kind that wait.
#[derive(Serialize, ToSchema)]
#[schema(as = WaitingJobs)]
pub(crate) struct Waiting {
    /// The queue.
    queue: String,
    /// The kind.
    kind: String,
    /// How many.
    jobs: u64,
}

impl From<Schema> for SchemaView {
    fn from(schema: Schema) -> Self {
        Self { version: schema.version, known: schema.known }
    }
}

impl From<Disk> for DiskView {
    fn from(disk: Disk) -> Self {
        Self { bytes: disk.bytes, log_bytes: disk.log_bytes, free_bytes: disk.free_bytes }
    }
}

impl From<Late> for LateView {
    fn from(late: Late) -> Self {
        let overdue_ms = u64::try_from(late.overdue.as_millis()).unwrap_or(u64::MAX);
        Self { node: late.node, overdue_ms, jobs: late.jobs }
    }
}

/// How the server and its store are doing: what `stepwell doctor` looks at.
#[utoipa::path(
    get, path = "/api/v1/health", tag = "system",
    responses((status = 200, description = "How they are doing", body = Condition)),
)]
pub(crate) async fn get_health(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
) -> Result<Json<Condition>, Problem> {
    let (health, counts, sessions) =
        (hub.stepwell.health().await?, hub.stepwell.counts().await?, hub.stepwell.sessions().await?);
    let waiting = counts.iter().filter(|count| {
        count.state == JobState::Pending && count.n > 0 && grant.covers(&count.queue, &count.kind)
    });
    let waiting = waiting.take(WAITING_MAX).map(|count| Waiting {
        queue: count.queue.to_string(),
        kind: count.kind.to_string(),
        jobs: count.n,
    });
    Ok(Json(Condition {
        at: time(hub.stepwell.clock().now()),
        machine_at: time(Clock::system().wall()),
        schema: health.schema.map(Into::into),
        disk: health.disk.map(Into::into),
        workers: sessions.len(),
        late: health.late.into_iter().map(Into::into).collect(),
        waiting: waiting.collect(),
        notices: hub.stepwell.describe().notices,
    }))
}
