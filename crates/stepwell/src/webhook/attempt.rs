//! How one attempt went, as it is kept in the delivery's log.

use serde::{Deserialize, Serialize};
use stepwell_core::{Timestamp, limits, machine::LogLine};

use super::at;

/// Bytes of a response that are kept.
pub(super) const RESPONSE_BYTES_MAX: usize = 16 << 10;
/// Bytes of the text of an error.
const ERROR_BYTES_MAX: usize = 1_000;
/// What a line of the log begins with that holds a piece of a response.
const RESPONSE: &str = "> ";
/// Bytes of such a piece: lines of the log have a limit.
const PIECE: usize = limits::LOG_LINE_BYTES_MAX - 100;

/// One attempt to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When it ended.
    #[serde(serialize_with = "at::one")]
    pub at: Timestamp,
    /// 1, and one more each time that an operator sent the delivery again.
    pub run: u32,
    /// How long it took.
    pub duration_ms: u64,
    /// What the receiver answered with, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it counts as failed, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first 16 KiB of the response.
    pub response: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    run: u32,
    ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Attempt {
    /// The lines of the log that say so.
    pub(super) fn lines(&self) -> Vec<String> {
        let error =
            self.error.as_ref().map(|error| error[..error.floor_char_boundary(ERROR_BYTES_MAX)].to_owned());
        let line = Line { run: self.run, ms: self.duration_ms, status: self.status, error };
        // Numbers and strings always encode.
        let mut lines = vec![serde_json::to_string(&line).unwrap_or_default()];
        let mut rest = self.response.as_str();
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rest.floor_char_boundary(PIECE));
            lines.push(format!("{RESPONSE}{piece}"));
            rest = left;
        }
        lines
    }
    /// The attempts that a log tells of.
    pub(super) fn read(log: &[LogLine]) -> Vec<Self> {
        let mut attempts: Vec<Self> = Vec::new();
        for line in log {
            match (line.text.strip_prefix(RESPONSE), serde_json::from_str::<Line>(&line.text)) {
                (Some(piece), _) => {
                    if let Some(attempt) = attempts.last_mut() {
                        attempt.response.push_str(piece);
                    }
                }
                (None, Ok(Line { run, ms, status, error })) => {
                    let response = String::new();
                    attempts.push(Self { at: line.at, run, duration_ms: ms, status, error, response });
                }
                (None, Err(_)) => {}
            }
        }
        attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_survive_the_log() {
        let at = Timestamp::from_micros(5);
        let attempt = |response: String| Attempt {
            at,
            run: 2,
            duration_ms: 12,
            status: Some(500),
            error: Some("answered 500 “oh”".into()),
            response,
        };
        let long = "ä\n> {}".repeat(RESPONSE_BYTES_MAX / 7);
        let attempts = vec![attempt(String::new()), attempt(long), attempt("{\"run\":1,\"ms\":1}".into())];
        let log: Vec<LogLine> =
            attempts.iter().flat_map(Attempt::lines).map(|text| LogLine { at, phase: None, text }).collect();
        assert!(log.iter().all(|line| line.text.len() <= limits::LOG_LINE_BYTES_MAX));
        assert_eq!(Attempt::read(&log), attempts);
    }
}
