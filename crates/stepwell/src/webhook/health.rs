//! How an endpoint has been doing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stepwell_core::{JobState, Json, Result, Timestamp, store::Count};

use super::at;

/// The scope under which it is stored, by the endpoint's id.
pub(super) const SCOPE: &str = "stepwell.endpoint.health";
/// An endpoint is disabled when every attempt of so long failed.
pub(super) const FAILING_MAX: Duration = Duration::from_hours(5 * 24);
/// How often it is written while nothing changes.
pub(super) const WRITE_INTERVAL: Duration = Duration::from_mins(1);

/// How an endpoint has been doing. Times are exact to a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Since when every attempt has failed.
    #[serde(serialize_with = "at::some", skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When an attempt last succeeded.
    #[serde(serialize_with = "at::some", skip_serializing_if = "Option::is_none")]
    pub last_success_at: Option<Timestamp>,
    /// When an attempt last failed.
    #[serde(serialize_with = "at::some", skip_serializing_if = "Option::is_none")]
    pub last_failure_at: Option<Timestamp>,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Deliveries that wait for an attempt.
    pub waiting: u64,
    /// Deliveries under way.
    pub sending: u64,
    /// Deliveries that arrived and are still kept.
    pub delivered: u64,
    /// Deliveries that were given up and are still kept.
    pub failed: u64,
}

/// The part of it that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stored {
    pub(super) failing_since: Option<i64>,
    pub(super) last_success: Option<i64>,
    pub(super) last_failure: Option<i64>,
    pub(super) last_error: Option<String>,
}

impl Stored {
    pub(super) fn read(value: &Json) -> Result<Self> {
        value.decode()
    }
    /// Takes in how an attempt ended.
    pub(super) fn note(&mut self, error: Option<&str>, now: Timestamp) {
        match error {
            None => {
                self.failing_since = None;
                self.last_success = Some(now.as_micros());
            }
            Some(error) => {
                self.failing_since.get_or_insert(now.as_micros());
                self.last_failure = Some(now.as_micros());
                self.last_error = Some(error.to_owned());
            }
        }
    }
    /// Whether every attempt of the longest bearable time failed.
    pub(super) fn is_hopeless(&self, now: Timestamp) -> bool {
        self.failing_since.is_some_and(|since| now.since(Timestamp::from_micros(since)) >= FAILING_MAX)
    }
    pub(super) fn show(&self, counts: &[Count], queue: &str) -> Health {
        let n = |states: &[JobState]| {
            counts
                .iter()
                .filter(|count| *count.queue == *queue && states.contains(&count.state))
                .map(|c| c.n)
                .sum()
        };
        Health {
            failing_since: self.failing_since.map(Timestamp::from_micros),
            last_success_at: self.last_success.map(Timestamp::from_micros),
            last_failure_at: self.last_failure.map(Timestamp::from_micros),
            last_error: self.last_error.clone(),
            waiting: n(&[JobState::Pending]),
            sending: n(&[JobState::Running, JobState::Cancelling]),
            delivered: n(&[JobState::Completed]),
            failed: n(&[JobState::Failed, JobState::Cancelled]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_without_a_success_in_between_are_hopeless() {
        let day = |n: i64| Timestamp::from_micros(n * 86_400_000_000);
        let mut health = Stored::default();
        assert!(!health.is_hopeless(day(1_000)), "nothing was tried");
        health.note(Some("refused"), day(1));
        health.note(Some("refused"), day(4));
        assert!(!health.is_hopeless(day(5)) && health.is_hopeless(day(6)));
        health.note(None, day(6));
        health.note(Some("refused"), day(7));
        assert!(!health.is_hopeless(day(11)) && health.is_hopeless(day(12)));
        assert_eq!(Stored::read(&Json::of(&health).unwrap()).unwrap(), health);
    }
}
