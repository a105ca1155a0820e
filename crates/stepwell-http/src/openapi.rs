//! The description of the API, made from the code.

use std::sync::OnceLock;

use utoipa::{
    OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};

use crate::{front::ProblemBody, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Stepwell",
        description = "A durable job queue: jobs are lists of phases, and each result is on disk when its phase ends.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ProblemBody)),
    tags(
        (name = "jobs", description = "Create, watch and steer jobs."),
        (name = "queues", description = "Queues and kinds."),
        (name = "events", description = "What happened, live."),
        (name = "webhooks", description = "Tell other systems."),
        (name = "workers", description = "Work jobs from any language."),
        (name = "bulk", description = "The same for many jobs."),
        (name = "stats", description = "How much, how fast."),
        (name = "access", description = "Tokens, and who changed what."),
        (name = "system", description = "The server itself."),
    ),
    // Every address is relative to where the router is mounted.
    servers((url = "../..", description = "Where this description was read")),
)]
struct Frame;

/// What the operations are put into.
pub(crate) fn frame() -> utoipa::openapi::OpenApi {
    let mut frame = Frame::openapi();
    frame.info.version = env!("CARGO_PKG_VERSION").into();
    let components = frame.components.get_or_insert_default();
    let token = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("sw_<id>_<secret>").build();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    let ticket = ApiKeyValue::with_description("ticket", "A ticket of `POST /api/v1/events/tickets`");
    components.add_security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    frame
}

/// The OpenAPI description, as it is served and committed.
#[must_use]
pub fn openapi_json() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let described = routes::table(None).into_openapi();
        // Through a value, whose members have an order of their own.
        let value = serde_json::to_value(&described).unwrap_or_default();
        let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
        text.push('\n');
        text
    })
}
