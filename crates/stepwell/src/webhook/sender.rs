//! One attempt: looks up where to, signs, sends, and says how it went.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use stepwell_core::{
    Error, JobId, Result, Retry, Timestamp,
    time::Stopwatch,
    webhook::{ENDPOINTS, Headers, JobWebhook, OF_JOBS},
};

use crate::{
    crash_point,
    ctx::Ctx,
    job::Worker,
    phase_error::{PhaseError, PhaseResult},
    plan::{Phase, Plan},
};

use super::{
    attempt::Attempt,
    client::{Answer, Client},
    delivery::{self, Payload},
    endpoint::{DisabledReason, Stored},
    headers,
    lookup::{Resolve, SystemResolver},
    outbox::Outbox,
    pulse::Pulse,
    schedule::{self, HOLD_MAX},
    secret::Secret,
    signature,
    target::Target,
};

/// What the failure of a delivery begins with whose attempt got its endpoint disabled.
pub(super) const DISABLED: &str = "the endpoint is now disabled ";
/// What stands in a response where it repeated a secret.
const HIDDEN: &str = "[hidden]";
/// Values shorter than this are not looked for in responses: they would be found everywhere.
const HIDDEN_BYTES_MIN: usize = 6;

/// The worker of deliveries.
pub(crate) struct Sender {
    outbox: Arc<Outbox>,
    pulse: Pulse,
    resolver: Arc<dyn Resolve>,
    /// Made with the first delivery: reading the system's certificates takes its time.
    client: OnceLock<Client>,
}

impl Worker for Sender {
    type Job = Payload;
    fn plan(plan: &Plan<Self>) -> Phase<'_, u16> {
        plan.phase("send", (), Self::send).retry(Retry::delays(schedule::PAUSES))
    }
}

/// Where a delivery goes, as that stands now.
struct Receiver {
    url: String,
    headers: Headers,
    secrets: Vec<Secret>,
}

impl Sender {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        Self::resolving(outbox, Arc::new(SystemResolver))
    }
    pub(super) fn resolving(outbox: Arc<Outbox>, resolver: Arc<dyn Resolve>) -> Self {
        Self { pulse: Pulse::new(outbox.store.clone()), outbox, resolver, client: OnceLock::new() }
    }

    async fn send(&self, cx: &Ctx<Payload>) -> PhaseResult<u16> {
        let payload = cx.job();
        let now = self.outbox.store.clock().now();
        let receiver = self.receiver(payload, now).await?;
        // Receivers refuse what is too far from their own clocks: they are shown the wall clock, not the store's.
        let wall = self.outbox.store.clock().wall();
        let (uri, headers) =
            self.request(&receiver, cx.id(), payload, wall).map_err(PhaseError::permanent)?;
        let body = Bytes::copy_from_slice(payload.body.get().as_bytes());
        let begun = Stopwatch::start();
        crash_point::pass("before-send");
        let client = self.client.get_or_init(|| Client::new(&self.outbox.options, self.resolver.clone()));
        let answered = client.post(uri, headers, body, wall).await;
        crash_point::pass("after-send");

        let now = self.outbox.store.clock().now();
        let error = match &answered {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(format!("answered {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        let attempt = Attempt {
            at: now,
            run: cx.run(),
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            status: answered.as_ref().ok().map(|answer| answer.status.as_u16()),
            error: error.clone(),
            response: answered
                .as_ref()
                .map_or_else(|_| String::new(), |answer| receiver.hide(&answer.response)),
        };
        attempt.lines().iter().for_each(|line| cx.log(line));
        let answer = answered.ok();
        match (error, &answer) {
            (None, Some(answer)) => {
                self.note(payload, None, now).await;
                Ok(answer.status.as_u16())
            }
            (error, answer) => Err(self.failure(cx, error.unwrap_or_default(), answer.as_ref(), now).await),
        }
    }

    async fn receiver(&self, payload: &Payload, now: Timestamp) -> PhaseResult<Receiver> {
        let store = &self.outbox.store;
        if let Some(id) = &payload.endpoint {
            let Some(setting) = store.setting(ENDPOINTS.into(), id.clone()).await? else {
                return Err(PhaseError::permanent("the endpoint was deleted"));
            };
            let stored = Stored::read(&setting.value)?;
            if let Some(reason) = stored.disabled_reason() {
                let why = reason.as_str();
                return Err(PhaseError::permanent(format!(
                    "the endpoint was disabled {why}; enable it, then send again"
                )));
            }
            let secrets = stored.secrets(now);
            return Ok(Receiver { url: stored.url, headers: stored.headers, secrets });
        }
        let missing = || PhaseError::permanent("the webhook of the job is no longer kept");
        let job = payload.job.ok_or_else(missing)?;
        let setting = store.setting(OF_JOBS.into(), job.to_string()).await?.ok_or_else(missing)?;
        let JobWebhook { url, secret, .. } = setting.value.decode()?;
        let secret =
            secret.map(|secret| Secret::parse(&secret)).transpose().map_err(PhaseError::permanent)?;
        Ok(Receiver { url, headers: Headers::new(), secrets: secret.into_iter().collect() })
    }

    fn request(
        &self,
        receiver: &Receiver,
        id: JobId,
        payload: &Payload,
        now: Timestamp,
    ) -> Result<(http::Uri, HeaderMap)> {
        let uri = Target::parse("url", &receiver.url, &self.outbox.options.policy)?.uri()?;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.extend(headers::encode(&receiver.headers)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Whole seconds, as the specification has it.
        let (id, seconds) = (id.to_string(), now.as_micros().div_euclid(1_000_000));
        let signature = signature::sign(&receiver.secrets, &id, seconds, payload.body.get().as_bytes());
        let signed = (!signature.is_empty()).then_some(("webhook-signature", signature));
        let ours = [("webhook-id", id), ("webhook-timestamp", seconds.to_string())];
        for (name, value) in ours.into_iter().chain(signed) {
            let value = HeaderValue::from_str(&value).map_err(|_| Error::invalid(name, "cannot be sent"))?;
            headers.insert(name, value);
        }
        Ok((uri, headers))
    }

    /// What follows from a failed attempt.
    async fn failure(
        &self,
        cx: &Ctx<Payload>,
        error: String,
        answer: Option<&Answer>,
        now: Timestamp,
    ) -> PhaseError {
        let payload = cx.job();
        let status = answer.map(|answer| answer.status.as_u16());
        if status == Some(410) {
            let disabled = self.disable(payload, now).await;
            let disabled =
                disabled.map_or_else(String::new, |reason| format!("; {DISABLED}{}", reason.as_str()));
            return PhaseError::permanent(format!("{error}{disabled}"));
        }
        if let Some(reason) = self.note(payload, Some(&error), now).await {
            return PhaseError::permanent(format!("{error}; {DISABLED}{}", reason.as_str()));
        }
        let asked = answer.and_then(|answer| answer.retry_after);
        if let (Some(asked), Some(429 | 502 | 503 | 504), Some(endpoint)) = (asked, status, &payload.endpoint)
        {
            // The others that wait for it spare it, too.
            self.outbox.lanes.hold(&delivery::queue_of(endpoint), now + asked.min(HOLD_MAX));
        }
        let pause = schedule::pause_after(cx.attempt(), self.outbox.entropy.jitter(), asked);
        PhaseError::retry_in(pause, error)
    }
    async fn disable(&self, payload: &Payload, now: Timestamp) -> Option<DisabledReason> {
        let endpoint = payload.endpoint.as_deref()?;
        told(self.pulse.disable(endpoint, DisabledReason::Gone, now).await)
    }
    async fn note(&self, payload: &Payload, error: Option<&str>, now: Timestamp) -> Option<DisabledReason> {
        let endpoint = payload.endpoint.as_deref()?;
        told(self.pulse.note(endpoint, error, now).await)
    }
}

/// How an endpoint does is kept as well as it can be: a delivery that arrived has arrived all the same.
fn told(noted: Result<Option<DisabledReason>>) -> Option<DisabledReason> {
    noted.unwrap_or_else(|error| {
        tracing::warn!(%error, "failed to record how a webhook endpoint does");
        None
    })
}

const USER_AGENT: &str = concat!("stepwell/", env!("CARGO_PKG_VERSION"));

impl Receiver {
    /// A receiver may repeat what it was sent. What is secret of that is not kept.
    fn hide(&self, response: &str) -> String {
        let mut hidden = response.to_owned();
        // Whole values first, then each word: of `Bearer …` a receiver may repeat the second alone.
        let words = self.headers.values().flat_map(|value| value.split(' '));
        let values = self.headers.values().map(String::as_str).chain(words);
        for value in values.filter(|value| value.len() >= HIDDEN_BYTES_MIN) {
            hidden = hidden.replace(value, HIDDEN);
            // An answer in JSON has it escaped.
            if let Ok(escaped) = serde_json::to_string(value) {
                hidden = hidden.replace(&escaped[1..escaped.len() - 1], HIDDEN);
            }
        }
        hidden
    }
}
