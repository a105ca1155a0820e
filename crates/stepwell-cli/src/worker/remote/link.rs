//! Calls of the server, and what became of them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http::Method;
use serde::{Serialize, de::DeserializeOwned};

use super::wire::Problem;
use crate::{
    client::Client,
    failure::{FailedTo, Failure},
    output::beside,
};

/// How long an answer may take, beyond what was asked to wait for.
const PATIENCE: Duration = Duration::from_secs(15);

/// The way to the server.
pub(super) struct Link {
    client: Client,
    /// Whether the last call found nobody.
    away: AtomicBool,
}

/// A call.
pub(super) struct Call<'a> {
    /// Completes "failed to".
    pub(super) what: &'a str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// Under which it counts once.
    pub(super) key: Option<&'a str>,
    /// How long it may wait there.
    pub(super) wait: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn post(what: &'a str, path: &'a str) -> Self {
        Self { what, method: Method::POST, path, key: None, wait: Duration::ZERO }
    }
}

/// Why a call has no good answer.
pub(super) enum Trouble {
    /// Nobody answers, or not now: what was asked may have been done. It is worth to ask again, after this time.
    Away(Failure, Duration),
    /// The phase is not the worker's any more.
    LeaseLost,
    /// There is no such thing: for a worker, that it must register anew.
    Unknown(Failure),
    /// The same call will never be answered better.
    Refused(Failure),
}

impl Trouble {
    pub(super) fn failure(self) -> Failure {
        match self {
            Self::Away(failure, _) | Self::Unknown(failure) | Self::Refused(failure) => failure,
            Self::LeaseLost => Failure::to("report on a phase", "its lease was lost"),
        }
    }
}

impl Link {
    pub(super) fn by(client: Client) -> Self {
        Self { client, away: AtomicBool::new(false) }
    }

    /// Asks once. An answer without words is `()`.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
        body: &impl Serialize,
    ) -> Result<T, Trouble> {
        let text = self.send(call, body).await?;
        let said = if text.is_empty() { "null" } else { &text };
        let read = serde_json::from_str(said).failed_to(format!("{}: understand the answer", call.what));
        read.map_err(Trouble::Refused)
    }

    async fn send(&self, call: &Call<'_>, body: &impl Serialize) -> Result<String, Trouble> {
        let answer = self.send_once(call, body).await;
        let is_away = matches!(answer, Err(Trouble::Away(..)));
        if self.away.swap(is_away, Ordering::Relaxed) != is_away {
            match &answer {
                Err(Trouble::Away(failure, _)) => beside(format_args!("stepwell: {failure}; trying again")),
                _ => beside("stepwell: the server answers again"),
            }
        }
        answer
    }
    async fn send_once(&self, call: &Call<'_>, body: &impl Serialize) -> Result<String, Trouble> {
        let Call { what, method, path, key, wait } = call;
        let body = serde_json::to_vec(body).failed_to(what).map_err(Trouble::Refused)?;
        let headers: Vec<(&str, &str)> = key.iter().map(|key| ("idempotency-key", *key)).collect();
        let asked = self.client.reply(what, method.clone(), path, &headers, body.into(), *wait + PATIENCE);
        let reply = asked.await.map_err(|failure| Trouble::Away(failure, Duration::ZERO))?;
        if reply.status.is_success() {
            return Ok(reply.text);
        }
        let problem: Option<Problem> = serde_json::from_str(&reply.text).ok();
        let code = problem.as_ref().map_or("", |problem| &*problem.code);
        if code == "lease-lost" {
            return Err(Trouble::LeaseLost);
        }
        let failure = self.client.refused(what, &reply).await;
        let after = problem.as_ref().and_then(|problem| problem.retry_after_ms).map(Duration::from_millis);
        Err(match reply.status.as_u16() {
            404 if code == "not-found" => Trouble::Unknown(failure),
            408 | 429 | 500.. => Trouble::Away(failure, after.unwrap_or_default()),
            _ if problem.is_some_and(|problem| problem.retryable) => {
                Trouble::Away(failure, after.unwrap_or_default())
            }
            _ => Trouble::Refused(failure),
        })
    }
}
