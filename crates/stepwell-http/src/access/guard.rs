//! The check before every operation. An operation gets a route only through here, so that none can be without one.

use std::sync::Arc;

use axum::{
    extract::{OriginalUri, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::Method;
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, ResponseBuilder, path::Operation, path::PathItem,
    security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{Grant, Scope, audit};
use crate::{
    front::{Code, Door, Problem},
    hub::Hub,
};

/// What an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it tells nothing that is not public.
    Nothing,
    /// Anybody who is known.
    Anybody,
    /// This scope.
    Scope(Scope),
    /// This scope, or a ticket in its place.
    Ticket(Scope),
}

impl From<Scope> for Need {
    fn from(scope: Scope) -> Self {
        Self::Scope(scope)
    }
}

/// A router in the making, behind the guard.
pub(crate) struct Guard {
    /// None if only the description is wanted.
    hub: Option<Arc<Hub>>,
    router: OpenApiRouter<Arc<Hub>>,
}

#[derive(Clone)]
struct Operating {
    hub: Arc<Hub>,
    need: Need,
    name: Arc<str>,
    audited: bool,
}

impl Guard {
    pub(crate) fn new(hub: Option<Arc<Hub>>, router: OpenApiRouter<Arc<Hub>>) -> Self {
        Self { hub, router }
    }
    pub(crate) fn into_router(self) -> OpenApiRouter<Arc<Hub>> {
        self.router
    }
    /// Adds an operation that is written down in the audit log if it can change something.
    pub(crate) fn on(self, need: impl Into<Need>, operation: UtoipaMethodRouter<Arc<Hub>>) -> Self {
        self.add(need.into(), operation, true)
    }
    /// Adds an operation whose changes are told elsewhere: a new job is an event of the log, which is never without it.
    pub(crate) fn on_unaudited(self, need: impl Into<Need>, operation: UtoipaMethodRouter<Arc<Hub>>) -> Self {
        self.add(need.into(), operation, false)
    }

    fn add(mut self, need: Need, operation: UtoipaMethodRouter<Arc<Hub>>, audited: bool) -> Self {
        let (schemas, mut paths, mut methods) = operation;
        let mut name = String::new();
        for item in paths.paths.values_mut() {
            for operation in operations(item) {
                describe(operation, need);
                name = operation.operation_id.clone().unwrap_or_default();
            }
        }
        if let Some(hub) = &self.hub {
            let operating = Operating { hub: hub.clone(), need, name: name.into(), audited };
            // Only where the method exists: what is not there needs no token to be found missing.
            methods = methods.route_layer(from_fn_with_state(operating, check));
        }
        self.router = self.router.routes((schemas, paths, methods));
        self
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// What the description says of every operation alike.
fn describe(operation: &mut Operation, need: Need) {
    let (scope, security) = match need {
        Need::Nothing => ("none", Vec::new()),
        Need::Anybody => ("any", vec![SecurityRequirement::new("token", Vec::<String>::new())]),
        Need::Scope(scope) => (scope.as_str(), vec![SecurityRequirement::new("token", [scope.as_str()])]),
        Need::Ticket(scope) => (
            scope.as_str(),
            vec![
                SecurityRequirement::new("token", [scope.as_str()]),
                SecurityRequirement::new("ticket", Vec::<String>::new()),
            ],
        ),
    };
    let extensions = operation.extensions.get_or_insert_default();
    extensions.insert("x-scope".into(), scope.into());
    operation.security = Some(security);
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let refused =
        ResponseBuilder::new().description("Refused").content("application/problem+json", problem).build();
    operation.responses.responses.insert("default".into(), RefOr::T(refused));
}

async fn check(State(operating): State<Operating>, request: Request, next: Next) -> Response {
    match admit(&operating, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn admit(operating: &Operating, request: Request, next: Next) -> Result<Response, Problem> {
    let Operating { hub, need, name, audited } = operating;
    if *need == Need::Nothing {
        return Ok(next.run(request).await);
    }
    let (mut parts, body) = request.into_parts();
    let ticket = ticket_of(*need, parts.uri.query());
    let (grant, is_ticket) = match ticket {
        Some(ticket) => {
            let refused = || {
                let detail = "the ticket does not exist, has ended, or was used; get a new one";
                Problem::new(Code::Unauthenticated, detail)
            };
            let taken = hub.tickets.take(&hub.stepwell, &ticket).ok_or_else(refused)?;
            // It is worth no more than the token that it was given for.
            if !hub.is_still_good(&taken).await {
                return Err(refused());
            }
            (taken, true)
        }
        None => (hub.who(&parts).await?, false),
    };
    let counted = if hub.is_restricted() { hub.rates.count(&grant.who)? } else { None };
    if let Need::Scope(scope) | Need::Ticket(scope) = need
        && !is_ticket
        && !grant.allows(*scope)
    {
        let detail = format!("this takes a token with the scope `{scope}`");
        return Err(Problem::new(Code::ForbiddenScope, detail));
    }
    let open = match *audited && !matches!(parts.method, Method::GET | Method::HEAD) {
        true => Some(begin(hub, &grant, name, &parts).await?),
        false => None,
    };
    parts.extensions.insert::<Arc<Grant>>(grant);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(open) = open {
        open.end(&hub.stepwell, response.status().as_u16()).await;
    }
    if let Some(counted) = counted {
        counted.tell(response.headers_mut());
    }
    Ok(response)
}

async fn begin(
    hub: &Hub,
    grant: &Grant,
    name: &str,
    parts: &http::request::Parts,
) -> Result<audit::Open, Problem> {
    let target = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri).path();
    let request_id = parts.extensions.get::<Door>().map_or("", |door| &*door.request_id);
    Ok(audit::begin(&hub.stepwell, grant, name, target, request_id).await?)
}

fn ticket_of(need: Need, query: Option<&str>) -> Option<String> {
    let Need::Ticket(_) = need else { return None };
    let mut pairs = form_urlencoded::parse(query.unwrap_or("").as_bytes());
    pairs.find(|(name, _)| name == "ticket").map(|(_, value)| value.into_owned())
}
