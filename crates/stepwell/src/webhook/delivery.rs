//! One event on its way to one receiver: a job of a reserved kind.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use stepwell_core::{
    Event as LogEvent, Job as JobRecord, JobId, JobState, Json, Name, Result, Timestamp,
    machine::NewJob,
    store::Order,
    webhook::{self, QUEUE, QUEUE_OF_JOBS, about},
};
use url::Url;

use crate::{job::Job, wire::Frame};

use super::{at, attempt::Attempt};

/// What the tag of a delivery begins with that names the type of its event.
const EVENT: &str = "event=";
/// The type of what a test sends.
pub(super) const TEST: &str = "webhook:test";
/// Queues that the deliveries to single jobs' webhooks share, by where they go. A slow receiver holds up those that
/// happen to share its queue, and nobody else.
const SHARED_QUEUES: u8 = 64;

/// What a delivery is: everything but the secrets, which are looked up when it is sent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload {
    /// The endpoint; none if it is the webhook of one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) endpoint: Option<String>,
    /// The job that the event is about; none for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job: Option<JobId>,
    /// The event's place in the log; none for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pos: Option<u64>,
    /// What is sent, byte for byte.
    pub(super) body: Box<RawValue>,
}

impl Job for Payload {
    const KIND: &'static str = webhook::KIND;
    /// The status that the receiver answered with.
    type Output = u16;
}

/// Who a delivery goes to.
#[derive(Clone, Copy)]
pub(super) enum Receiver<'r> {
    /// An endpoint, by its id.
    Endpoint(&'r str),
    /// The webhook of the job itself, by where it goes.
    OfJob(&'r str),
}

impl Receiver<'_> {
    fn queue(&self) -> Name {
        match self {
            Self::Endpoint(id) => queue_of(id),
            Self::OfJob(url) => {
                let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
                let shared = Sha256::digest(origin.as_deref().unwrap_or(url))[0] % SHARED_QUEUES;
                format!("{QUEUE_OF_JOBS}{shared:02}").into()
            }
        }
    }
}

/// The queue of an endpoint's deliveries.
pub(super) fn queue_of(endpoint: &str) -> Name {
    format!("{QUEUE}{endpoint}").into()
}
/// The endpoint that a queue is of.
pub(super) fn endpoint_of(queue: &str) -> Option<&str> {
    queue.strip_prefix(QUEUE).filter(|rest| !rest.starts_with("job-"))
}

/// The job that delivers an event.
pub(super) fn of_event(event: &LogEvent, receiver: Receiver<'_>, generation: &str) -> Result<NewJob> {
    let (endpoint, key) = match receiver {
        Receiver::Endpoint(id) => (Some(id.to_owned()), id),
        Receiver::OfJob(_) => (None, "job"),
    };
    let body = Json::from_text(String::from_utf8_lossy(&Frame::new(event.clone()).json()).into_owned())?;
    let payload = Payload { endpoint, job: Some(event.job), pos: Some(event.pos), body: body.decode()? };
    let id = webhook::delivery_id(generation, key, event);
    let mut new = NewJob::new(id, webhook::KIND, Json::of(&payload)?);
    new.queue = Some(receiver.queue());
    new.tags = vec![about(event.job), format!("{EVENT}{}", event.ty).into()];
    new.max_crashes = Some(CRASHES_MAX);
    new.check()?;
    Ok(new)
}

/// A crash while a delivery is under way is not the delivery's doing: it must not be given up for it.
const CRASHES_MAX: u32 = 1_000_000;

/// The job that delivers a test.
pub(super) fn of_test(id: JobId, endpoint: &str, now: Timestamp) -> Result<NewJob> {
    let body = serde_json::json!({
        "type": TEST, "at": crate::wire::rfc3339(now), "data": { "endpointId": endpoint },
    });
    let body = Json::of(&body)?.decode()?;
    let payload = Payload { endpoint: Some(endpoint.to_owned()), job: None, pos: None, body };
    let mut new = NewJob::new(id, webhook::KIND, Json::of(&payload)?);
    new.queue = Some(queue_of(endpoint));
    new.tags = vec![format!("{EVENT}{TEST}").into()];
    new.max_crashes = Some(CRASHES_MAX);
    Ok(new)
}

/// What the tags of a delivery say: the job, and the type of the event.
pub(super) fn read_tags(tags: &[Name]) -> (Option<JobId>, &str) {
    let event = tags.iter().find_map(|tag| tag.strip_prefix(EVENT));
    (webhook::source(tags), event.unwrap_or_default())
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum DeliveryState {
    /// It waits for its first attempt, or for the next one.
    Waiting,
    /// An attempt is under way.
    Sending,
    /// The receiver accepted it.
    Delivered,
    /// It was given up. It is kept, and can be sent again.
    Failed,
    /// An operator did not want it sent.
    Skipped,
}

impl DeliveryState {
    pub(super) const fn of(state: JobState) -> Self {
        match state {
            JobState::Pending => Self::Waiting,
            JobState::Running | JobState::Cancelling => Self::Sending,
            JobState::Completed => Self::Delivered,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Skipped,
        }
    }
    pub(super) const fn job_state(self) -> JobState {
        match self {
            Self::Waiting => JobState::Pending,
            Self::Sending => JobState::Running,
            Self::Delivered => JobState::Completed,
            Self::Failed => JobState::Failed,
            Self::Skipped => JobState::Cancelled,
        }
    }
}

/// One event on its way to one receiver.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Its id, which is also the `webhook-id` of every attempt.
    pub id: JobId,
    /// The endpoint; none if it is the webhook of one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<String>,
    /// The job that the event is about; none for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
    /// The type of the event; `webhook:test` for a test.
    pub event: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts, since it was last sent again by an operator.
    pub attempts: u32,
    /// When it came to be.
    #[serde(serialize_with = "at::one")]
    pub created_at: Timestamp,
    /// When the next attempt is due.
    #[serde(serialize_with = "at::some", skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended.
    #[serde(serialize_with = "at::some", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Delivery {
    pub(super) fn of(job: &JobRecord) -> Self {
        let (about, event) = read_tags(&job.details.tags);
        let phase = job.phases.first();
        let failure = job.details.failure.as_ref().map(|failure| failure.message.clone());
        Self {
            id: job.id,
            endpoint_id: endpoint_of(&job.queue).map(str::to_owned),
            job_id: about,
            event: event.to_owned(),
            state: DeliveryState::of(job.state),
            attempts: phase.map_or(0, |phase| phase.tries),
            created_at: job.enqueued_at,
            next_attempt_at: (job.state == JobState::Pending).then_some(job.available_at),
            finished_at: job.finished_at,
            error: failure.or_else(|| phase.and_then(|phase| phase.error.clone())),
        }
    }
}

/// A delivery with what was sent, and how each attempt went.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// What is sent, byte for byte.
    pub body: Json,
    /// Its attempts, the earliest first, those before an operator sent it again included.
    pub attempt_log: Vec<Attempt>,
}

/// Which deliveries. Everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of this endpoint.
    pub endpoint: Option<String>,
    /// About this job.
    pub job: Option<JobId>,
    /// In this state.
    pub state: Option<DeliveryState>,
    /// That came to be at this time or later.
    pub since: Option<Timestamp>,
    /// That came to be before this time.
    pub until: Option<Timestamp>,
}

impl DeliveryFilter {
    /// Whether a delivery came to be in the time that is asked for.
    pub(super) fn is_in_window(&self, job: &JobRecord) -> bool {
        !self.is_before(job) && !self.is_after(job)
    }
    /// Whether nothing that comes next on pages of this order can be in that time, once this delivery was on one.
    pub(super) fn ends_at(&self, job: &JobRecord, order: Order) -> bool {
        match order {
            Order::NewestFirst => self.is_before(job),
            Order::OldestFirst => self.is_after(job),
        }
    }
    fn is_before(&self, job: &JobRecord) -> bool {
        self.since.is_some_and(|since| job.enqueued_at < since)
    }
    fn is_after(&self, job: &JobRecord) -> bool {
        self.until.is_some_and(|until| job.enqueued_at >= until)
    }
}

#[cfg(test)]
mod tests {
    use stepwell_core::EventType;

    use super::*;

    fn event() -> LogEvent {
        LogEvent {
            pos: 9,
            job: JobId::from_bytes([4; 16]),
            job_seq: 2,
            run: 1,
            ty: EventType::Completed,
            at: Timestamp::from_micros(1_800_000_000_000_000),
            kind: "mail".into(),
            queue: "default".into(),
            phase: None,
            attempt: 1,
            data: Json::from_text("{}").unwrap(),
            tags: Vec::new(),
            hooked: true,
        }
    }

    #[test]
    fn a_delivery_says_what_it_is_about_without_its_payload() {
        let new = of_event(&event(), Receiver::Endpoint("e1"), "g").unwrap();
        assert_eq!(read_tags(&new.tags), (Some(event().job), "job:completed"));
        assert_eq!(endpoint_of(new.queue.as_deref().unwrap()), Some("e1"));
        let payload: Payload = new.payload.decode().unwrap();
        assert_eq!(payload.body.get().as_bytes(), &*Frame::new(event()).json(), "frozen byte for byte");
        assert_eq!(new.id, of_event(&event(), Receiver::Endpoint("e1"), "g").unwrap().id);
        assert_ne!(new.id, of_event(&event(), Receiver::Endpoint("e2"), "g").unwrap().id);
    }

    #[test]
    fn webhooks_of_single_jobs_share_a_bounded_number_of_queues() {
        let queues: std::collections::BTreeSet<Name> = (0..1_000)
            .map(|n| {
                let [one, other] = ["x", "y?z"].map(|path| format!("https://h{n}.example/{path}"));
                assert_eq!(Receiver::OfJob(&one).queue(), Receiver::OfJob(&other).queue());
                Receiver::OfJob(&one).queue()
            })
            .collect();
        assert!(queues.len() <= usize::from(SHARED_QUEUES) && queues.len() > 32, "{}", queues.len());
        assert!(queues.iter().all(|queue| endpoint_of(queue).is_none()));
    }
}
