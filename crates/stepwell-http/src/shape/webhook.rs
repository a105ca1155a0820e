//! Webhook endpoints on the wire.

use serde::{Deserialize, Serialize};
use stepwell::{
    EventType, Name,
    webhook::{DisabledReason, Endpoint, EndpointChange, Headers, Health, NewEndpoint, Secret},
};
use utoipa::ToSchema;

use super::time;
use crate::front::Problem;

/// An endpoint that is asked for. What is left out matches everything, but the events: without any these are the ends
/// of runs.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewWebhook)]
pub(crate) struct EndpointRequest {
    /// Where to.
    #[schema(max_length = 2000)]
    url: String,
    /// A word about it, for people.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// The types of events.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    events: Option<Vec<EventType>>,
    /// Only of one of these kinds.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    kinds: Option<Vec<Name>>,
    /// Only in one of these queues.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    queues: Option<Vec<Name>>,
    /// Only with one of these tags.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    tags: Option<Vec<Name>>,
    /// Headers to send with each request, at most 20. Their values are kept like secrets, and never shown.
    headers: Option<Headers>,
    /// What to sign with: `whsec_` and 24 to 64 bytes in base64. One is made if none is given.
    #[schema(value_type = Option<String>)]
    secret: Option<Secret>,
}

impl From<EndpointRequest> for NewEndpoint {
    fn from(asked: EndpointRequest) -> Self {
        Self {
            url: asked.url,
            description: asked.description.unwrap_or_default(),
            events: asked.events.unwrap_or_default(),
            kinds: asked.kinds.unwrap_or_default(),
            queues: asked.queues.unwrap_or_default(),
            tags: asked.tags.unwrap_or_default(),
            headers: asked.headers.unwrap_or_default(),
            secret: asked.secret,
            once: None,
        }
    }
}

/// What is changed of an endpoint. What is left out stays; a list or the headers are replaced as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = EditWebhook)]
pub(crate) struct EndpointEdit {
    /// Where to.
    #[schema(max_length = 2000)]
    url: Option<String>,
    /// A word about it, for people.
    #[schema(max_length = 500)]
    description: Option<String>,
    /// The types of events; none are the ends of runs.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    events: Option<Vec<EventType>>,
    /// Only of one of these kinds; none are all.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    kinds: Option<Vec<Name>>,
    /// Only in one of these queues; none are all.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    queues: Option<Vec<Name>>,
    /// Only with one of these tags; none are all.
    #[schema(value_type = Option<Vec<String>>, max_items = 100)]
    tags: Option<Vec<Name>>,
    /// Headers to send with each request.
    headers: Option<Headers>,
}

impl EndpointEdit {
    /// What is to be changed.
    ///
    /// # Errors
    /// If that is nothing.
    pub(crate) fn change(self) -> Result<EndpointChange, Problem> {
        let Self { url, description, events, kinds, queues, tags, headers } = self;
        let lists = [kinds.is_some(), queues.is_some(), tags.is_some(), events.is_some(), headers.is_some()];
        match url.is_some() || description.is_some() || lists.contains(&true) {
            true => Ok(EndpointChange { url, description, events, kinds, queues, tags, headers }),
            false => Err(Problem::of("#", "changes nothing; name at least one field")),
        }
    }
}

/// An endpoint, without its secrets and without the values of its headers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Webhook)]
pub(crate) struct EndpointView {
    /// Its id.
    id: String,
    /// Where to.
    url: String,
    /// A word about it.
    description: String,
    /// The types of events that it is told of.
    events: Vec<&'static str>,
    /// Only of one of these kinds; empty means all.
    #[schema(value_type = Vec<String>)]
    kinds: Vec<Name>,
    /// Only in one of these queues; empty means all.
    #[schema(value_type = Vec<String>)]
    queues: Vec<Name>,
    /// Only with one of these tags; empty means all.
    #[schema(value_type = Vec<String>)]
    tags: Vec<Name>,
    /// The names of the headers that are sent with each request.
    headers: Vec<String>,
    /// Whether it is told of anything now.
    enabled: bool,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DisabledReasonName>)]
    disabled_reason: Option<DisabledReason>,
    /// Since when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
    /// When each secret that is on its way out ends. The one in use is not among them.
    old_secrets_end_at: Vec<String>,
    /// When it came to be.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was changed last.
    #[schema(format = DateTime)]
    updated_at: String,
    /// Changes with every change.
    version: u64,
}

/// Why an endpoint is told of nothing: an operator wanted it, it answered 410, or every attempt of five days failed.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands for the names in the description")]
pub(crate) enum DisabledReasonName {
    Operator,
    Gone,
    Failing,
}

impl From<Endpoint> for EndpointView {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            id: endpoint.id,
            url: endpoint.url,
            description: endpoint.description,
            events: endpoint.events.iter().map(|ty| ty.as_str()).collect(),
            kinds: endpoint.kinds,
            queues: endpoint.queues,
            tags: endpoint.tags,
            headers: endpoint.headers,
            enabled: endpoint.enabled,
            disabled_reason: endpoint.disabled.as_ref().map(|disabled| disabled.reason),
            disabled_at: endpoint.disabled.map(|disabled| time(disabled.at)),
            old_secrets_end_at: endpoint.old_secrets_end_at.into_iter().map(time).collect(),
            created_at: time(endpoint.created_at),
            updated_at: time(endpoint.updated_at),
            version: endpoint.version,
        }
    }
}

/// How an endpoint has been doing. Times are exact to a minute.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WebhookStats)]
pub(crate) struct HealthView {
    /// Since when every attempt has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    failing_since: Option<String>,
    /// When an attempt last succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_success_at: Option<String>,
    /// When an attempt last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_failure_at: Option<String>,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Deliveries that wait for an attempt.
    waiting: u64,
    /// Deliveries under way.
    sending: u64,
    /// Deliveries that arrived and are still kept.
    delivered: u64,
    /// Deliveries that were given up or skipped, and are still kept.
    failed: u64,
}

impl From<Health> for HealthView {
    fn from(health: Health) -> Self {
        Self {
            failing_since: health.failing_since.map(time),
            last_success_at: health.last_success_at.map(time),
            last_failure_at: health.last_failure_at.map(time),
            last_error: health.last_error,
            waiting: health.waiting,
            sending: health.sending,
            delivered: health.delivered,
            failed: health.failed,
        }
    }
}
