//! Bodies, read strictly: JSON, of a known length, with no field that nobody knows.

use std::{error::Error as _, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{FromRequest, Request},
};
use http::{HeaderMap, header};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::{Code, Problem, problem::escaped};
use crate::hub::Hub;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How deep a body may be nested: no deeper than a payload in it.
const DEPTH_MAX: usize = stepwell::limits::JSON_DEPTH_MAX;

/// A JSON body, and its bytes.
pub(crate) struct JsonBody<T>(pub(crate) T, pub(crate) Bytes);

/// As [`JsonBody`]; nothing at all, and `null`, is the default.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Hub>> for JsonBody<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, hub: &Arc<Hub>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let bytes = read(&parts.headers, body, hub.options.body_bytes_max).await?;
        Ok(Self(decode(&bytes)?, bytes))
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Arc<Hub>> for OptionalBody<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, hub: &Arc<Hub>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, hub.options.body_bytes_max).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        check_type(&parts.headers)?;
        Ok(Self(decode::<Option<T>>(&bytes)?.unwrap_or_default()))
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = named.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("the body's type is {essence:?}, and must be \"application/json\"");
    Err(Problem::new(Code::UnsupportedMediaType, detail))
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::new(Code::PayloadTooLarge, format!("the body is larger than the limit of {limit} bytes"));
    let told = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Refused before any of it is taken in.
    if told.is_some_and(|told| told > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(ARRIVAL, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
            Err(too_large())
        }
        Ok(Err(_)) => Err(Problem::new(Code::Validation, "the body ended early")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", ARRIVAL.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail))
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if depth(bytes) > DEPTH_MAX {
        return Err(Problem::of("#", format!("is nested deeper than the limit of {DEPTH_MAX} levels")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let decoded = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path(), &error.inner().to_string());
        Problem::of(pointer, cause(error.inner()))
    })?;
    json.end().map_err(|error| Problem::of("#", cause(&error)))?;
    Ok(decoded)
}

/// How deep brackets are nested, whether or not they match.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The place in the body. An unknown field's own name stands only in the message.
fn pointer(path: &serde_path_to_error::Path, message: &str) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::from("#");
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
            Segment::Enum { variant } => pointer.push_str(&format!("/{}", escaped(variant))),
            Segment::Unknown => {}
        }
    }
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|lead| message.strip_prefix(lead))
        .and_then(|rest| rest.split_once('`'));
    if let Some((name, _)) = named {
        let member = format!("/{}", escaped(name));
        if !pointer.ends_with(&member) {
            pointer.push_str(&member);
        }
    }
    pointer
}

/// What serde says, without the line and column of a text that the sender may never have seen in lines.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(cause, _)| cause);
    match error.classify() {
        serde_json::error::Category::Data => format!("is wrong: {}", without_value(text)),
        _ => format!("is not JSON: {text} at byte {}", error.column()),
    }
}

/// Whoever asks knows what was sent. A text in the wrong place may be a secret, and problems end up in logs.
fn without_value(text: &str) -> String {
    let leads = ["invalid type: string ", "invalid value: string ", "unknown variant "];
    let value = leads.into_iter().find_map(|lead| {
        // The last one: the value may hold the same words.
        let (_, expected) = text.strip_prefix(lead)?.rsplit_once(", expected ")?;
        Some(format!("{}, expected {expected}", lead.trim_end()))
    });
    let text = value.unwrap_or_else(|| text.to_owned());
    // What a type is called in here says nothing to others.
    match text.rsplit_once(", expected struct ") {
        Some((found, _)) => format!("{found}, expected an object"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use stepwell::Json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding is tried")]
    struct Asked {
        kind: String,
        delay_ms: Option<u64>,
        inner: Option<BTreeMap<String, u8>>,
        payload: Option<Json>,
    }

    fn pointer_of(text: &str) -> String {
        let problem = decode::<Asked>(text.as_bytes()).unwrap_err();
        problem.errors[0].pointer.clone()
    }

    #[test]
    fn a_fault_is_found() {
        for (text, pointer) in [
            (r#"{"kind":1}"#, "#/kind"),
            (r#"{"kind":"a","delayMs":-1}"#, "#/delayMs"),
            (r#"{"kind":"a","delay":1}"#, "#/delay"),
            (r#"{"delayMs":1}"#, "#/kind"),
            (r#"{"kind":"a","inner":{"a/b":300}}"#, "#/inner/a~1b"),
            (r#"{"kind":"a","kind":"b"}"#, "#/kind"),
            (r#"{"kind":"a"} x"#, "#"),
            (r#"[]"#, "#"),
        ] {
            assert_eq!(pointer_of(text), pointer, "{text}");
        }
    }

    #[test]
    fn what_was_sent_in_the_wrong_place_is_not_repeated() {
        for (text, detail) in [
            (
                r#"{"kind":"a","delayMs":"hunter2, expected u64"}"#,
                "is wrong: invalid type: string, expected u64",
            ),
            (r#"{"kind":"a","inner":"hunter2"}"#, "is wrong: invalid type: string, expected a map"),
            (r#""hunter2""#, "is wrong: invalid type: string, expected an object"),
            (r#"{"kind":7}"#, "is wrong: invalid type: integer `7`, expected a string"),
        ] {
            let problem = decode::<Asked>(text.as_bytes()).unwrap_err();
            assert_eq!(problem.errors[0].detail, detail, "{text}");
        }
    }

    #[test]
    fn a_payload_is_kept_byte_for_byte_and_bounded_in_depth() {
        let asked: Asked = decode(br#"{"kind":"a","payload":{"b": 1e400, "a":1}}"#).unwrap();
        assert_eq!(asked.payload.unwrap().as_str(), r#"{"b": 1e400, "a":1}"#);
        let nested = |levels: usize| {
            format!(r#"{{"kind":"a","payload":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
        };
        decode::<Asked>(nested(DEPTH_MAX - 1).as_bytes()).unwrap();
        for levels in [DEPTH_MAX, 5_000] {
            assert_eq!(pointer_of(&nested(levels)), "#");
        }
        let brackets = format!(r#"{{"kind":"{}"}}"#, "[".repeat(5_000));
        decode::<Asked>(brackets.as_bytes()).unwrap();
    }
}
