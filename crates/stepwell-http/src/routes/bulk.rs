//! Bulk operations: the same for every job that a filter finds.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use stepwell::{
    JobId,
    bulk::{BulkOperation, NewBulk, Selection},
};
use utoipa::IntoParams;

use super::{
    aspects::Whole,
    list::limit_of,
    once::{Once, gone, replayed},
};
use crate::{
    access::{Caller, Grant},
    front::{Code, Condition, Cursor, JsonBody, Page, PageInfo, Problem, Query, Segment, etag},
    hub::Hub,
    shape::{BulkFailureView, BulkRequest, BulkView, PreviewView},
};

/// Jobs that a preview shows.
const SAMPLE: usize = 10;

/// Does the same to every job that a filter finds.
///
/// With `dryRun` nothing is changed: the answer is how many jobs it would be about, and some of them. Otherwise the
/// operation is on disk when the answer comes, and goes on whatever becomes of this server. It is about the jobs that
/// there are now, as they stand now. A request with an `Idempotency-Key` counts once in 24 hours.
#[utoipa::path(
    post, path = "/api/v1/bulk-operations", tag = "bulk",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
    request_body = BulkRequest,
    responses(
        (status = 201, description = "The operation", body = BulkView,
            headers(("Location" = String, description = "The operation, relative to this address"))),
        (status = 200, description = "With `dryRun`: what it would do", body = PreviewView),
    ),
)]
pub(crate) async fn create_bulk_operation(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    headers: HeaderMap,
    JsonBody(asked, bytes): JsonBody<BulkRequest>,
) -> Result<Response, Problem> {
    let once = Once::read(&grant, &headers, &bytes)?.map(|once| once.of("bulk"));
    let action = asked.action()?;
    if let Some(queue) = asked.queue()
        && !grant.covers_queue(queue)
    {
        return Err(Problem::new(Code::ForbiddenScope, format!("the token is not for the queue {queue:?}")));
    }
    let wanted = asked.filter.jobs();
    let selection = Selection {
        state: wanted.state,
        kind: wanted.kind,
        queue: wanted.queue,
        tag: wanted.tag,
        attribute: wanted.attribute,
        unique_key: wanted.unique_key,
        only_queues: grant.queues.clone(),
        only_kinds: grant.kinds.clone(),
    };
    let new = NewBulk { once, by: by(&grant), ..NewBulk::new(action, selection) };
    if asked.dry_run == Some(true) {
        let preview = hub.stepwell.bulk().preview(&new, SAMPLE).await?;
        return Ok(Json(PreviewView::from(preview)).into_response());
    }
    let made = hub.stepwell.bulk().create(new).await.map_err(|error| gone(error, "bulk operation"))?;
    let is_replayed = made.is_replayed;
    let location = HeaderValue::try_from(format!("bulk-operations/{}", made.id));
    let mut response = (StatusCode::CREATED, Json(BulkView::from(made))).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(replayed(response, is_replayed))
}

fn by(grant: &Grant) -> String {
    format!("{} ({})", grant.name, grant.who)
}

/// Which page of the operations.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListBulk {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many; 50 unless set.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Bulk operations, the newest first. They are kept as long as other jobs are.
#[utoipa::path(
    get, path = "/api/v1/bulk-operations", tag = "bulk",
    params(ListBulk),
    responses((status = 200, description = "The operations", body = Page<BulkView>)),
)]
pub(crate) async fn list_bulk_operations(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Query(query): Query<ListBulk>,
) -> Result<Json<Page<BulkView>>, Problem> {
    let (limit, cursors) = (limit_of(query.limit)?, Cursor::of("bulk", &()));
    let found = hub.stepwell.bulk().list(cursors.read(query.cursor.as_deref())?, limit).await?;
    let theirs = found.items.into_iter().filter(|operation| is_theirs(&grant, operation));
    let next = found.next.map(|next| cursors.write(&next));
    let data = theirs.map(BulkView::from).collect();
    Ok(Json(Page { data, page: PageInfo { next, prev: None, limit, pos: None } }))
}

/// A bulk operation as it stands.
#[utoipa::path(
    get, path = "/api/v1/bulk-operations/{id}", tag = "bulk",
    params(("id" = String, Path, description = "The operation's id", format = "uuid"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that was seen last")),
    responses(
        (status = 200, description = "The operation", body = BulkView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It has not changed"),
    ),
)]
pub(crate) async fn get_bulk_operation(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
    condition: Condition,
) -> Result<Response, Problem> {
    let found = find(&hub, &grant, &id).await?;
    let tag = [(header::ETAG, etag(found.version))];
    match condition.is_known(found.version) {
        true => Ok((StatusCode::NOT_MODIFIED, tag).into_response()),
        false => Ok((tag, Json(BulkView::from(found))).into_response()),
    }
}

/// Stops a bulk operation. What it has done stays done. One that has ended stays as it is.
#[utoipa::path(
    post, path = "/api/v1/bulk-operations/{id}/cancel", tag = "bulk",
    params(("id" = String, Path, description = "The operation's id", format = "uuid")),
    responses((status = 200, description = "Where it stands", body = BulkView)),
)]
pub(crate) async fn cancel_bulk_operation(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<Json<BulkView>, Problem> {
    let found = find(&hub, &grant, &id).await?;
    Ok(Json(hub.stepwell.bulk().cancel(found.id).await?.into()))
}

/// The jobs to which a bulk operation could not do it, and why.
#[utoipa::path(
    get, path = "/api/v1/bulk-operations/{id}/failures", tag = "bulk",
    params(("id" = String, Path, description = "The operation's id", format = "uuid")),
    responses((status = 200, description = "At most the last 1,000", body = Whole<BulkFailureView>)),
)]
pub(crate) async fn list_bulk_failures(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Segment(id): Segment,
) -> Result<Json<Whole<BulkFailureView>>, Problem> {
    let found = find(&hub, &grant, &id).await?;
    let failures = hub.stepwell.bulk().failures(found.id).await?;
    Ok(Json(Whole { data: failures.into_iter().map(BulkFailureView::from).collect() }))
}

/// The operation with this id, if it is theirs to see.
async fn find(hub: &Hub, grant: &Grant, id: &str) -> Result<BulkOperation, Problem> {
    let missing = || Problem::not_found("bulk operation");
    let id: JobId = id.parse().map_err(|_| missing())?;
    let found = hub.stepwell.bulk().get(id).await?;
    match is_theirs(grant, &found) {
        true => Ok(found),
        false => Err(missing()),
    }
}

/// Whoever is limited to queues or kinds sees the operations that are limited to the same.
fn is_theirs(grant: &Grant, operation: &BulkOperation) -> bool {
    let Selection { only_queues, only_kinds, .. } = &operation.selection;
    !grant.is_limited() || (*only_queues == grant.queues && *only_kinds == grant.kinds)
}
