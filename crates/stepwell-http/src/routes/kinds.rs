//! Kinds of jobs.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use stepwell::{Name, Session, is_internal};
use utoipa::ToSchema;

use super::{aspects::Whole, queues::StateCounts};
use crate::{
    access::{Caller, Grant},
    front::{Problem, Segment},
    hub::Hub,
};

/// A kind of jobs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Kind)]
pub(crate) struct KindView {
    /// Its name.
    #[schema(value_type = String)]
    name: Name,
    /// How many jobs of it there are, by state.
    jobs: StateCounts,
    /// How many live processes know it.
    workers: u64,
    /// The generation of its newest plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    /// The phases of its newest plan, in order.
    phases: Vec<PlannedPhase>,
}

/// A phase of a plan.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlannedPhase {
    /// Its name.
    #[schema(value_type = String)]
    name: Name,
    /// The phases whose results it takes.
    #[schema(value_type = Vec<String>)]
    inputs: Vec<Name>,
    /// The longest one try may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    /// The queue it runs in, if that is not the job's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    queue: Option<Name>,
    /// Tries after which a failure is final.
    max_tries: u32,
    /// Whether it runs once for each element of its input.
    fan_out: bool,
}

async fn kinds(hub: &Hub, grant: &Grant, only: Option<&str>) -> Result<Vec<KindView>, Problem> {
    let (counts, sessions) = (hub.stepwell.counts().await?, hub.stepwell.sessions().await?);
    // A token for some queues sees what is in them, and who works them.
    let theirs: Vec<&Session> = sessions
        .iter()
        .filter(|session| session.queues.iter().any(|(queue, _)| grant.covers_queue(queue)))
        .collect();
    let known = theirs.iter().flat_map(|session| session.kinds.iter().map(|(kind, _)| kind));
    let counted = counts.iter().filter(|count| grant.covers_queue(&count.queue)).map(|count| &count.kind);
    let names: BTreeSet<&Name> = counted.chain(known).collect();
    let mut found = Vec::new();
    for name in names {
        if is_internal(name) || !grant.covers_kind(name) || only.is_some_and(|only| only != &**name) {
            continue;
        }
        let mut jobs = StateCounts::default();
        let of_kind = |count: &&stepwell::Count| count.kind == *name && grant.covers_queue(&count.queue);
        counts.iter().filter(of_kind).for_each(|count| jobs.add(count.state, count.n));
        let works = |session: &&&Session| session.kinds.iter().any(|(kind, _)| kind == name);
        let plan = hub.stepwell.plan(name.clone()).await?;
        found.push(KindView {
            name: name.clone(),
            jobs,
            workers: theirs.iter().filter(works).count() as u64,
            generation: plan.as_ref().map(|(_, generation)| *generation),
            phases: plan.map_or_else(Vec::new, |(plan, _)| {
                let phase = |phase: &stepwell::PhaseSpec| PlannedPhase {
                    name: phase.name.clone(),
                    inputs: phase.inputs.clone(),
                    timeout_ms: phase.timeout_ms,
                    queue: phase.queue.clone().filter(|queue| grant.covers_queue(queue)),
                    max_tries: phase.retry.attempts(),
                    fan_out: phase.fan_out,
                };
                plan.phases.iter().map(phase).collect()
            }),
        });
    }
    Ok(found)
}

/// Every kind of which there are jobs, or that a live worker knows.
#[utoipa::path(
    get, path = "/api/v1/kinds", tag = "queues",
    responses((status = 200, description = "The kinds", body = Whole<KindView>)),
)]
pub(crate) async fn list_kinds(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
) -> Result<Json<Whole<KindView>>, Problem> {
    Ok(Json(Whole { data: kinds(&hub, &grant, None).await? }))
}

/// A kind of jobs, with its phases.
#[utoipa::path(
    get, path = "/api/v1/kinds/{name}", tag = "queues",
    params(("name" = String, Path, description = "The kind's name")),
    responses((status = 200, description = "The kind", body = KindView)),
)]
pub(crate) async fn get_kind(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(name): Segment,
) -> Result<Json<KindView>, Problem> {
    let found = kinds(&hub, &grant, Some(&name)).await?.pop();
    found.map(Json).ok_or_else(|| Problem::not_found("kind"))
}
