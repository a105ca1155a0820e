//! What a child says in words that are meant for the queue.

use std::time::Duration;

use serde::Deserialize;
use stepwell_core::Json;

/// A command on the standard output.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    Progress { done: u64, total: u64, note: Option<String> },
    Checkpoint(Json),
    Log(String),
    Complete(Json),
    Fail(Failure),
    Snooze(Duration),
}

/// What a child fails with in its own words.
#[derive(Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) message: String,
    /// Whether no further try can help.
    pub(super) never: bool,
    pub(super) after: Option<Duration>,
}

/// The commands, each with the mark that was read before.
mod line {
    use serde::{Deserialize, de::IgnoredAny};
    use stepwell_core::Json;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Progress {
        #[serde(rename = "stepwell")]
        _mark: IgnoredAny,
        pub(super) done: u64,
        pub(super) total: u64,
        pub(super) note: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Checkpoint {
        #[serde(rename = "stepwell")]
        _mark: IgnoredAny,
        pub(super) value: Json,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Log {
        #[serde(rename = "stepwell")]
        _mark: IgnoredAny,
        pub(super) message: String,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(super) struct Complete {
        #[serde(rename = "stepwell")]
        _mark: IgnoredAny,
        #[serde(default = "Json::null")]
        pub(super) output: Json,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct Fail {
        #[serde(rename = "stepwell")]
        _mark: IgnoredAny,
        pub(super) message: String,
        #[serde(default)]
        pub(super) retry: Retry,
        pub(super) after_ms: Option<u64>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    pub(super) struct Snooze {
        #[serde(rename = "stepwell")]
        _mark: IgnoredAny,
        pub(super) delay_ms: u64,
    }
    #[derive(Default, Deserialize, PartialEq)]
    #[serde(rename_all = "camelCase")]
    pub(super) enum Retry {
        #[default]
        Default,
        Never,
    }
}

/// Reads a line. None if it is no command; an error, in words, if it is one that nobody understands.
pub(super) fn read(text: &str) -> Option<Result<Said, String>> {
    #[derive(Deserialize)]
    struct Marked {
        stepwell: serde_json::Value,
    }
    // Only an object can be a command, and few lines get as far as being parsed.
    if !text.trim_start().starts_with('{') || !text.contains("\"stepwell\"") {
        return None;
    }
    let Marked { stepwell } = serde_json::from_str(text).ok()?;
    let read = match stepwell.as_str() {
        Some("progress") => serde_json::from_str(text)
            .map(|line::Progress { done, total, note, .. }| Said::Progress { done, total, note }),
        Some("checkpoint") => {
            serde_json::from_str(text).map(|line::Checkpoint { value, .. }| Said::Checkpoint(value))
        }
        Some("log") => serde_json::from_str(text).map(|line::Log { message, .. }| Said::Log(message)),
        Some("complete") => {
            serde_json::from_str(text).map(|line::Complete { output, .. }| Said::Complete(output))
        }
        Some("fail") => serde_json::from_str(text).map(|line::Fail { message, retry, after_ms, .. }| {
            let never = retry == line::Retry::Never;
            Said::Fail(Failure { message, never, after: after_ms.map(Duration::from_millis) })
        }),
        Some("snooze") => serde_json::from_str(text)
            .map(|line::Snooze { delay_ms, .. }| Said::Snooze(Duration::from_millis(delay_ms))),
        _ => return Some(Err(format!("said {stepwell}, which is no command: {COMMANDS}"))),
    };
    Some(read.map_err(|error| {
        format!("said the command {stepwell} in a way that is not understood ({error}): {COMMANDS}")
    }))
}

/// For whoever writes such programs.
const COMMANDS: &str = "the commands are progress, checkpoint, log, complete, fail and snooze";

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Said {
        read(line).expect("a command").unwrap()
    }

    #[test]
    fn commands_are_read() {
        let progress = said(r#"{"stepwell":"progress","done":3,"total":10,"note":"n"}"#);
        assert_eq!(progress, Said::Progress { done: 3, total: 10, note: Some("n".into()) });
        let checkpoint = said(r#" {"value":{"at":[1]},"stepwell":"checkpoint"}"#);
        assert_eq!(checkpoint, Said::Checkpoint(Json::from_text(r#"{"at":[1]}"#).unwrap()));
        assert_eq!(said(r#"{"stepwell":"log","message":"m"}"#), Said::Log("m".into()));
        assert_eq!(
            said(r#"{"stepwell":"complete","output":7}"#),
            Said::Complete(Json::from_text("7").unwrap())
        );
        assert_eq!(said(r#"{"stepwell":"complete"}"#), Said::Complete(Json::null()));
        let fail = said(r#"{"stepwell":"fail","message":"m","retry":"never"}"#);
        assert_eq!(fail, Said::Fail(Failure { message: "m".into(), never: true, after: None }));
        let fail = said(r#"{"stepwell":"fail","message":"m","afterMs":1500}"#);
        let snooze = said(r#"{"stepwell":"snooze","delayMs":1500}"#);
        assert_eq!(snooze, Said::Snooze(Duration::from_millis(1500)));
        let after = Some(Duration::from_millis(1500));
        assert_eq!(fail, Said::Fail(Failure { message: "m".into(), never: false, after }));
    }

    #[test]
    fn what_is_no_command_is_output() {
        for line in
            ["", "hello", "7", r#"{"a":1}"#, r#"["stepwell"]"#, r#"{"stepwell""#, r#"{"a":"\"stepwell\""}"#]
        {
            assert!(read(line).is_none(), "{line}");
        }
    }

    #[test]
    fn a_command_that_is_not_understood_says_so() {
        for (line, word) in [
            (r#"{"stepwell":"finish"}"#, "no command"),
            (r#"{"stepwell":"progress","done":1}"#, "total"),
            (r#"{"stepwell":"complete","outptu":1}"#, "outptu"),
            (r#"{"stepwell":"fail","message":"m","retry":"soon"}"#, "soon"),
            (r#"{"stepwell":7}"#, "7"),
        ] {
            let problem = read(line).expect("a command").unwrap_err();
            assert!(problem.contains(word) && problem.contains("the commands are"), "{problem}");
        }
    }
}
