//! Workers that speak HTTP: who they are, and how they are kept alive.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use stepwell::{
    Desired, Name, Node, PhaseSpec, PlanSpec, SessionId, SessionState, is_internal,
    remote::{Held, LeaseToken, NewRemoteWorker, RemoteWorker},
};
use utoipa::ToSchema;

use super::aspects::Whole;
use crate::{
    access::{Caller, Grant, Scope},
    front::{Code, JsonBody, OptionalBody, Problem, Segment},
    hub::Hub,
    shape::{RetryPolicy, millis, time},
};

/// A worker that registers.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewWorker {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The queues that it works.
    #[schema(min_items = 1, max_items = 100)]
    queues: Vec<String>,
    /// The kinds that it works.
    #[schema(min_items = 1, max_items = 100)]
    kinds: Vec<WorkedKind>,
}

/// A kind that a worker works.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WorkedKind {
    /// The kind.
    #[schema(min_length = 1, max_length = 200)]
    kind: String,
    /// Its phases, in the order in which they run.
    #[schema(min_items = 1, max_items = 100)]
    phases: Vec<WorkedPhase>,
}

/// A phase of a kind that a worker works.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct WorkedPhase {
    /// Its name.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Earlier phases, whose outputs it is given.
    #[serde(default)]
    inputs: Vec<String>,
    /// The queue that it runs in, if that is not the job's own.
    queue: Option<String>,
    /// An earlier name, under which outputs may be stored.
    renamed_from: Option<String>,
    /// When it runs again after a failure.
    retry: Option<RetryPolicy>,
    /// The longest that one try may run. The worker sees to it.
    #[schema(minimum = 1, maximum = 3_153_600_000_000_i64)]
    timeout_ms: Option<u64>,
}

impl WorkedPhase {
    fn spec(self) -> Result<PhaseSpec, Problem> {
        let Self { name, inputs, queue, renamed_from, retry, timeout_ms } = self;
        if let Some(ms) = timeout_ms {
            let limit = millis("#/kinds/phases/timeoutMs", ms)?;
            if limit.is_zero() {
                return Err(Problem::of("#/kinds/phases/timeoutMs", "is 0; leave it out, or give it time"));
            }
        }
        Ok(PhaseSpec {
            inputs: inputs.into_iter().map(Name::from).collect(),
            queue: queue.map(Name::from),
            renamed_from: renamed_from.map(Name::from),
            retry: retry.map(RetryPolicy::policy).transpose()?.unwrap_or_default(),
            timeout_ms,
            ..PhaseSpec::new(name)
        })
    }
}

/// A worker that has registered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registered {
    /// Its id, for everything else.
    #[schema(value_type = String, format = "uuid")]
    id: SessionId,
    /// How long its leases outlive its last heartbeat.
    lease_ms: u64,
    /// How often it sends one.
    heartbeat_ms: u64,
    /// Which store it is: another one has other jobs, and other processes left behind.
    generation: String,
}

/// A worker, as it is known.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkerView {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    id: SessionId,
    /// What people call it.
    name: String,
    /// What it is.
    r#type: WorkerType,
    /// How it is.
    state: StateName,
    /// What is wanted of it.
    desired: DesiredName,
    /// How many jobs it runs.
    running: u64,
    /// How many it may run at once in all its queues; of a program that speaks HTTP, how many it may claim at once.
    slots: u64,
    /// The queues that it works.
    #[schema(value_type = Vec<String>)]
    queues: BTreeSet<Name>,
    /// The kinds that it works.
    #[schema(value_type = Vec<String>)]
    kinds: BTreeSet<Name>,
    /// The machine that it runs on, if it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The number of its process there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// The version of Stepwell in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Since when it works.
    #[schema(format = DateTime)]
    started_at: String,
    /// Its last sign of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_heartbeat_at: Option<String>,
}

/// What a worker is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum WorkerType {
    /// A process that opens the store, such as a server.
    Node,
    /// A program that speaks HTTP with a server.
    Http,
}

/// How a worker is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StateName {
    /// It claims and runs jobs.
    Running,
    /// It claims nothing more.
    Quiet,
    /// It ends what it has, and then itself.
    Stopping,
    /// It gives no more signs of life: its jobs are run elsewhere.
    Lost,
}

/// What is wanted of a worker.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DesiredName {
    /// That it works.
    Run,
    /// That it claims nothing more, and ends what it has.
    Quiet,
    /// That it gives back what it has, and ends.
    Terminate,
}

impl From<Desired> for DesiredName {
    fn from(desired: Desired) -> Self {
        match desired {
            Desired::Run => Self::Run,
            Desired::Quiet => Self::Quiet,
            Desired::Terminate => Self::Terminate,
        }
    }
}

impl From<Node> for WorkerView {
    fn from(node: Node) -> Self {
        let state = match node.state {
            _ if node.lost => StateName::Lost,
            SessionState::Running => StateName::Running,
            SessionState::Quiet => StateName::Quiet,
            SessionState::Stopping => StateName::Stopping,
        };
        let Node { session, desired, beat_at, running, .. } = node;
        let theirs = |name: &Name| !is_internal(name);
        let queues = || session.queues.iter().filter(|(queue, _)| theirs(queue));
        Self {
            id: session.id,
            name: session.node.clone(),
            r#type: if session.about.remote { WorkerType::Http } else { WorkerType::Node },
            state,
            desired: desired.into(),
            running,
            slots: queues().map(|(_, slots)| *slots as u64).sum(),
            queues: queues().map(|(queue, _)| queue.clone()).collect(),
            kinds: session.kinds.iter().map(|(kind, _)| kind.clone()).filter(theirs).collect(),
            host: session.about.host,
            pid: session.about.pid,
            version: session.about.version,
            started_at: time(session.started_at),
            last_heartbeat_at: beat_at.map(time),
        }
    }
}

/// Registers a worker.
///
/// It is alive from now on, as long as it sends heartbeats: about every `heartbeatMs`. If it is silent for `leaseMs`,
/// its phases are run elsewhere, and what it says about them later is refused.
#[utoipa::path(
    post, path = "/api/v1/workers", tag = "workers",
    request_body = NewWorker,
    responses((status = 201, description = "It is registered", body = Registered)),
)]
pub(crate) async fn register_worker(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    JsonBody(new, _): JsonBody<NewWorker>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    for queue in &new.queues {
        for WorkedKind { kind, .. } in &new.kinds {
            grant.expect(queue, kind)?;
        }
    }
    // A job is handed over to the queue of its phase.
    for WorkedKind { kind, phases } in &new.kinds {
        for queue in phases.iter().filter_map(|phase| phase.queue.as_ref()) {
            grant.expect(queue, kind)?;
        }
    }
    let plan = |WorkedKind { kind, phases }: WorkedKind| {
        let phases = phases.into_iter().map(WorkedPhase::spec).collect::<Result<_, Problem>>()?;
        Ok::<_, Problem>(PlanSpec { kind: kind.into(), phases })
    };
    let workers = hub.stepwell.remote_workers();
    let registered = workers.register(NewRemoteWorker {
        name: new.name,
        queues: new.queues.into_iter().map(Name::from).collect(),
        kinds: new.kinds.into_iter().map(plan).collect::<Result<_, _>>()?,
    });
    let id = registered.await?.id;
    let lease_ms = u64::try_from(workers.lease().as_millis()).unwrap_or(u64::MAX);
    let generation = hub.generation();
    Ok((StatusCode::CREATED, Json(Registered { id, lease_ms, heartbeat_ms: lease_ms / 3, generation })))
}

/// The workers: processes that open the store, wherever they run, and programs that speak HTTP with one of them.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "workers",
    responses((status = 200, description = "The workers", body = Whole<WorkerView>)),
)]
pub(crate) async fn list_workers(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
) -> Result<Json<Whole<WorkerView>>, Problem> {
    let all = hub.stepwell.nodes().await?.into_iter().map(WorkerView::from);
    Ok(Json(Whole { data: all.filter(|worker| is_seen(&grant, &worker.queues, &worker.kinds)).collect() }))
}

/// A worker.
#[utoipa::path(
    get, path = "/api/v1/workers/{id}", tag = "workers",
    params(("id" = String, Path, description = "The worker's id", format = "uuid")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub(crate) async fn get_worker(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<Json<WorkerView>, Problem> {
    Ok(Json(look_up(&hub, &grant, &id).await?))
}

/// Ends a worker that has registered at this server. What it still has is given back.
#[utoipa::path(
    delete, path = "/api/v1/workers/{id}", tag = "workers",
    params(("id" = String, Path, description = "The worker's id", format = "uuid")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_worker(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    let worker = find(&hub, &grant, &id)?;
    hub.stepwell.remote_workers().deregister(worker.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a worker to claim nothing more, and to end what it has.
///
/// A process that opens the store hears of it within a second, wherever it runs, and that takes a token with the scope
/// `admin`. A program that speaks HTTP hears of it with its next heartbeat.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/quiet", tag = "workers",
    params(("id" = String, Path, description = "The worker's id", format = "uuid")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub(crate) async fn quiet_worker(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<Json<WorkerView>, Problem> {
    want(&hub, &grant, &id, Desired::Quiet).await
}

/// Lets a quiet worker claim again.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/resume", tag = "workers",
    params(("id" = String, Path, description = "The worker's id", format = "uuid")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub(crate) async fn resume_worker(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<Json<WorkerView>, Problem> {
    want(&hub, &grant, &id, Desired::Run).await
}

/// Asks a worker to end: it claims nothing more, and gives back what it cannot end within its grace.
///
/// As for `quiet`, a process that opens the store takes a token with the scope `admin`. It is not taken back.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/terminate", tag = "workers",
    params(("id" = String, Path, description = "The worker's id", format = "uuid")),
    responses((status = 200, description = "The worker", body = WorkerView)),
)]
pub(crate) async fn terminate_worker(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<Json<WorkerView>, Problem> {
    want(&hub, &grant, &id, Desired::Terminate).await
}

async fn want(hub: &Hub, grant: &Grant, id: &str, desired: Desired) -> Result<Json<WorkerView>, Problem> {
    let worker = look_up(hub, grant, id).await?;
    if matches!(worker.r#type, WorkerType::Node) && !grant.allows(Scope::Admin) {
        let detail = "the worker is a process that opens the store, which takes a token with the scope admin";
        return Err(Problem::new(Code::ForbiddenScope, detail));
    }
    let wanted = hub.stepwell.want(worker.id, desired).await?;
    if wanted != desired {
        return Err(Problem::new(Code::ConflictState, "the worker was told to end, which is not taken back"));
    }
    Ok(Json(WorkerView { desired: wanted.into(), ..worker }))
}

/// A worker of whatever type that the caller may know of.
async fn look_up(hub: &Hub, grant: &Grant, id: &str) -> Result<WorkerView, Problem> {
    let unknown = || Problem::new(Code::NotFound, "there is no such worker");
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    let found = hub.stepwell.nodes().await?.into_iter().find(|node| node.session.id == id);
    let worker = found.map(WorkerView::from).ok_or_else(unknown)?;
    match is_seen(grant, &worker.queues, &worker.kinds) {
        true => Ok(worker),
        false => Err(unknown()),
    }
}

/// A worker that has registered at this server, and that the caller may know of.
pub(super) fn find(hub: &Hub, grant: &Grant, id: &str) -> Result<RemoteWorker, Problem> {
    let unknown = || Problem::new(Code::NotFound, "there is no such worker here; register it anew");
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    let worker = hub.stepwell.remote_workers().get(id).map_err(|_| unknown())?;
    match is_seen(grant, &worker.queues, &worker.kinds) {
        true => Ok(worker),
        false => Err(unknown()),
    }
}

fn is_seen(grant: &Grant, queues: &BTreeSet<Name>, kinds: &BTreeSet<Name>) -> bool {
    queues.iter().all(|queue| grant.covers_queue(queue)) && kinds.iter().all(|kind| grant.covers_kind(kind))
}

/// A sign of life.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Beat {
    /// How the worker is. A quiet one claims nothing more.
    #[serde(default)]
    state: WorkerState,
    /// The leases of everything that it runs.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    leases: Vec<String>,
}

/// How a worker is.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum WorkerState {
    /// It works.
    #[default]
    Running,
    /// It claims nothing more.
    Quiet,
}

/// What a worker learns with its heartbeat.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Beaten {
    /// What is wanted of the worker.
    desired: DesiredName,
    /// How its leases stand, in the order in which it named them.
    leases: Vec<LeaseView>,
}

/// How a lease stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeaseView {
    /// The lease.
    lease: String,
    /// How it stands.
    status: LeaseStatus,
}

/// How a lease stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LeaseStatus {
    /// The phase is the worker's to run.
    Held,
    /// It is, but somebody wants it stopped: stop it, and say `fail` or `release`.
    Cancel,
    /// It is not: stop it, and say nothing.
    Lost,
}

/// Keeps a worker alive, with all its leases.
///
/// What it has and does not name in two heartbeats in a row is given back: the answer to its claim was lost.
#[utoipa::path(
    post, path = "/api/v1/workers/{id}/heartbeat", tag = "workers",
    params(("id" = String, Path, description = "The worker's id", format = "uuid")),
    request_body = Option<Beat>,
    responses((status = 200, description = "What it must know", body = Beaten)),
)]
pub(crate) async fn beat(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
    OptionalBody(beat): OptionalBody<Beat>,
) -> Result<Json<Beaten>, Problem> {
    let worker = find(&hub, &grant, &id)?;
    // What cannot be read as a lease is one that was lost.
    let read: Vec<Option<LeaseToken>> = beat.leases.iter().map(|text| text.parse().ok()).collect();
    let known: Vec<LeaseToken> = read.iter().flatten().cloned().collect();
    let quiet = beat.state == WorkerState::Quiet;
    let answer = hub.stepwell.remote_workers().heartbeat(worker.id, quiet, &known).await?;
    let mut standing = answer.leases.into_iter();
    let views = beat.leases.into_iter().zip(read).map(|(lease, read)| {
        let held = read.and_then(|_| standing.next()).unwrap_or(Held::Lost);
        let status = match held {
            Held::Held => LeaseStatus::Held,
            Held::Cancelled => LeaseStatus::Cancel,
            Held::Lost => LeaseStatus::Lost,
        };
        LeaseView { lease, status }
    });
    Ok(Json(Beaten { desired: answer.desired.into(), leases: views.collect() }))
}
