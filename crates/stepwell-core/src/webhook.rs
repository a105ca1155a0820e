//! Which events go to which webhook, and under which id.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    error::Error,
    event::{Event, EventType, is_internal},
    id::JobId,
    name::{self, Name},
};

/// The kind of the jobs that deliver to webhooks.
pub const KIND: &str = "stepwell.webhook";
/// The scope under which endpoints are stored.
pub const ENDPOINTS: &str = "stepwell.endpoint";
/// The scope under which the webhooks of single jobs are stored, by the job's id.
pub const OF_JOBS: &str = "stepwell.endpoint.job";
/// The name of the durable cursor that reads the log for webhooks.
pub const CURSOR: &str = "stepwell.webhook";
/// What the queues of deliveries begin with. Each endpoint has one, so that a slow one is slow by itself.
pub const QUEUE: &str = "stepwell.webhook.";
/// What the queues of deliveries to the webhooks of single jobs begin with.
pub const QUEUE_OF_JOBS: &str = "stepwell.webhook.job-";
/// What the tag of a delivery begins with that names the job which its event is about.
const ABOUT: &str = "job=";

/// Bytes of a URL.
pub const URL_BYTES_MAX: usize = 2_000;
/// Bytes of a secret, once decoded: Standard Webhooks asks for 24 to 64.
pub const SECRET_BYTES_MAX: usize = 64;
/// Headers of one endpoint.
pub const HEADERS_MAX: usize = 20;
/// Secrets of one endpoint: the one in use, and those that are on their way out.
pub const SECRETS_MAX: usize = 5;
/// Endpoints. Each event is held against all of them.
pub const ENDPOINTS_MAX: usize = 1_000;

/// The events that a webhook receives unless it names others: the ends of runs.
pub const DEFAULT_EVENTS: [EventType; 3] = [EventType::Completed, EventType::Failed, EventType::Cancelled];

/// A webhook of one job, as it was enqueued with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobWebhook {
    /// Where to.
    pub url: String,
    /// What the delivery is signed with; without one it is not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Which events; empty means the ends of runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventType>,
}

/// What anybody may see of a job's webhook: not its secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShownWebhook {
    /// Where to.
    pub url: String,
    /// Which events.
    pub events: Vec<EventType>,
}

impl std::fmt::Debug for JobWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The secret stays out of every log and every panic.
        f.debug_struct("JobWebhook")
            .field("url", &self.url)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

impl JobWebhook {
    /// Whether it keeps within the limits. The URL's form is the sender's affair.
    ///
    /// # Errors
    /// What breaks a rule.
    pub fn check(&self) -> Result<(), Error> {
        check_url(&self.url)?;
        check_events(&self.events)?;
        match &self.secret {
            Some(secret) if secret.is_empty() || secret.len() > 2 * SECRET_BYTES_MAX => {
                Err(Error::invalid("webhook.secret", "must be `whsec_` and 24 to 64 bytes in base64"))
            }
            _ => Ok(()),
        }
    }
    /// What anybody may see of it.
    #[must_use]
    pub fn shown(&self) -> ShownWebhook {
        let events = if self.events.is_empty() { DEFAULT_EVENTS.to_vec() } else { self.events.clone() };
        ShownWebhook { url: self.url.clone(), events }
    }
}

/// Whether a URL keeps within its limit and holds nothing that a store could not keep.
///
/// # Errors
/// What breaks a rule.
pub fn check_url(url: &str) -> Result<(), Error> {
    if url.is_empty() || url.len() > URL_BYTES_MAX || url.contains(|c: char| c.is_control()) {
        let problem = format!("must be a URL of at most {URL_BYTES_MAX} bytes without control characters");
        return Err(Error::invalid("webhook.url", problem));
    }
    Ok(())
}

/// Whether these types can be sent to a webhook.
///
/// # Errors
/// What breaks a rule.
pub fn check_events(events: &[EventType]) -> Result<(), Error> {
    match events.iter().find(|ty| !is_sent(**ty)) {
        Some(ty) => Err(Error::invalid(
            "webhook.events",
            format!("cannot hold `{ty}`: telling a webhook about webhooks would have no end"),
        )),
        None => Ok(()),
    }
}

/// Whether events of this type go to webhooks at all.
#[must_use]
pub const fn is_sent(ty: EventType) -> bool {
    !matches!(ty, EventType::WebhookDelivered | EventType::WebhookFailed)
}

/// What an endpoint wants of the log. Everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    /// Of these types; empty means the ends of runs.
    pub events: Vec<EventType>,
    /// Of one of these kinds; empty means all.
    pub kinds: Vec<Name>,
    /// In one of these queues; empty means all.
    pub queues: Vec<Name>,
    /// With one of these tags; empty means all.
    pub tags: Vec<Name>,
    /// Only events after this place in the log: the head when the endpoint was made.
    pub after: u64,
}

impl Wanted {
    /// Whether it keeps within the limits.
    ///
    /// # Errors
    /// What breaks a rule.
    pub fn check(&self) -> Result<(), Error> {
        check_events(&self.events)?;
        for (what, names) in [("kind", &self.kinds), ("queue", &self.queues), ("tag", &self.tags)] {
            names.iter().try_for_each(|name| name::check(what, name))?;
        }
        Ok(())
    }
    /// The types that are wanted.
    #[must_use]
    pub fn types(&self) -> &[EventType] {
        if self.events.is_empty() { &DEFAULT_EVENTS } else { &self.events }
    }
    /// Whether an event is wanted. Stepwell's own jobs raise no webhooks.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let any = |wanted: &[Name], found: &Name| wanted.is_empty() || wanted.contains(found);
        event.pos > self.after
            && is_sent(event.ty)
            && !is_internal(&event.kind)
            && self.types().contains(&event.ty)
            && any(&self.kinds, &event.kind)
            && any(&self.queues, &event.queue)
            && (self.tags.is_empty() || self.tags.iter().any(|tag| event.tags.contains(tag)))
    }
}

/// The tag by which the deliveries about a job are found.
#[must_use]
pub fn about(job: JobId) -> Name {
    format!("{ABOUT}{job}").into()
}
/// The job that a delivery is about, by its tags; none if it is a test.
#[must_use]
pub fn source(tags: &[Name]) -> Option<JobId> {
    tags.iter().find_map(|tag| tag.strip_prefix(ABOUT)).and_then(|id| id.parse().ok())
}

/// Headers that an endpoint adds to each request.
pub type Headers = BTreeMap<String, String>;

/// The id of a delivery, and its `webhook-id`: the same whoever computes it, however often.
///
/// It derives from the log's generation, the endpoint, and the event's place in the log, so that neither a second
/// fan-out nor a restored backup can send one event to one endpoint under two ids.
#[must_use]
pub fn delivery_id(generation: &str, endpoint: &str, event: &Event) -> JobId {
    let digest = Sha256::digest(format!("{generation}\n{endpoint}\n{}", event.pos).as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    JobId::from_parts(event.at, random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{json::Json, time::Timestamp};

    fn event(ty: EventType) -> Event {
        Event {
            pos: 7,
            job: JobId::from_bytes([1; 16]),
            job_seq: 3,
            run: 1,
            ty,
            at: Timestamp::from_micros(1_800_000_000_000_000),
            kind: "mail".into(),
            queue: "default".into(),
            phase: None,
            attempt: 1,
            data: Json::null(),
            tags: vec!["vip".into()],
            hooked: false,
        }
    }

    #[test]
    fn ends_are_wanted_unless_others_are_named() {
        let wanted = Wanted::default();
        assert!(wanted.matches(&event(EventType::Completed)) && wanted.matches(&event(EventType::Cancelled)));
        assert!(!wanted.matches(&event(EventType::Started)));
        let wanted = Wanted { events: vec![EventType::Started], ..Wanted::default() };
        assert!(wanted.matches(&event(EventType::Started)) && !wanted.matches(&event(EventType::Completed)));
    }

    #[test]
    fn everything_that_is_given_must_match() {
        let ended = event(EventType::Completed);
        let of = |name: &str| vec![Name::from(name)];
        assert!(Wanted { kinds: of("mail"), tags: of("vip"), ..Wanted::default() }.matches(&ended));
        assert!(!Wanted { kinds: of("other"), ..Wanted::default() }.matches(&ended));
        assert!(!Wanted { queues: of("other"), ..Wanted::default() }.matches(&ended));
        assert!(!Wanted { tags: of("other"), ..Wanted::default() }.matches(&ended));
        assert!(!Wanted { after: 7, ..Wanted::default() }.matches(&ended), "it was made after the event");
        let own = Event { kind: KIND.into(), ..ended };
        assert!(!Wanted::default().matches(&own));
        let about = Wanted { events: vec![EventType::WebhookFailed], ..Wanted::default() };
        assert!(!about.matches(&event(EventType::WebhookFailed)) && about.check().is_err());
    }

    #[test]
    fn a_delivery_has_one_id() {
        let ended = event(EventType::Completed);
        let id = delivery_id("g", "e", &ended);
        assert_eq!(id, delivery_id("g", "e", &ended));
        assert_ne!(id, delivery_id("g2", "e", &ended));
        assert_ne!(id, delivery_id("g", "e2", &ended));
        assert_ne!(id, delivery_id("g", "e", &Event { pos: 8, ..ended }));
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let webhook =
            JobWebhook { url: "https://a/".into(), secret: Some("whsec_x".into()), events: Vec::new() };
        assert!(!format!("{webhook:?}").contains("whsec"));
        assert_eq!(webhook.shown().events, DEFAULT_EVENTS);
        webhook.check().unwrap();
    }
}
