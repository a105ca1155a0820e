//! How much, how fast.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stepwell::{Error, Timestamp, is_internal, series::SeriesRequest};
use utoipa::{IntoParams, ToSchema};

use super::queues::StateCounts;
use crate::{
    access::Caller,
    front::{Problem, Query},
    hub::Hub,
    shape::{MetricName, SeriesView, millis, parse_time, time},
};

/// How far back a series goes, unless set.
const BACK: Duration = Duration::from_hours(1);
/// Points of a series, unless set.
const POINTS: u64 = 60;

/// How things stand now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// How many jobs there are, by state.
    jobs: StateCounts,
    /// How many queues have jobs.
    queues: usize,
    /// How many queues are paused.
    paused_queues: usize,
    /// How many live processes work this store.
    workers: usize,
    /// How many jobs may run at once in all of them.
    slots: u64,
    /// Events ever written.
    events: u64,
}

/// How things stand now: counters, as the store has them.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "stats",
    responses((status = 200, description = "The counters", body = Stats)),
)]
pub(crate) async fn get_stats(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
) -> Result<Json<Stats>, Problem> {
    let (counts, set, sessions) =
        (hub.stepwell.counts().await?, hub.stepwell.queues().await?, hub.stepwell.sessions().await?);
    let mut jobs = StateCounts::default();
    let mut queues = std::collections::BTreeSet::new();
    for count in counts.iter().filter(|count| count.n > 0 && grant.covers(&count.queue, &count.kind)) {
        jobs.add(count.state, count.n);
        queues.insert(&count.queue);
    }
    let theirs = |queue: &str| !is_internal(queue) && grant.covers_queue(queue);
    let slots = sessions.iter().flat_map(|session| &session.queues).filter(|(queue, _)| theirs(queue));
    let paused = set.iter().filter(|queue| queue.paused_at.is_some() && theirs(&queue.name));
    Ok(Json(Stats {
        at: time(hub.stepwell.clock().now()),
        jobs,
        queues: queues.len(),
        paused_queues: paused.count(),
        workers: sessions.len(),
        slots: slots.map(|(_, slots)| *slots as u64).sum(),
        events: hub.stepwell.head(),
    }))
}

/// Which series.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct GetSeries {
    /// `throughput`: how many jobs were enqueued, and how many ended. `wait`: how long they were due before a worker
    /// took them. `run`: how long they ran, from when a worker last took them to their end. `depth`: how many had not
    /// ended.
    #[param(inline)]
    metric: MetricName,
    /// Only this queue.
    queue: Option<String>,
    /// Only this kind.
    kind: Option<String>,
    /// From when on; an hour before `to` unless set.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Until when; now unless set.
    #[param(format = DateTime)]
    to: Option<String>,
    /// How long the time of one point is, in milliseconds: a sixtieth of the whole unless set.
    #[param(minimum = 1000, maximum = 3_153_600_000_000_i64)]
    step_ms: Option<u64>,
}

/// How it went over time.
///
/// It is told from the event log, whichever process did the work, and as far back as events are kept. One answer looks
/// at the last 200,000 events of the time at most, and has 500 points at most; `complete` is false if it begins later
/// than was asked for.
#[utoipa::path(
    get, path = "/api/v1/stats/series", tag = "stats",
    params(GetSeries),
    responses((status = 200, description = "The series", body = SeriesView)),
)]
pub(crate) async fn get_series(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Query(query): Query<GetSeries>,
) -> Result<Json<SeriesView>, Problem> {
    let read = |pointer, text: &Option<String>| {
        text.as_deref().map(|text| parse_time(pointer, text).map(Timestamp::from)).transpose()
    };
    let to = read("?to", &query.to)?.unwrap_or_else(|| hub.stepwell.clock().now());
    let from = read("?from", &query.from)?.unwrap_or(to - BACK);
    let whole = u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
    let step_ms = query.step_ms.unwrap_or_else(|| whole.div_ceil(POINTS).max(1_000));
    let request = SeriesRequest {
        metric: query.metric.into(),
        queue: query.queue.map(Into::into),
        kind: query.kind.map(Into::into),
        only_queues: grant.queues.clone(),
        only_kinds: grant.kinds.clone(),
        from,
        to,
        step: millis("?stepMs", step_ms)?,
    };
    // One at a time: each may read much of the log.
    let _turn = hub.series.acquire().await;
    let series = hub.stepwell.series(request).await.map_err(of_query)?;
    Ok(Json(SeriesView::of(query.metric, step_ms, series)))
}

/// A fault is one of the query, and not of a body.
fn of_query(error: Error) -> Problem {
    let pointer = match error.field() {
        Some("step") => Some("?stepMs".to_owned()),
        Some(field) => Some(format!("?{field}")),
        None => None,
    };
    let mut problem = Problem::from(error);
    for fault in &mut problem.errors {
        fault.pointer = pointer.clone().unwrap_or_default();
    }
    problem
}
