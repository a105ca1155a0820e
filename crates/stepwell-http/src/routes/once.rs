//! Requests that count once, by their `Idempotency-Key`.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use stepwell::Error;

use crate::{
    access::{Grant, hex},
    front::{Code, Problem},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Bytes of an idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// A request that counts once, and what tells it from others.
pub(super) struct Once {
    who: Arc<str>,
    key: String,
    fingerprint: String,
}

impl Once {
    /// What the `Idempotency-Key` header says, for a request with this body.
    pub(super) fn read(grant: &Grant, headers: &HeaderMap, body: &[u8]) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(None) };
        let wrong = |detail: String| Problem::of("Idempotency-Key", detail);
        if values.next().is_some() {
            return Err(wrong("must stand there once".into()));
        }
        // The header is a structured-field string, but many send it bare.
        let key = value.to_str().unwrap_or("").trim_matches('"');
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(wrong(format!("must be 1 to {KEY_BYTES_MAX} bytes of ASCII text")));
        }
        let who = grant.who.clone();
        Ok(Some(Self { who, key: key.to_owned(), fingerprint: hex(&Sha256::digest(body)) }))
    }
    /// For what the request makes: a key counts once for each kind of thing. Each caller's keys are their own, whatever
    /// they are called: no two pairs of them are written alike.
    pub(super) fn of(&self, part: &str) -> (String, String) {
        (format!("{}:{}:{part}:{}", self.who.len(), self.who, self.key), self.fingerprint.clone())
    }
}

/// Says so if an answer was given before.
pub(super) fn replayed(mut response: Response, is_replayed: bool) -> Response {
    if is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// What the key stands for may have been removed since: there is nothing to answer with, and nothing is made anew.
pub(super) fn gone(error: Error, what: &str) -> Problem {
    match error.is_not_found() {
        true => {
            let detail =
                format!("this `Idempotency-Key` has made a {what} that was removed since; use a new key");
            Problem::new(Code::ConflictState, detail)
        }
        false => error.into(),
    }
}
