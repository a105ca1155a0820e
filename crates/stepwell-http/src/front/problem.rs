//! How a refusal looks: RFC 9457, with a code for programs and a pointer to what is wrong.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use stepwell::{Error, JobId};
use utoipa::ToSchema;

macro_rules! codes {
    ($($Code:ident = $status:ident $text:literal $title:literal $help:literal;)+) => {
        /// What kind of problem it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($Code),+ }
        impl Code {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$Code),+];
            pub(crate) const fn as_str(self) -> &'static str { match self { $(Self::$Code => $text),+ } }
            pub(crate) const fn title(self) -> &'static str { match self { $(Self::$Code => $title),+ } }
            /// What to do about it.
            pub(crate) const fn help(self) -> &'static str { match self { $(Self::$Code => $help),+ } }
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$Code => StatusCode::$status),+ }
            }
        }
    };
}
codes! {
    Validation = BAD_REQUEST "validation" "The request breaks a rule"
        "`errors` names each field, its limit and the fix. Nothing was changed.";
    CursorInvalid = BAD_REQUEST "cursor-invalid" "The cursor is of another list"
        "Start the list again without `cursor`. A cursor goes with the filter, the order and the server it came from.";
    Unauthenticated = UNAUTHORIZED "unauthenticated" "No valid token"
        "Send `Authorization: Bearer sw_…`. `stepwell tokens create` makes one.";
    ForbiddenScope = FORBIDDEN "forbidden-scope" "The token may not do this"
        "Use a token with the scope, the queue and the kind that `detail` names.";
    CrossSite = FORBIDDEN "cross-site" "The request comes from another site's page"
        "Pages of other sites may not use this API through a browser. Programs send a bearer token.";
    NotFound = NOT_FOUND "not-found" "There is no such thing"
        "It never existed, has been deleted, or is not for this token to see.";
    MethodNotAllowed = METHOD_NOT_ALLOWED "method-not-allowed" "The method does not exist here"
        "The `Allow` header has those that do.";
    NotAcceptable = NOT_ACCEPTABLE "not-acceptable" "There is no such representation"
        "Ask for `application/json`, or for `text/event-stream` where there is a stream.";
    RequestTimeout = REQUEST_TIMEOUT "request-timeout" "The request did not arrive in time"
        "Send the whole body without long pauses.";
    ConflictUnique = CONFLICT "conflict-unique" "Another live job holds the unique key"
        "`jobId` names it. Wait for its end, cancel it, or use another key.";
    ConflictState = CONFLICT "conflict-state" "Not in this state"
        "`detail` says in which state it is. Read it again, and decide anew.";
    LeaseLost = CONFLICT "lease-lost" "The phase is not the worker's any more"
        "Stop it, and say nothing more about it: it runs elsewhere, or has ended. Nothing was changed.";
    Gone = GONE "gone" "Events after the cursor are no longer kept"
        "Read the state again, and follow from its `pos`.";
    PreconditionFailed = PRECONDITION_FAILED "precondition-failed" "It has changed since"
        "Read it again, and send the new ETag in `If-Match`.";
    PayloadTooLarge = PAYLOAD_TOO_LARGE "payload-too-large" "The body is too large"
        "Store the data elsewhere, and enqueue where it is.";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body is not JSON"
        "Send `Content-Type: application/json`.";
    HostRefused = MISDIRECTED_REQUEST "host-refused" "The server is not reached under this name"
        "Use a name that the server was given, or tell the server this one: `--host`.";
    IdempotencyMismatch = UNPROCESSABLE_ENTITY "idempotency-mismatch" "Another request had this key"
        "Use a new `Idempotency-Key` for a new request.";
    RateLimited = TOO_MANY_REQUESTS "rate-limited" "Too many requests"
        "Wait as long as `Retry-After` says.";
    Internal = INTERNAL_SERVER_ERROR "internal" "The server failed"
        "This is a bug. The server's log has the request's id.";
    StoreUnavailable = SERVICE_UNAVAILABLE "store-unavailable" "The store cannot be read or written"
        "Nothing was changed; the same request may succeed later.";
    StoreSealed = SERVICE_UNAVAILABLE "store-sealed" "The store moves to another place"
        "It can be read here. The same request will succeed where the store goes; wait as long as `Retry-After` says.";
    Overloaded = SERVICE_UNAVAILABLE "overloaded" "Too many at once"
        "Wait as long as `Retry-After` says.";
    Draining = SERVICE_UNAVAILABLE "draining" "The server is shutting down"
        "The same request will succeed at another instance, or after the restart.";
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Fault {
    /// The place in the body (RFC 6901, as a fragment: `#/runAt`), or the parameter (`?limit`) or header.
    pub(crate) pointer: String,
    /// What kind of fault.
    pub(crate) code: &'static str,
    /// What is wrong, and what to do.
    pub(crate) detail: String,
}

/// A refusal on its way out. The door writes it, because only the door knows the request.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) errors: Vec<Fault>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) job: Option<JobId>,
}

/// Why a request was refused: `application/problem+json`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// What kind of problem it is: the address of a page about it.
    #[schema(format = "uri-reference")]
    pub(crate) r#type: String,
    /// The same in a few words.
    pub(crate) title: &'static str,
    /// The status of the response.
    pub(crate) status: u16,
    /// What is wrong this time.
    pub(crate) detail: String,
    /// What was asked for.
    #[schema(format = "uri-reference")]
    pub(crate) instance: String,
    /// The kind of problem, for programs.
    pub(crate) code: &'static str,
    /// The request's id, as it stands in the server's log.
    pub(crate) request_id: String,
    /// Whether the same request may succeed later.
    pub(crate) retryable: bool,
    /// When, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
    /// What is wrong with which part of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<Fault>,
    /// The job that stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub(crate) job_id: Option<JobId>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), retry_after: None, job: None }
    }
    /// One part of the request breaks a rule.
    pub(crate) fn of(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let (pointer, detail) = (pointer.into(), detail.into());
        let mut problem = Self::new(Code::Validation, format!("{pointer} {detail}"));
        problem.errors.push(Fault { pointer, code: Code::Validation.as_str(), detail });
        problem
    }
    /// A name that only Stepwell itself uses.
    pub(crate) fn reserved(pointer: &str) -> Self {
        Self::of(pointer, "must not begin with `stepwell.`, which is Stepwell's own")
    }
    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
    pub(crate) fn is_retryable(&self) -> bool {
        self.retry_after.is_some() || self.code.status().is_server_error() && self.code != Code::Internal
    }
    /// As an entry of a batch's answer, where there is no request of its own.
    pub(crate) fn fault(self, pointer: String) -> Fault {
        let Self { code, detail, .. } = self;
        Fault { pointer, code: code.as_str(), detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if self.code == Code::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            // Rounded up: whoever comes back too early is refused again.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = seconds.to_string().parse() {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let told = |code| Self::new(code, error.to_string());
        if let Some(field) = error.field() {
            let pointer = pointer_of(field);
            let mut problem = told(Code::Validation);
            problem.errors.push(Fault {
                pointer,
                code: Code::Validation.as_str(),
                detail: problem.detail.clone(),
            });
            return problem;
        }
        if let Some(holder) = error.unique_holder() {
            return Self { job: Some(holder), ..told(Code::ConflictUnique) };
        }
        match () {
            () if error.is_not_found() => told(Code::NotFound),
            () if error.is_wrong_state() => told(Code::ConflictState),
            () if error.is_lease_lost() => told(Code::LeaseLost),
            () if error.is_held() => told(Code::ConflictState).retry_after(Duration::from_secs(1)),
            () if error.is_version_mismatch() => told(Code::PreconditionFailed),
            () if error.is_idempotency_mismatch() => told(Code::IdempotencyMismatch),
            () if error.is_sealed() => told(Code::StoreSealed).retry_after(Duration::from_secs(5)),
            () if error.is_closed() => told(Code::Draining).retry_after(Duration::from_secs(2)),
            () => {
                // What a store says of itself, such as where its file is, is for the log and not for the caller.
                tracing::error!(%error, "failed to serve a request");
                let code = if error.is_codec() { Code::Internal } else { Code::StoreUnavailable };
                let problem = Self::new(code, code.title());
                if error.is_transient() { problem.retry_after(Duration::from_secs(1)) } else { problem }
            }
        }
    }
}

/// Where a field of the engine stands in a request's body.
fn pointer_of(field: &str) -> String {
    let (name, rest) = field.split_once(' ').unwrap_or((field, ""));
    match (name, rest) {
        ("unique", "key") => "#/uniqueKey".into(),
        ("on", "conflict") => "#/onConflict".into(),
        ("idempotency", "key") => "Idempotency-Key".into(),
        ("attribute", key) if !key.is_empty() => format!("#/attributes/{}", escaped(key)),
        ("attribute", _) => "#/attributes".into(),
        ("tag", _) => "#/tags".into(),
        ("delay", _) => "#/delayMs".into(),
        ("expires", _) => "#/expiresAt".into(),
        ("phase", _) => "#/fromPhase".into(),
        ("overlap", _) => "#/overlapMs".into(),
        _ => format!("#/{}", field.replace('.', "/")),
    }
}

/// A member's name as RFC 6901 writes it.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_engine_is_found_in_the_body() {
        for (field, pointer) in [
            ("kind", "#/kind"),
            ("unique key", "#/uniqueKey"),
            ("attribute a/b", "#/attributes/a~1b"),
            ("webhook.url", "#/webhook/url"),
        ] {
            assert_eq!(Problem::from(Error::invalid(field, "is wrong")).errors[0].pointer, pointer);
        }
    }

    #[test]
    fn what_a_store_says_of_itself_stays_inside() {
        let problem = Problem::from(Error::storage("read /var/secret.db", "disk on fire"));
        assert!(!problem.detail.contains("secret") && problem.is_retryable());
    }

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
