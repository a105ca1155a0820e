//! Tokens, and who changed what.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use stepwell::Name;
use utoipa::{IntoParams, ToSchema};

use super::{
    aspects::Whole,
    list::limit_of,
    once::{Once, gone, replayed},
};
use crate::{
    access::{AUDIT, Caller, Entry, NewToken, Rotation, Scope, TokenRecord},
    front::{Cursor, JsonBody, OptionalBody, Page, PageInfo, Problem, Query, Segment},
    hub::Hub,
    shape::time,
};

/// A token, without its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub(crate) struct TokenView {
    /// The part of it that names it.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: BTreeSet<Scope>,
    /// In which queues only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    queues: Option<BTreeSet<Name>>,
    /// With jobs of which kinds only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    kinds: Option<BTreeSet<Name>>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was last used, to within a few minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
}

impl From<TokenRecord> for TokenView {
    fn from(token: TokenRecord) -> Self {
        let TokenRecord { id, name, scopes, queues, kinds, .. } = token;
        Self {
            id,
            name,
            scopes,
            queues,
            kinds,
            created_at: time(token.created_at),
            expires_at: token.expires_at.map(time),
            last_used_at: token.last_used_at.map(time),
        }
    }
}

/// Every token, without the secrets.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "access",
    responses((status = 200, description = "The tokens", body = Whole<TokenView>)),
)]
pub(crate) async fn list_tokens(State(hub): State<Arc<Hub>>) -> Result<Json<Whole<TokenView>>, Problem> {
    let found = hub.tokens.list().await?;
    Ok(Json(Whole { data: found.into_iter().map(TokenView::from).collect() }))
}

/// A token that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// What people call it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// In which queues only.
    #[schema(min_items = 1, max_items = 100)]
    queues: Option<Vec<String>>,
    /// With jobs of which kinds only.
    #[schema(min_items = 1, max_items = 100)]
    kinds: Option<Vec<String>>,
    /// It ends by itself after so many milliseconds.
    #[schema(minimum = 1, maximum = 3_153_600_000_000_i64)]
    expires_in_ms: Option<u64>,
}

/// A new token.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenCreated {
    /// The token itself. It is shown this once, and stored nowhere: when the answer is given again to a request with
    /// the same `Idempotency-Key`, it is left out. If it was lost, revoke the token, and make another with a new key.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// What is known of it.
    token: TokenView,
}

/// Makes a token.
///
/// A request with an `Idempotency-Key` counts once in 24 hours: sent again, it is answered with the same token, without
/// its secret, of which only a hash is stored.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "access",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the request count once",
        min_length = 1, max_length = 255)),
    request_body = TokenRequest,
    responses((status = 201, description = "The token", body = TokenCreated)),
)]
pub(crate) async fn create_token(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    headers: HeaderMap,
    JsonBody(asked, bytes): JsonBody<TokenRequest>,
) -> Result<Response, Problem> {
    let once = Once::read(&grant, &headers, &bytes)?.map(|once| once.of("token"));
    let names = |names: Option<Vec<String>>| names.map(|names| names.into_iter().map(Name::from).collect());
    let new = NewToken {
        name: asked.name,
        scopes: asked.scopes.into_iter().collect(),
        queues: names(asked.queues),
        kinds: names(asked.kinds),
        expires_in: asked.expires_in_ms.map(Duration::from_millis),
    };
    let (token, secret) = match once {
        Some(once) => hub.tokens.create_once(new, once).await.map_err(|error| gone(error, "token"))?,
        None => hub.tokens.create(new).await.map(|(token, secret)| (token, Some(secret)))?,
    };
    let is_replayed = secret.is_none();
    let created = TokenCreated { secret, token: token.into() };
    Ok(replayed((StatusCode::CREATED, Json(created)).into_response(), is_replayed))
}

/// How a token is replaced.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RotateToken {
    /// How many milliseconds the old token is good beside the new one; unless set, it ends at once.
    #[serde(default)]
    #[schema(maximum = 2_592_000_000_i64)]
    overlap_ms: u64,
    /// The new one ends by itself after so many milliseconds; unless set, after as long as the old one was made for.
    #[schema(minimum = 1, maximum = 3_153_600_000_000_i64)]
    expires_in_ms: Option<u64>,
}

/// The longest that an old token is good beside the new one.
const OVERLAP_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Replaces a token by a new one that may do the same, with an id and a secret of its own.
///
/// The old one ends at once, or after an overlap in which both are good. If the answer was lost, list the tokens, and
/// rotate the new one.
#[utoipa::path(
    post, path = "/api/v1/tokens/{id}/rotate", tag = "access",
    params(("id" = String, Path, description = "The part of the token that names it")),
    request_body = Option<RotateToken>,
    responses((status = 201, description = "The new token", body = TokenCreated)),
)]
pub(crate) async fn rotate_token(
    State(hub): State<Arc<Hub>>,
    Segment(id): Segment,
    OptionalBody(asked): OptionalBody<RotateToken>,
) -> Result<(StatusCode, Json<TokenCreated>), Problem> {
    if asked.overlap_ms > OVERLAP_MS_MAX {
        return Err(Problem::of(
            "#/overlapMs",
            format!("must be at most {OVERLAP_MS_MAX}, which is 30 days"),
        ));
    }
    let rotation = Rotation {
        overlap: Duration::from_millis(asked.overlap_ms),
        expires_in: asked.expires_in_ms.map(Duration::from_millis),
    };
    let (token, secret) = hub.tokens.rotate(&id, rotation).await?;
    Ok((StatusCode::CREATED, Json(TokenCreated { secret: Some(secret), token: token.into() })))
}

/// Revokes a token. Here it takes effect at once, in other processes within two seconds.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "access",
    params(("id" = String, Path, description = "The part of the token that names it")),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn revoke_token(
    State(hub): State<Arc<Hub>>,
    Segment(id): Segment,
) -> Result<StatusCode, Problem> {
    hub.tokens.revoke(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which page of the audit log.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListAudit {
    /// The `next` of the page before.
    cursor: Option<String>,
    /// How many; 50 unless set.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Who changed what.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditEntry {
    /// Its id. Ids sort by time.
    id: String,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The token's id.
    who: String,
    /// What people call it.
    name: String,
    /// The operation, as it is called in the description.
    action: String,
    /// The address it was asked of.
    target: String,
    /// The request's id.
    request_id: String,
    /// The status that was answered; absent if the process died before.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

/// Who changed what, the last change first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "access",
    params(ListAudit),
    responses((status = 200, description = "The entries", body = Page<AuditEntry>)),
)]
pub(crate) async fn list_audit(
    State(hub): State<Arc<Hub>>,
    Query(query): Query<ListAudit>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    let (limit, cursors) = (limit_of(query.limit)?, Cursor::of("audit", &()));
    let after: Option<String> = cursors.read(query.cursor.as_deref())?;
    let found = hub.stepwell.records(AUDIT).list("", after, true, limit).await?.items;
    let next = found.last().filter(|_| found.len() == limit).map(|last| cursors.write(&last.key));
    let shown = |setting: stepwell::Setting| {
        let entry: Entry = setting.value.decode()?;
        let Entry { who, name, action, target, request_id, at, status } = entry;
        Ok(AuditEntry { id: setting.key, at: time(at), who, name, action, target, request_id, status })
    };
    let data = found.into_iter().map(shown).collect::<Result<_, Problem>>()?;
    Ok(Json(Page { data, page: PageInfo { next, prev: None, limit, pos: None } }))
}
