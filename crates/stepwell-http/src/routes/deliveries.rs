//! Deliveries to webhooks.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use stepwell::{
    JobId, Order, PageRequest, Timestamp,
    webhook::{DeliveryFilter, DeliveryState, Replay},
};
use utoipa::{IntoParams, ToSchema};

use super::{
    jobs::Named,
    list::{OrderName, limit_of},
};
use crate::{
    access::Unlimited,
    front::{Cursor, OptionalBody, Page, PageInfo, Problem, Query, Segment},
    hub::Hub,
    shape::{DeliveryDetailView, DeliveryStateName, DeliveryView, parse_time},
};

/// Deliveries that one call sends again, at most.
const REPLAY_MAX: usize = 1_000;

/// The id of a delivery.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeliveryId {
    /// The delivery.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) delivery_id: JobId,
}

/// Which page of all deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListDeliveries {
    /// To this endpoint.
    endpoint: Option<String>,
    /// About this job.
    #[param(value_type = Option<String>, format = "uuid")]
    job: Option<JobId>,
    /// In this state.
    #[param(value_type = Option<DeliveryStateName>, inline)]
    state: Option<DeliveryState>,
    /// That came to be at this time or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// That came to be before this time.
    #[param(format = DateTime)]
    until: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many; 50 unless set.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// By when they came to be: `desc`, unless set, has the last one first.
    #[param(inline)]
    order: Option<OrderName>,
}

/// Which page of the deliveries to one endpoint, or about one job.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListDeliveriesOf {
    /// In this state.
    #[param(value_type = Option<DeliveryStateName>, inline)]
    state: Option<DeliveryState>,
    /// That came to be at this time or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// That came to be before this time.
    #[param(format = DateTime)]
    until: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many; 50 unless set.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// By when they came to be: `desc`, unless set, has the last one first.
    #[param(inline)]
    order: Option<OrderName>,
}

impl ListDeliveriesOf {
    fn of(self, endpoint: Option<String>, job: Option<JobId>) -> ListDeliveries {
        let Self { state, since, until, cursor, limit, order } = self;
        ListDeliveries { endpoint, job, state, since, until, cursor, limit, order }
    }
}

async fn page(hub: &Hub, query: ListDeliveries) -> Result<Json<Page<DeliveryView>>, Problem> {
    let ListDeliveries { endpoint, job, state, since, until, cursor, limit, order } = query;
    let (limit, order) = (limit_of(limit)?, order.unwrap_or_default());
    let cursors = Cursor::of("deliveries", &(&endpoint, job, state, &since, &until, order));
    let after: Option<i64> = cursors.read(cursor.as_deref())?;
    let (since, until) = (time_of("?since", since)?, time_of("?until", until)?);
    let wanted = match order {
        OrderName::Asc => Order::OldestFirst,
        OrderName::Desc => Order::NewestFirst,
    };
    let filter = DeliveryFilter { endpoint, job, state, since, until };
    let found =
        hub.stepwell.webhooks().deliveries(filter, PageRequest { order: wanted, limit, after }).await?;
    let next = found.next.map(|next| cursors.write(&next));
    let data = found.items.into_iter().map(DeliveryView::from).collect();
    Ok(Json(Page { data, page: PageInfo { next, prev: None, limit, pos: None } }))
}

fn time_of(pointer: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| parse_time(pointer, &text).map(Timestamp::from)).transpose()
}

/// Deliveries, page by page.
#[utoipa::path(
    get, path = "/api/v1/deliveries", tag = "webhooks",
    params(ListDeliveries),
    responses((status = 200, description = "The deliveries", body = Page<DeliveryView>)),
)]
pub(crate) async fn list_deliveries(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Query(query): Query<ListDeliveries>,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    page(&hub, query).await
}

/// The deliveries to an endpoint.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id"), ListDeliveriesOf),
    responses((status = 200, description = "The deliveries", body = Page<DeliveryView>)),
)]
pub(crate) async fn list_webhook_deliveries(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
    Query(query): Query<ListDeliveriesOf>,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    hub.stepwell.webhooks().get(&id).await?;
    page(&hub, query.of(Some(id), None)).await
}

/// The deliveries about a job. They outlive it: after it was deleted, `GET /api/v1/deliveries?job=…` has them.
#[utoipa::path(
    get, path = "/api/v1/jobs/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "The job's id", format = "uuid"), ListDeliveriesOf),
    responses((status = 200, description = "The deliveries", body = Page<DeliveryView>)),
)]
pub(crate) async fn list_job_deliveries(
    State(hub): State<Arc<Hub>>,
    Named(job): Named,
    Query(query): Query<ListDeliveriesOf>,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    page(&hub, query.of(None, Some(job.id))).await
}

/// A delivery, with what is sent and how each attempt went.
#[utoipa::path(
    get, path = "/api/v1/deliveries/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery's id", format = "uuid")),
    responses((status = 200, description = "The delivery", body = DeliveryDetailView)),
)]
pub(crate) async fn get_delivery(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
) -> Result<Json<DeliveryDetailView>, Problem> {
    Ok(Json(hub.stepwell.webhooks().delivery(named(&id)?).await?.into()))
}

/// Sends a delivery again, under the same `webhook-id`.
///
/// One that has ended gets a fresh set of attempts, one that waits does not wait any longer, and one that is under way
/// goes on.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/redeliver", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery's id", format = "uuid")),
    responses((status = 200, description = "Where it stands", body = DeliveryView)),
)]
pub(crate) async fn redeliver(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
) -> Result<Json<DeliveryView>, Problem> {
    Ok(Json(hub.stepwell.webhooks().redeliver(named(&id)?).await?.into()))
}

/// Gives up a delivery that has not ended. It is kept, and can be sent again.
#[utoipa::path(
    post, path = "/api/v1/deliveries/{id}/skip", tag = "webhooks",
    params(("id" = String, Path, description = "The delivery's id", format = "uuid")),
    responses((status = 200, description = "Where it stands", body = DeliveryView)),
)]
pub(crate) async fn skip_delivery(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
) -> Result<Json<DeliveryView>, Problem> {
    Ok(Json(hub.stepwell.webhooks().skip(named(&id)?).await?.into()))
}

/// Which deliveries to an endpoint are sent again. Everything that is given must match.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReplayRequest {
    /// Only these; not together with `state`, `since` or `until`.
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 1000)]
    ids: Option<Vec<JobId>>,
    /// In this state: failed ones unless set.
    #[schema(value_type = Option<DeliveryStateName>)]
    state: Option<DeliveryState>,
    /// That came to be at this time or later.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// That came to be before this time.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// How many at most; 1,000 unless set.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The `next` of the call before, with the same selection.
    cursor: Option<String>,
}

/// What a replay did.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayAnswer {
    /// How many deliveries are sent again.
    replayed: usize,
    /// The `cursor` of the next call; null if there are no more.
    next: Option<String>,
}

/// Sends deliveries to an endpoint again, under the same `webhook-id`s, at most 1,000 in one call.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/replay", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint's id")),
    request_body = Option<ReplayRequest>,
    responses((status = 200, description = "How many, and where to go on", body = ReplayAnswer)),
)]
pub(crate) async fn replay_webhook(
    State(hub): State<Arc<Hub>>,
    _: Unlimited,
    Segment(id): Segment,
    OptionalBody(asked): OptionalBody<ReplayRequest>,
) -> Result<Json<ReplayAnswer>, Problem> {
    let ReplayRequest { ids, state, since, until, limit, cursor } = asked;
    if limit.is_some_and(|limit| !(1..=REPLAY_MAX).contains(&limit)) {
        return Err(Problem::of("#/limit", format!("must be 1 to {REPLAY_MAX}")));
    }
    let is_selection = state.is_some() || since.is_some() || until.is_some() || cursor.is_some();
    let ids = match ids {
        Some(_) if is_selection => {
            return Err(Problem::of("#/ids", "cannot stand together with another selection; leave one out"));
        }
        Some(ids) if ids.is_empty() => {
            return Err(Problem::of("#/ids", "names nothing; name a delivery, or leave it out"));
        }
        ids => ids.unwrap_or_default(),
    };
    let cursors = Cursor::of("replay", &(&id, state, &since, &until));
    let after = cursors.read(cursor.as_deref())?;
    let (since, until) = (time_of("#/since", since)?, time_of("#/until", until)?);
    let webhooks = hub.stepwell.webhooks();
    webhooks.get(&id).await?;
    let replay = Replay { endpoint: Some(id), job: None, ids, state, since, until, after, limit };
    let done = webhooks.replay(replay).await?;
    Ok(Json(ReplayAnswer { replayed: done.replayed, next: done.next.map(|next| cursors.write(&next)) }))
}

fn named(id: &str) -> Result<JobId, Problem> {
    // What is no id names no delivery.
    id.parse().map_err(|_| Problem::not_found("delivery"))
}
