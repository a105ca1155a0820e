//! A request, and what was answered.

use std::time::Duration;

use serde_json::Value;

use super::call::Call;

/// A request of a worker, as it came.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) call: Call,
    /// The method and the path, for people.
    pub(super) line: String,
    /// The worker or the lease that it is about.
    pub(super) subject: String,
    pub(super) authorization: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) key: Option<String>,
    /// `Null` if there is none.
    pub(super) body: Value,
    /// Whether there is a body that is no JSON.
    pub(super) garbled: bool,
    /// When it came, since the beginning.
    pub(super) asked: Duration,
    pub(super) answer: Option<Answer>,
}

/// What was answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    /// When it went out, since the beginning.
    pub(super) at: Duration,
    /// Whether it went out at all.
    pub(super) delivered: bool,
    /// After how long the same may be asked again.
    pub(super) retry_after: Option<Duration>,
}

/// A phase that a worker was given.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) lease: String,
    pub(super) worker: String,
    pub(super) claim: Value,
    pub(super) at: Duration,
}

impl Exchange {
    /// The answer, if the worker has it.
    pub(super) fn told(&self) -> Option<&Answer> {
        self.answer.as_ref().filter(|answer| answer.delivered)
    }
    /// The answer, if the worker has it and it is a good one.
    pub(super) fn granted(&self) -> Option<&Answer> {
        self.told().filter(|answer| (200..300).contains(&answer.status))
    }
    /// Whether there was an answer that did not go out.
    pub(super) fn is_lost(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.delivered)
    }
    pub(super) fn status(&self) -> u16 {
        self.told().map_or(0, |answer| answer.status)
    }
    pub(super) fn is_refused(&self, code: &str) -> bool {
        self.told().is_some_and(|answer| answer.status >= 400 && answer.body["code"] == code)
    }
    /// Whether the other one says the same.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let same_subject = self.call == Call::Claim || self.subject == other.subject;
        self.call == other.call && same_subject && self.body == other.body && self.key == other.key
    }
    /// The leases that a heartbeat names.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.body["leases"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }
    /// How a lease stands, as the answer to a heartbeat has it.
    pub(super) fn standing(&self, lease: &str) -> Option<&str> {
        let leases = self.told()?.body["leases"].as_array()?;
        leases.iter().find(|told| told["lease"] == lease)?["status"].as_str()
    }
}
