//! One phase of one job.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::{id::JobId, json::Json, limits, name::Name, time::Timestamp};

/// Where a phase stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PhaseState {
    /// It has not run, or waits for its next try.
    #[default]
    Pending,
    /// It runs.
    Running,
    /// Its result is recorded.
    Completed,
    /// Its last try failed, and with it the job.
    Failed,
    /// The job was cancelled before the phase completed.
    Cancelled,
    /// It never ran: the job ended before it, or a new plan put it behind the job's position.
    Skipped,
}

impl PhaseState {
    /// The state's name, as it is stored and sent.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for PhaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A phase as it stands in the job's row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// Its name under the plan that the job is bound to.
    pub name: Name,
    /// The name under which its result, checkpoint and elements are stored, if it was renamed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_as: Option<Name>,
    /// Where it stands.
    pub state: PhaseState,
    /// Tries in this run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// Tries after which a failure is final.
    pub max_tries: u32,
    /// The queue it runs in, if that is not the job's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// The recorded result, if it has completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Recorded>,
    /// How often a recorded result of this phase was discarded by an operator.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub discarded: u32,
    /// Whether a checkpoint is stored.
    #[serde(default, skip_serializing_if = "is_false")]
    pub checkpoint: bool,
    /// Whether an earlier try was cut off, and may have left half of its effects.
    #[serde(default, skip_serializing_if = "is_false")]
    pub interrupted: bool,
    /// What its last failed try said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When its last try began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it completed, failed, or was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

/// A recorded result: in the row if it is small, apart if it is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The first 16 hexadecimal digits of the SHA-256 of the text.
    pub hash: String,
    /// The text's length.
    pub bytes: usize,
    /// The text, if it is small.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub inline: Option<Json>,
}

/// A member that is there has a value, even if that is `null`: the result of every phase that returns nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

impl Recorded {
    /// The record of a result.
    #[must_use]
    pub fn of(result: &Json) -> Self {
        let inline = (result.bytes() <= limits::INLINE_RESULT_BYTES_MAX).then(|| result.clone());
        Self { hash: short_hash(result.as_str()), bytes: result.bytes(), inline }
    }
}

/// The first 16 hexadecimal digits of the SHA-256 of a text.
#[must_use]
pub fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes())[..8])
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Phase {
    /// A phase that has not run.
    #[must_use]
    pub fn pending(name: Name, max_tries: u32, queue: Option<Name>) -> Self {
        Self {
            name,
            stored_as: None,
            state: PhaseState::Pending,
            tries: 0,
            max_tries,
            queue,
            result: None,
            discarded: 0,
            checkpoint: false,
            interrupted: false,
            error: None,
            started_at: None,
            finished_at: None,
        }
    }
    /// The name under which its result, checkpoint and elements are stored.
    #[must_use]
    pub fn stored_name(&self) -> &Name {
        self.stored_as.as_ref().unwrap_or(&self.name)
    }
    /// Whether it neither runs nor waits to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        !matches!(self.state, PhaseState::Pending | PhaseState::Running)
    }
    /// A key for systems that accept one: the same for every try and after an operator's partial retry, and new
    /// when the phase's recorded result was discarded.
    #[must_use]
    pub fn idempotency_key(&self, job: JobId) -> String {
        idempotency_key(job, self.stored_name(), self.discarded)
    }
}

/// As [`Phase::idempotency_key`], of its parts.
#[must_use]
pub fn idempotency_key(job: JobId, stored_name: &str, discarded: u32) -> String {
    let text = format!("{job}/{stored_name}/{discarded}");
    hex(&Sha256::digest(text.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_phase_is_small_in_storage() {
        let text = serde_json::to_string(&Phase::pending("read".into(), 5, None)).unwrap();
        assert_eq!(text, r#"{"name":"read","state":"pending","maxTries":5}"#);
        let phase: Phase = serde_json::from_str(&text).unwrap();
        assert_eq!(phase, Phase::pending("read".into(), 5, None));
    }

    #[test]
    fn a_result_of_null_survives_storage() {
        let recorded = Recorded::of(&Json::null());
        let text = serde_json::to_string(&recorded).unwrap();
        assert_eq!(serde_json::from_str::<Recorded>(&text).unwrap(), recorded);
    }

    #[test]
    fn large_results_live_apart() {
        let small = Recorded::of(&Json::of("ab").unwrap());
        assert_eq!(small.inline.unwrap().as_str(), "\"ab\"");
        let large = Recorded::of(&Json::of(&"x".repeat(limits::INLINE_RESULT_BYTES_MAX)).unwrap());
        assert!(large.inline.is_none());
        assert_eq!(large.bytes, limits::INLINE_RESULT_BYTES_MAX + 2);
        assert_eq!(short_hash("abc"), "ba7816bf8f01cfea");
    }

    #[test]
    fn the_idempotency_key_changes_only_when_a_result_was_discarded() {
        let job = JobId::from_bytes([3; 16]);
        let mut phase = Phase::pending("charge".into(), 5, None);
        let key = phase.idempotency_key(job);
        phase.tries = 4;
        phase.stored_as = Some("charge".into());
        phase.name = "charge_card".into();
        assert_eq!(phase.idempotency_key(job), key);
        phase.discarded = 1;
        assert_ne!(phase.idempotency_key(job), key);
    }
}
