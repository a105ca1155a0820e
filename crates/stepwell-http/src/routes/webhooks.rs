//! Webhook endpoints. An endpoint is told of every queue, so all of this takes a token that is for every queue.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use stepwell::{
    Error,
    webhook::{Endpoint, NewEndpoint, Secret},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    deliveries::DeliveryId,
    list::limit_of,
    once::{Once, gone, replayed},
};
use crate::{
    access::{Caller, Unlimited},
    front::{Condition, Cursor, JsonBody, OptionalBody, Page, PageInfo, Problem, Query, Segment, etag},
    hub::Hub,
    shape::{EndpointEdit, EndpointRequest, EndpointView, HealthView, millis},
};

/// Which page of the endpoints.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListWebhooks {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many; 50 unless set.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Endpoints, in the order in which they were made.
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "webhooks",
    params(ListWebhooks),
    responses((status = 200, description = "The endpoints", body = Page<EndpointView>)),
)]
pub(crate) async fn list_webhooks(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Query(query): Query<ListWebhooks>,
) -> Result<Json<Page<EndpointView>>, Problem> {
    let (limit, cursors) = (limit_of(query.limit)?, Cursor::of("webhooks", &()));
    let found = hub.stepwell.webhooks().list(cursors.read(query.cursor.as_deref())?, limit).await?;
    let data = found.items.into_iter().map(EndpointView::from).collect();
    let next = found.next.map(|next| cursors.write(&next));
    Ok(Json(Page { data, page: PageInfo { next, prev: None, limit, pos: None } }))
}

/// An endpoint whose secret is new.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookSecret {
    /// The secret, if it was made here. It is shown this once: when the answer is given again to a request with the
    /// same `Idempotency-Key`, it is left out. `rotate-secret` makes another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The endpoint.
    webhook: EndpointView,
}

/// Makes an endpoint, which is told of what happens from now on.
///
/// Without a `secret` one is made, and shown in this answer only. A request with an `Idempotency-Key` counts once in 24
/// hours: sent again, it is answered with the endpoint as it is then, without the secret.
#[utoipa::path(
    post, path = "/api/v1/webhooks", tag = "webhooks",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
    request_body = EndpointRequest,
    responses((status = 201, description = "The endpoint", body = WebhookSecret,
        headers(("Location" = String, description = "The endpoint, relative to this address"),
            ("ETag" = String, description = "Its version")))),
)]
pub(crate) async fn create_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Caller(grant): Caller,
    headers: HeaderMap,
    JsonBody(asked, bytes): JsonBody<EndpointRequest>,
) -> Result<Response, Problem> {
    let once = Once::read(&grant, &headers, &bytes)?.map(|once| once.of("webhook"));
    let new = NewEndpoint { once, ..asked.into() };
    let made = hub.stepwell.webhooks().create(new).await;
    let made =
        made.map_err(|error| if error.is_not_found() { gone(error, "webhook") } else { of_endpoint(error) })?;
    let is_replayed = made.is_replayed;
    let tag = etag(made.endpoint.version);
    let location = HeaderValue::try_from(format!("webhooks/{}", made.endpoint.id));
    let secret = made.secret.map(|secret| secret.reveal().to_owned());
    let made = WebhookSecret { secret, webhook: made.endpoint.into() };
    let mut response = (StatusCode::CREATED, [(header::ETAG, tag)], Json(made)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(replayed(response, is_replayed))
}

/// An endpoint.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag that was seen last")),
    responses(
        (status = 200, description = "The endpoint", body = EndpointView,
            headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It has not changed"),
    ),
)]
pub(crate) async fn get_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
    condition: Condition,
) -> Result<Response, Problem> {
    let found = hub.stepwell.webhooks().get(&id).await?;
    match condition.is_known(found.version) {
        true => Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag(found.version))]).into_response()),
        false => Ok(shown(found)),
    }
}

/// Changes an endpoint.
///
/// With `If-Match`, only if it is still at that version. The secret is changed with `rotate-secret`.
#[utoipa::path(
    patch, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was seen last")),
    request_body = EndpointEdit,
    responses((status = 200, description = "The endpoint, changed", body = EndpointView,
        headers(("ETag" = String, description = "Its version")))),
)]
pub(crate) async fn edit_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
    condition: Condition,
    JsonBody(asked, _): JsonBody<EndpointEdit>,
) -> Result<Response, Problem> {
    let changed = hub.stepwell.webhooks().update(&id, condition.only_at, asked.change()?).await;
    changed.map(shown).map_err(of_endpoint)
}

/// Removes an endpoint. Deliveries to it that still wait are given up when they are due.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id"),
        ("If-Match" = Option<String>, Header, description = "The ETag that was seen last")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
    condition: Condition,
) -> Result<StatusCode, Problem> {
    hub.stepwell.webhooks().delete(&id, condition.only_at).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells an endpoint of what happens from now on, if it was disabled.
///
/// What happened while it was disabled is not told afterwards. Deliveries that were given up can be replayed.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/enable", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses((status = 200, description = "The endpoint", body = EndpointView)),
)]
pub(crate) async fn enable_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
) -> Result<Response, Problem> {
    Ok(shown(hub.stepwell.webhooks().enable(&id).await?))
}

/// Tells an endpoint of nothing more. Deliveries to it that still wait are given up when they are due.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/disable", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses((status = 200, description = "The endpoint", body = EndpointView)),
)]
pub(crate) async fn disable_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
) -> Result<Response, Problem> {
    Ok(shown(hub.stepwell.webhooks().disable(&id).await?))
}

/// How to change a secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateSecret {
    /// The new one: `whsec_` and 24 to 64 bytes in base64. One is made if none is given.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
    /// For how many milliseconds the old one is signed with, too: 24 hours unless set, at most 30 days.
    #[schema(maximum = 2_592_000_000_i64)]
    overlap_ms: Option<u64>,
}

/// Gives an endpoint a new secret.
///
/// For a while deliveries are signed with both, so that the receiver can change over in its own time.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id")),
    request_body = Option<RotateSecret>,
    responses((status = 200, description = "The endpoint, and the secret if it was made here", body = WebhookSecret)),
)]
pub(crate) async fn rotate_webhook_secret(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
    OptionalBody(asked): OptionalBody<RotateSecret>,
) -> Result<Json<WebhookSecret>, Problem> {
    let overlap = asked.overlap_ms.map(|ms| millis("#/overlapMs", ms)).transpose()?;
    let made = hub.stepwell.webhooks().rotate_secret(&id, asked.secret, overlap).await?;
    let secret = made.secret.map(|secret| secret.reveal().to_owned());
    Ok(Json(WebhookSecret { secret, webhook: made.endpoint.into() }))
}

/// Sends something to an endpoint, to see whether it arrives. How that went is found with the delivery.
///
/// A request with an `Idempotency-Key` counts once in 24 hours: sent again, it is answered with the same delivery.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
    responses((status = 202, description = "The delivery", body = DeliveryId)),
)]
pub(crate) async fn test_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Caller(grant): Caller,
    headers: HeaderMap,
    Segment(id): Segment,
) -> Result<Response, Problem> {
    // There is no body: the endpoint is what tells requests apart.
    let once = Once::read(&grant, &headers, id.as_bytes())?.map(|once| once.of("test"));
    let tested = hub.stepwell.webhooks().test_once(&id, once).await?;
    let answer = (StatusCode::ACCEPTED, Json(DeliveryId { delivery_id: tested.delivery })).into_response();
    Ok(replayed(answer, tested.is_replayed))
}

/// How an endpoint has been doing, and how many deliveries to it there are.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/stats", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id")),
    responses((status = 200, description = "How it has been doing", body = HealthView)),
)]
pub(crate) async fn get_webhook_stats(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
) -> Result<Json<HealthView>, Problem> {
    Ok(Json(hub.stepwell.webhooks().health(&id).await?.into()))
}

fn shown(endpoint: Endpoint) -> Response {
    ([(header::ETAG, etag(endpoint.version))], Json(EndpointView::from(endpoint))).into_response()
}

/// A fault in an endpoint is one in the whole body: there are no fields of a job around it.
fn of_endpoint(error: Error) -> Problem {
    let mut problem = Problem::from(error);
    for fault in &mut problem.errors {
        if let Some(rest) = fault.pointer.strip_prefix("#/webhook/") {
            fault.pointer = format!("#/{rest}");
        }
    }
    problem
}
