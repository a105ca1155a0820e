//! Times and durations on the wire.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer};
use stepwell::{Timestamp, limits, wire};

use crate::front::Problem;

/// A time, as it is sent.
pub(crate) fn time(at: Timestamp) -> String {
    wire::rfc3339(at)
}

/// A time, as it was sent.
pub(crate) fn parse_time(pointer: &str, text: &str) -> Result<SystemTime, Problem> {
    wire::parse_rfc3339(text).map(SystemTime::from).map_err(|problem| Problem::of(pointer, problem))
}

/// A duration that was sent.
pub(crate) fn millis(pointer: &str, ms: u64) -> Result<Duration, Problem> {
    let duration = Duration::from_millis(ms);
    match duration > limits::DELAY_MAX {
        true => Err(Problem::of(pointer, "is more than a hundred years; it is in milliseconds")),
        false => Ok(duration),
    }
}

/// A member that is there has a value, even if that is `null`.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
