//! What happened.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use stepwell::{EventType, JobId, is_internal};
use utoipa::{IntoParams, ToSchema};

use super::jobs::{Named, wait_of};
use crate::{
    access::{Caller, Grant},
    front::{Code, Problem, Query},
    hub::Hub,
    shape::time,
    stream::{Follow, Polled, Start, Wanted, live, place_of, poll},
};

/// Events on one page, unless set, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Which events, and from where on.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowEvents {
    /// The place after which to begin: the id of the last event, or its `pos`; 0 begins with the oldest. Without it,
    /// and without `Last-Event-ID`, it begins now.
    #[param(pattern = "^([0-9]{1,19}|[0-9A-Za-z-]{1,64}-[0-9]{1,19})$")]
    after: Option<String>,
    /// Only of this job.
    #[param(format = "uuid")]
    job: Option<String>,
    /// Only of this kind.
    kind: Option<String>,
    /// Only of this queue.
    queue: Option<String>,
    /// Only of jobs with this tag.
    tag: Option<String>,
    /// Only of these types, separated by commas.
    r#type: Option<String>,
    /// As JSON: the most events of one answer, 100 unless set.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// As JSON: waits so many milliseconds for an event, if there is none.
    #[param(maximum = 30_000)]
    wait_ms: Option<u64>,
    /// What happens if events after the place are no longer kept: `tell`, unless set, says so and goes on; `fail`
    /// answers 410.
    #[param(inline)]
    on_gap: Option<OnGap>,
    /// A ticket in place of a token, for a browser.
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
}

/// Which events of one job, and from where on.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowJob {
    /// The place after which to begin: the id of the last event, or its `pos`. Without it, and without `Last-Event-ID`,
    /// it begins with the job.
    #[param(pattern = "^([0-9]{1,19}|[0-9A-Za-z-]{1,64}-[0-9]{1,19})$")]
    after: Option<String>,
    /// Only of these types, separated by commas.
    r#type: Option<String>,
    /// As JSON: the most events of one answer, 100 unless set.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// As JSON: waits so many milliseconds for an event, if there is none.
    #[param(maximum = 30_000)]
    wait_ms: Option<u64>,
    /// A ticket in place of a token, for a browser.
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
}

/// What happens if events after the place are no longer kept.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OnGap {
    Tell,
    Fail,
}

/// Follows the events.
///
/// With `Accept: text/event-stream` the answer is a stream that goes on: `id` is the place, `event` the type, and
/// `data` the event. Else it is what there is now, as JSON. Both resume after any place that was seen.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(FollowEvents,
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`; sent by browsers that come again",
            pattern = "^([0-9]{1,19}|[0-9A-Za-z-]{1,64}-[0-9]{1,19})?$")),
    responses((status = 200, description = "The events", content(
        (Polled = "application/json"), (String = "text/event-stream"),
    ))),
)]
pub(crate) async fn follow_events(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    headers: HeaderMap,
    Query(query): Query<FollowEvents>,
) -> Result<Response, Problem> {
    let as_stream = is_stream_wanted(&headers)?;
    let asked = Asked::read(query.limit, query.wait_ms)?;
    if query.kind.as_deref().is_some_and(is_internal) {
        return Err(Problem::reserved("?kind"));
    }
    let job = query.job.as_deref().map(str::parse::<JobId>).transpose();
    let wanted = Wanted {
        job: job.map_err(|_| Problem::of("?job", "is no job's id, which is a UUID"))?,
        kind: query.kind,
        queue: query.queue,
        tag: query.tag,
        types: types_of(query.r#type.as_deref())?,
    };
    let start = start_of(&hub, &headers, query.after.as_deref())?;
    if query.on_gap == Some(OnGap::Fail) && hub.has_gap(start).await? {
        return Err(Problem::new(Code::Gone, "events after the place are no longer kept"));
    }
    let follow = Follow::begin(&hub, grant, &wanted, start);
    // Whoever begins now and is cut off before the first event must come back to where it began.
    let opening = (start == Start::Now).then(|| follow.place());
    if as_stream {
        return live(&hub, follow, opening.as_deref());
    }
    answer(&hub, follow, asked).await
}

/// Follows the events of one job, from its beginning.
///
/// As `GET /api/v1/events`.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(FollowJob, ("id" = String, Path, description = "The job's id", format = "uuid"),
        ("Last-Event-ID" = Option<String>, Header, description = "As `after`; sent by browsers that come again",
            pattern = "^([0-9]{1,19}|[0-9A-Za-z-]{1,64}-[0-9]{1,19})?$")),
    responses((status = 200, description = "The events", content(
        (Polled = "application/json"), (String = "text/event-stream"),
    ))),
)]
pub(crate) async fn follow_job(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Named(job): Named,
    headers: HeaderMap,
    Query(query): Query<FollowJob>,
) -> Result<Response, Problem> {
    let as_stream = is_stream_wanted(&headers)?;
    let asked = Asked::read(query.limit, query.wait_ms)?;
    let types = types_of(query.r#type.as_deref())?;
    let wanted = Wanted { job: Some(job.id), types, ..Wanted::default() };
    let start = match start_of(&hub, &headers, query.after.as_deref())? {
        Start::Now => Start::After(0),
        start => start,
    };
    let follow = Follow::begin_with_job(&hub, grant, &wanted, job.id, start).await?;
    if as_stream {
        return live(&hub, follow, None);
    }
    answer(&hub, follow, asked).await
}

/// How much of it at once, as JSON.
struct Asked {
    limit: usize,
    wait: Duration,
}

impl Asked {
    fn read(limit: Option<usize>, wait_ms: Option<u64>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(LIMIT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::of("?limit", format!("must be 1 to {LIMIT_MAX}")));
        }
        Ok(Self { limit, wait: wait_of(wait_ms.unwrap_or(0))? })
    }
}

async fn answer(hub: &Arc<Hub>, follow: Follow, asked: Asked) -> Result<Response, Problem> {
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, poll(hub, follow, asked.limit, asked.wait).await?).into_response())
}

/// Whether an event stream is asked for, or JSON.
fn is_stream_wanted(headers: &HeaderMap) -> Result<bool, Problem> {
    let mut named = false;
    for value in headers.get_all(header::ACCEPT) {
        for range in value.to_str().unwrap_or("").split(',') {
            named = true;
            match range.split(';').next().unwrap_or("").trim() {
                "text/event-stream" => return Ok(true),
                "application/json" | "application/*" | "*/*" => return Ok(false),
                _ => {}
            }
        }
    }
    match named {
        true => Err(Problem::new(Code::NotAcceptable, "it is application/json or text/event-stream")),
        false => Ok(false),
    }
}

fn types_of(text: Option<&str>) -> Result<Vec<EventType>, Problem> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let parse = |text: &str| {
        text.parse()
            .map_err(|_| Problem::of("?type", format!("{text:?} is no event type; see /events/types")))
    };
    text.split(',').map(parse).collect()
}

/// `Last-Event-ID` is newer than `after`, which stays in the address when a browser comes again.
fn start_of(hub: &Hub, headers: &HeaderMap, after: Option<&str>) -> Result<Start, Problem> {
    match (headers.get("last-event-id"), after) {
        (Some(last), _) if !last.is_empty() => {
            place_of(hub, "Last-Event-ID", last.to_str().unwrap_or("not ASCII"))
        }
        (_, Some(after)) => place_of(hub, "?after", after),
        _ => Ok(Start::Now),
    }
}

/// The types of events.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventTypes {
    /// Their names.
    data: Vec<&'static str>,
}

/// The types of events.
#[utoipa::path(
    get, path = "/api/v1/events/types", tag = "events",
    responses((status = 200, description = "Their names", body = EventTypes)),
)]
pub(crate) async fn list_event_types() -> Json<EventTypes> {
    Json(EventTypes { data: EventType::ALL.iter().map(|ty| ty.as_str()).collect() })
}

/// A way in for a browser.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticket {
    /// Goes into the address: `events?ticket=…`. It opens one stream, once.
    ticket: String,
    /// Until when.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Gives out a ticket that opens one event stream, within a minute.
///
/// A browser's `EventSource` cannot send a token. A page asks its own server for a ticket, which gets it here.
#[utoipa::path(
    post, path = "/api/v1/events/tickets", tag = "events",
    responses((status = 201, description = "The ticket", body = Ticket)),
)]
pub(crate) async fn create_ticket(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
) -> Result<Response, Problem> {
    // It stands for its giver and is good for streams only.
    let grant: Arc<Grant> = grant;
    let (ticket, end) = hub.tickets.give(&hub.stepwell, grant)?;
    Ok((StatusCode::CREATED, Json(Ticket { ticket, expires_at: time(end) })).into_response())
}
