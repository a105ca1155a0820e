//! The server itself.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use stepwell::Name;
use utoipa::ToSchema;

use crate::{
    access::{Caller, Scope},
    front::{Code, Problem, Segment},
    hub::Hub,
    openapi,
    shape::time,
};

/// How long the store has to show that it can be read.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// How a check went.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "system",
    responses((status = 200, description = "It does", body = Health)),
)]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests can be served: the store can be read, and the server is not shutting down.
#[utoipa::path(
    get, path = "/readyz", tag = "system",
    responses((status = 200, description = "They can", body = Health)),
)]
pub(crate) async fn readyz(State(hub): State<Arc<Hub>>) -> Result<Json<Health>, Problem> {
    if hub.draining.is_cancelled() || !hub.stepwell.is_open() {
        let problem = Problem::new(Code::Draining, "the server is shutting down");
        return Err(problem.retry_after(Duration::from_secs(2)));
    }
    match tokio::time::timeout(READY_WITHIN, hub.stepwell.queues()).await {
        Ok(read) => drop(read?),
        Err(_) => {
            let problem = Problem::new(Code::StoreUnavailable, "the store does not answer in time");
            return Err(problem.retry_after(READY_WITHIN));
        }
    }
    Ok(Json(Health { status: "ok" }))
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub(crate) async fn openapi() -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], openapi::openapi_json()).into_response()
}

/// What a kind of problem means, and what to do about it.
#[utoipa::path(
    get, path = "/problems/{code}", tag = "system",
    params(("code" = String, Path, description = "The problem's code")),
    responses((status = 200, description = "In words", body = String, content_type = "text/plain")),
)]
pub(crate) async fn problem_page(Segment(code): Segment) -> Result<Response, Problem> {
    let found = Code::ALL.iter().find(|known| known.as_str() == code);
    let code = found.ok_or_else(|| Problem::not_found("kind of problem"))?;
    let text =
        format!("{} ({}, {})\n\n{}\n", code.title(), code.as_str(), code.status().as_u16(), code.help());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, plain)], text).into_response())
}

/// What serves this.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    /// The server's version.
    version: &'static str,
    /// What jobs are stored in.
    store: &'static str,
    /// What an acknowledgement means.
    durability: String,
    /// The id of the event log.
    generation: String,
}

/// What serves this.
#[utoipa::path(
    get, path = "/api/v1/version", tag = "system",
    responses((status = 200, description = "Version and store", body = Version)),
)]
pub(crate) async fn version(State(hub): State<Arc<Hub>>) -> Json<Version> {
    let store = hub.stepwell.describe();
    Json(Version {
        version: env!("CARGO_PKG_VERSION"),
        store: store.store,
        durability: store.durability,
        generation: store.generation,
    })
}

/// Who asks.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Caller)]
pub(crate) struct CallerView {
    /// The token's id.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<Scope>,
    /// In which queues only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    queues: Option<Vec<Name>>,
    /// With jobs of which kinds only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    kinds: Option<Vec<Name>>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Who asks, as the server sees it.
#[utoipa::path(
    get, path = "/api/v1/whoami", tag = "system",
    responses((status = 200, description = "The token and what it may do", body = CallerView)),
)]
pub(crate) async fn whoami(Caller(grant): Caller) -> Json<CallerView> {
    Json(CallerView {
        id: grant.who.to_string(),
        name: grant.name.to_string(),
        scopes: grant.scopes.iter().copied().collect(),
        queues: grant.queues.as_ref().map(|queues| queues.iter().cloned().collect()),
        kinds: grant.kinds.as_ref().map(|kinds| kinds.iter().cloned().collect()),
        expires_at: grant.expires_at.map(time),
    })
}
