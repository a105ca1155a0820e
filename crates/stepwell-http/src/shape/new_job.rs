//! A job that is asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stepwell::{Enqueue, EventType, JobId, JobWebhook, Json, Priority, Stepwell, Unique, Untyped};
use utoipa::ToSchema;

use super::{millis, parse_time};
use crate::{access::Grant, front::Problem};

/// A job that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewJob {
    /// What kind of work it is. A kind that no worker knows is accepted and waits.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) kind: String,
    /// What it is about: any JSON of at most 1 MiB, kept byte for byte.
    #[schema(value_type = serde_json::Value)]
    pub(crate) payload: Json,
    /// Its queue: `default` unless set.
    #[schema(min_length = 1, max_length = 200)]
    pub(crate) queue: Option<String>,
    /// Higher runs first; 0 unless set.
    #[schema(minimum = -32_768, maximum = 32_767)]
    pub(crate) priority: Option<i16>,
    /// Not before so many milliseconds from now. Not together with `runAt`.
    #[schema(maximum = 3_153_600_000_000_i64)]
    pub(crate) delay_ms: Option<u64>,
    /// Not before this time. Not together with `delayMs`.
    #[schema(format = DateTime)]
    pub(crate) run_at: Option<String>,
    /// What makes it the same as another of its kind: while that one lives, there is no second one.
    #[schema(max_length = 500)]
    pub(crate) unique_key: Option<String>,
    /// Counts ended jobs with that key as well, for so many milliseconds after they were created.
    #[schema(maximum = 3_153_600_000_000_i64)]
    pub(crate) unique_within_ms: Option<u64>,
    /// What happens if there is another with that key: `return` unless set.
    pub(crate) on_conflict: Option<OnConflict>,
    /// Words to find it by.
    #[schema(max_items = 20)]
    pub(crate) tags: Option<Vec<String>>,
    /// Keys and values to find it by.
    pub(crate) attributes: Option<BTreeMap<String, String>>,
    /// If no worker has taken it by then, it fails as expired.
    #[schema(format = DateTime)]
    pub(crate) expires_at: Option<String>,
    /// A webhook of its own.
    pub(crate) webhook: Option<NewWebhook>,
}

/// What happens if there is another job with the unique key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OnConflict {
    /// The answer is that job.
    Return,
    /// That job takes on this payload, priority, queue, time, tags and attributes, if it still waits; else it is
    /// refused.
    Replace,
    /// It is refused.
    Reject,
}

/// A job's own webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewJobWebhook)]
pub(crate) struct NewWebhook {
    /// Where to.
    #[schema(max_length = 2000)]
    pub(crate) url: String,
    /// What deliveries are signed with: `whsec_` and 24 to 64 bytes in base64. Never shown again.
    pub(crate) secret: Option<String>,
    /// Which events; the ends of runs unless set.
    pub(crate) events: Option<Vec<String>>,
}

/// The answer to a job that was asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct Created {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: JobId,
    /// Whether it is new. If not, its unique key stood for this job already.
    pub(crate) created: bool,
}

impl NewJob {
    /// What is to be stored.
    pub(crate) fn enqueue<'s>(
        &self,
        stepwell: &'s Stepwell,
        grant: &Grant,
    ) -> Result<Enqueue<'s, Untyped>, Problem> {
        let mut new = stepwell.enqueue_untyped(&self.kind, self.payload.clone());
        if let Some(queue) = &self.queue {
            new = new.queue(queue.as_str());
        }
        if let Some(priority) = self.priority {
            new = new.priority(Priority(priority));
        }
        new = match (self.delay_ms, &self.run_at) {
            (Some(_), Some(_)) => {
                return Err(Problem::of(
                    "#/delayMs",
                    "cannot stand together with runAt; leave one of them out",
                ));
            }
            (Some(ms), None) => new.delay(millis("#/delayMs", ms)?),
            (None, Some(at)) => new.run_at(parse_time("#/runAt", at)?),
            (None, None) => new,
        };
        if let Some(at) = &self.expires_at {
            new = new.expires_at(parse_time("#/expiresAt", at)?);
        }
        new = match (&self.unique_key, self.unique_within_ms) {
            (None, Some(_)) => {
                return Err(Problem::of("#/uniqueWithinMs", "says nothing without uniqueKey; add it"));
            }
            (Some(key), Some(ms)) => new.unique(Unique::key(key).within(millis("#/uniqueWithinMs", ms)?)),
            (Some(key), None) => new.unique(Unique::key(key)),
            (None, None) => new,
        };
        if self.on_conflict.is_some() && self.unique_key.is_none() {
            return Err(Problem::of("#/onConflict", "says nothing without uniqueKey; add it"));
        }
        new = new.on_conflict(match self.on_conflict {
            None | Some(OnConflict::Return) => stepwell::OnConflict::Return,
            Some(OnConflict::Replace) => stepwell::OnConflict::Replace,
            Some(OnConflict::Reject) => stepwell::OnConflict::Reject,
        });
        // The job that there is may be in a queue that is not theirs.
        if let Some(queues) = &grant.queues {
            new = new.unique_in(queues.iter().cloned());
        }
        for tag in self.tags.iter().flatten() {
            new = new.tag(tag.as_str());
        }
        for (key, value) in self.attributes.iter().flatten() {
            new = new.attribute(key.as_str(), value);
        }
        match &self.webhook {
            Some(webhook) => Ok(new.webhook(webhook.webhook()?)),
            None => Ok(new),
        }
    }
    /// The queue it is to be in.
    pub(crate) fn queue(&self) -> &str {
        self.queue.as_deref().unwrap_or("default")
    }
}

impl NewWebhook {
    fn webhook(&self) -> Result<JobWebhook, Problem> {
        let events = self.events.as_deref().unwrap_or(&[]);
        let event = |(nth, text): (usize, &String)| {
            let wrong =
                |_| Problem::of(format!("#/webhook/events/{nth}"), format!("is no event type: {text:?}"));
            text.parse::<EventType>().map_err(wrong)
        };
        let events = events.iter().enumerate().map(event).collect::<Result<_, _>>()?;
        Ok(JobWebhook { url: self.url.clone(), secret: self.secret.clone(), events })
    }
}
