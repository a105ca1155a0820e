//! Who is told of what: endpoints, as they are asked for, stored and shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use stepwell_core::{
    Error, EventType, Json, Name, Result, Timestamp,
    setting::Setting,
    webhook::{Headers, JobWebhook, Wanted},
};

use super::{at, headers, options::Policy, secret::Secret, target::Target};

/// Bytes of a description.
const DESCRIPTION_BYTES_MAX: usize = 500;
/// Names in one filter of an endpoint.
const FILTER_NAMES_MAX: usize = 100;

/// An endpoint in the making. What is left empty matches everything, but the events: without any these are the ends of
/// runs.
///
/// ```
/// use stepwell::webhook::NewEndpoint;
///
/// let endpoint: NewEndpoint = serde_json::from_str(
///     r#"{"url": "https://hooks.example/stepwell", "events": ["job:failed"], "kinds": ["invoice"]}"#,
/// )?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewEndpoint {
    /// Where to.
    pub url: String,
    /// A word about it, for people.
    pub description: String,
    /// The types of events; empty means the ends of runs.
    pub events: Vec<EventType>,
    /// Only of one of these kinds.
    pub kinds: Vec<Name>,
    /// Only in one of these queues.
    pub queues: Vec<Name>,
    /// Only with one of these tags.
    pub tags: Vec<Name>,
    /// Headers to send with each request. Their values are kept like secrets.
    pub headers: Headers,
    /// What to sign with; one is made if none is given.
    pub secret: Option<Secret>,
    /// Makes the request count once: a key, and what tells requests with the same key apart.
    #[serde(skip)]
    pub once: Option<(String, String)>,
}

impl NewEndpoint {
    /// An endpoint that is told of the ends of all runs.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }
}

impl fmt::Debug for NewEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewEndpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What is changed of an endpoint. What is `None` stays; a list or the headers are replaced as a whole.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EndpointChange {
    /// Where to.
    pub url: Option<String>,
    /// A word about it.
    pub description: Option<String>,
    /// The types of events.
    pub events: Option<Vec<EventType>>,
    /// The kinds.
    pub kinds: Option<Vec<Name>>,
    /// The queues.
    pub queues: Option<Vec<Name>>,
    /// The tags.
    pub tags: Option<Vec<Name>>,
    /// The headers.
    pub headers: Option<Headers>,
}

impl fmt::Debug for EndpointChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointChange").field("url", &self.url).finish_non_exhaustive()
    }
}

/// An endpoint as anybody may see it who may see endpoints: without its secrets, and without the values of its headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// Where to.
    pub url: String,
    /// A word about it.
    pub description: String,
    /// The types of events that it is told of.
    pub events: Vec<EventType>,
    /// Only of one of these kinds; empty means all.
    pub kinds: Vec<Name>,
    /// Only in one of these queues; empty means all.
    pub queues: Vec<Name>,
    /// Only with one of these tags; empty means all.
    pub tags: Vec<Name>,
    /// The names of the headers that are sent with each request.
    pub headers: Vec<String>,
    /// Whether it is told of anything now.
    pub enabled: bool,
    /// Why it is not, and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// When each secret that is on its way out ends. The one in use is not among them.
    #[serde(serialize_with = "at::all")]
    pub old_secrets_end_at: Vec<Timestamp>,
    /// When it came to be.
    #[serde(serialize_with = "at::one")]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[serde(serialize_with = "at::one")]
    pub updated_at: Timestamp,
    /// Changes with every change; its `ETag`.
    pub version: u64,
}

/// That an endpoint is told of nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disabled {
    /// Since when.
    #[serde(serialize_with = "at::one")]
    pub at: Timestamp,
    /// Why.
    pub reason: DisabledReason,
}

/// Why an endpoint is told of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DisabledReason {
    /// An operator wanted it.
    Operator,
    /// It answered 410: it is gone, and said so.
    Gone,
    /// Every attempt of five days failed.
    Failing,
}

impl DisabledReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "by an operator",
            Self::Gone => "because it answered 410 Gone",
            Self::Failing => "because every attempt of five days failed",
        }
    }
}

/// An endpoint as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    pub(super) url: String,
    #[serde(default)]
    pub(super) description: String,
    pub(super) wanted: Wanted,
    #[serde(default)]
    pub(super) headers: Headers,
    /// The one in use first.
    pub(super) secrets: Vec<StoredSecret>,
    pub(super) created_at_us: i64,
    #[serde(default)]
    disabled: Option<StoredDisabled>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredSecret {
    pub(super) secret: String,
    /// When it is no longer signed with, in microseconds; none for the one in use.
    pub(super) until: Option<i64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct StoredDisabled {
    at_us: i64,
    reason: DisabledReason,
}

impl Stored {
    pub(super) fn new(new: NewEndpoint, secret: &Secret, after: u64, now: Timestamp) -> Self {
        let NewEndpoint { url, description, events, kinds, queues, tags, headers, .. } = new;
        Self {
            url,
            description,
            wanted: Wanted { events, kinds, queues, tags, after },
            headers,
            secrets: vec![StoredSecret { secret: secret.reveal().to_owned(), until: None }],
            created_at_us: now.as_micros(),
            disabled: None,
        }
    }
    pub(super) fn read(value: &Json) -> Result<Self> {
        value.decode()
    }
    pub(super) fn change(&mut self, change: EndpointChange) {
        fn set<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        let EndpointChange { url, description, events, kinds, queues, tags, headers } = change;
        set(&mut self.url, url);
        set(&mut self.description, description);
        set(&mut self.wanted.events, events);
        set(&mut self.wanted.kinds, kinds);
        set(&mut self.wanted.queues, queues);
        set(&mut self.wanted.tags, tags);
        set(&mut self.headers, headers);
    }
    /// Checks every field against its rule.
    pub(super) fn check(&self, policy: &Policy) -> Result<()> {
        Target::parse("url", &self.url, policy)?;
        headers::check(&self.headers)?;
        if self.description.len() > DESCRIPTION_BYTES_MAX || self.description.contains('\0') {
            let problem = format!("must be at most {DESCRIPTION_BYTES_MAX} bytes without U+0000");
            return Err(Error::invalid("description", problem));
        }
        let Wanted { events, kinds, queues, tags, .. } = &self.wanted;
        let lists = [
            ("kinds", kinds.len()),
            ("queues", queues.len()),
            ("tags", tags.len()),
            ("events", events.len()),
        ];
        if let Some((field, found)) = lists.into_iter().find(|(_, n)| *n > FILTER_NAMES_MAX) {
            return Err(Error::invalid(field, format!("are {found}, the limit is {FILTER_NAMES_MAX}")));
        }
        self.wanted.check()
    }
    pub(super) fn is_enabled(&self) -> bool {
        self.disabled.is_none()
    }
    pub(super) fn disabled_reason(&self) -> Option<DisabledReason> {
        self.disabled.map(|disabled| disabled.reason)
    }
    pub(super) fn disable(&mut self, reason: DisabledReason, now: Timestamp) {
        self.disabled = Some(StoredDisabled { at_us: now.as_micros(), reason });
    }
    /// What happened while it was disabled is not told afterwards.
    pub(super) fn enable(&mut self, after: u64) {
        self.disabled = None;
        self.wanted.after = after;
    }
    /// The secrets to sign with now.
    pub(super) fn secrets(&self, now: Timestamp) -> Vec<Secret> {
        let in_use = |stored: &&StoredSecret| stored.until.is_none_or(|until| until > now.as_micros());
        self.secrets.iter().filter(in_use).filter_map(|stored| Secret::parse(&stored.secret).ok()).collect()
    }
    pub(super) fn show(&self, setting: &Setting) -> Endpoint {
        let ends = self.secrets.iter().filter_map(|stored| stored.until.map(Timestamp::from_micros));
        Endpoint {
            id: setting.key.clone(),
            url: self.url.clone(),
            description: self.description.clone(),
            events: self.wanted.types().to_vec(),
            kinds: self.wanted.kinds.clone(),
            queues: self.wanted.queues.clone(),
            tags: self.wanted.tags.clone(),
            headers: self.headers.keys().cloned().collect(),
            enabled: self.is_enabled(),
            disabled: self.disabled.map(|disabled| Disabled {
                at: Timestamp::from_micros(disabled.at_us),
                reason: disabled.reason,
            }),
            old_secrets_end_at: ends.collect(),
            created_at: Timestamp::from_micros(self.created_at_us),
            updated_at: setting.at,
            version: setting.version,
        }
    }
}

/// Whether the webhook of one job can be sent to.
pub(crate) fn check_of_job(webhook: &JobWebhook, policy: &Policy) -> Result<()> {
    webhook.check()?;
    Target::parse("webhook.url", &webhook.url, policy)?;
    webhook.secret.as_deref().map_or(Ok(()), |secret| Secret::read(secret, "webhook.secret").map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5";

    fn stored() -> Stored {
        let mut new = NewEndpoint::new("https://hooks.example/");
        new.headers.insert("authorization".into(), "canary-token".into());
        Stored::new(new, &Secret::parse(CANARY).unwrap(), 7, Timestamp::from_micros(1))
    }
    fn setting(stored: &Stored) -> Setting {
        Setting {
            scope: "s".into(),
            key: "e".into(),
            version: 3,
            at: Timestamp::from_micros(2),
            value: Json::of(stored).unwrap(),
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let stored = stored();
        let shown = stored.show(&setting(&stored));
        let text = format!("{shown:?}{}", serde_json::to_string(&shown).unwrap());
        assert!(
            text.contains("authorization") && !text.contains("canary") && !text.contains("Y2FuYXJ5"),
            "{text}"
        );
        let new = NewEndpoint { secret: Secret::parse(CANARY).ok(), ..NewEndpoint::new("https://a/") };
        let change = EndpointChange { headers: Some(stored.headers.clone()), ..EndpointChange::default() };
        assert!(!format!("{new:?}{change:?}").contains("anary"));
    }

    #[test]
    fn it_survives_storage() {
        let mut before = stored();
        before.disable(DisabledReason::Gone, Timestamp::from_micros(5));
        let after = Stored::read(&Json::of(&before).unwrap()).unwrap();
        assert_eq!(after.show(&setting(&before)), before.show(&setting(&before)));
        assert_eq!(after.secrets(Timestamp::from_micros(5)), before.secrets(Timestamp::from_micros(5)));
        assert_eq!(after.disabled_reason(), Some(DisabledReason::Gone));
    }

    #[test]
    fn a_secret_on_its_way_out_is_used_until_its_time() {
        let mut endpoint = stored();
        let old = StoredSecret { secret: CANARY.into(), until: Some(100) };
        endpoint.secrets.push(old);
        assert_eq!(endpoint.secrets(Timestamp::from_micros(99)).len(), 2);
        assert_eq!(endpoint.secrets(Timestamp::from_micros(100)).len(), 1);
    }

    #[test]
    fn unknown_fields_and_events_are_refused() {
        for text in [r#"{"url":"https://a/","evnts":[]}"#, r#"{"url":"https://a/","events":["job:done"]}"#] {
            assert!(serde_json::from_str::<NewEndpoint>(text).is_err(), "{text}");
        }
    }
}
