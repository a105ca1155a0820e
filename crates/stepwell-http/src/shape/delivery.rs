//! Deliveries on the wire.

use serde::Serialize;
use stepwell::{
    JobId, Json,
    webhook::{Attempt, Delivery, DeliveryDetail, DeliveryState},
};
use utoipa::ToSchema;

use super::time;

/// One event on its way to one receiver.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Delivery)]
pub(crate) struct DeliveryView {
    /// Its id, which is also the `webhook-id` of every attempt.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: JobId,
    /// The endpoint; absent if it is the webhook of one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_id: Option<String>,
    /// The job that the event is about; absent for a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    job_id: Option<JobId>,
    /// The type of the event; `webhook:test` for a test.
    event: String,
    /// Where it stands.
    #[schema(value_type = DeliveryStateName)]
    state: DeliveryState,
    /// Attempts, since it was last sent again by an operator.
    attempts: u32,
    /// When it came to be.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    next_attempt_at: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// How the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Where a delivery stands.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it stands for the names in the description")]
pub(crate) enum DeliveryStateName {
    Waiting,
    Sending,
    Delivered,
    Failed,
    Skipped,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            webhook_id: delivery.endpoint_id,
            job_id: delivery.job_id,
            event: delivery.event,
            state: delivery.state,
            attempts: delivery.attempts,
            created_at: time(delivery.created_at),
            next_attempt_at: delivery.next_attempt_at.map(time),
            finished_at: delivery.finished_at.map(time),
            error: delivery.error,
        }
    }
}

/// A delivery with what is sent, and how each attempt went.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryDetail)]
pub(crate) struct DeliveryDetailView {
    /// The delivery.
    #[serde(flatten)]
    delivery: DeliveryView,
    /// What is sent, byte for byte.
    #[schema(value_type = Object)]
    body: Json,
    /// Its attempts, the earliest first, those before an operator sent it again included.
    attempt_log: Vec<AttemptView>,
}

/// One attempt to deliver.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryAttempt)]
pub(crate) struct AttemptView {
    /// When it ended.
    #[schema(format = DateTime)]
    at: String,
    /// 1, and one more each time that an operator sent the delivery again.
    run: u32,
    /// How long it took.
    duration_ms: u64,
    /// What the receiver answered with, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why it counts as failed, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The first 16 KiB of the response.
    response: String,
}

impl From<DeliveryDetail> for DeliveryDetailView {
    fn from(detail: DeliveryDetail) -> Self {
        let attempt = |attempt: Attempt| AttemptView {
            at: time(attempt.at),
            run: attempt.run,
            duration_ms: attempt.duration_ms,
            status: attempt.status,
            error: attempt.error,
            response: attempt.response,
        };
        Self {
            delivery: detail.delivery.into(),
            body: detail.body,
            attempt_log: detail.attempt_log.into_iter().map(attempt).collect(),
        }
    }
}
