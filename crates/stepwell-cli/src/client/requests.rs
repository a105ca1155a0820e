//! Requests and answers.

use std::{fmt::Display, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

use super::{here::Here, refusal, there::There};
use crate::failure::{FailedTo, Failure};

/// A body, wherever it comes from.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Jobs on one page of the API, at most.
const PAGE_MAX: usize = 500;
/// How long an answer may take beyond what was asked to wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who answers requests.
pub(crate) enum Client {
    There(Box<There>),
    Here(Box<Here>),
}

/// A good answer, as it was written.
pub(crate) struct Answer {
    text: String,
    headers: HeaderMap,
}

impl Answer {
    /// The answer's JSON, byte for byte.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
    pub(crate) fn value(&self) -> Result<Value, Failure> {
        serde_json::from_str(&self.text).failed_to("understand the answer")
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An answer, good or bad, as it was written.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    headers: HeaderMap,
}

/// Part of a list, as it was written.
#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    page: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    next: Option<String>,
}

/// What was found of a list.
pub(crate) struct Listed {
    pub(crate) items: Vec<Box<RawValue>>,
    /// Where to go on.
    pub(crate) next: Option<String>,
}

impl Client {
    /// Somebody at this address.
    ///
    /// # Errors
    /// If it is none, or the token cannot be sent.
    #[cfg(unix)]
    pub(crate) fn of(url: &str, token: Option<&str>) -> Result<Self, Failure> {
        let url = url.parse().failed_to(format!("understand the address {url}"))?;
        Ok(Self::There(Box::new(There::new(url, token, "has it ended?")?)))
    }
    pub(crate) async fn get(&self, what: &str, path: &str) -> Result<Answer, Failure> {
        self.ask(what, Method::GET, path, &[], Bytes::new()).await
    }
    /// Asks, and waits as long as the request itself may wait.
    pub(crate) async fn get_within(&self, what: &str, path: &str, wait: Duration) -> Result<Answer, Failure> {
        self.ask_within(what, Method::GET, path, &[], Bytes::new(), wait + PATIENCE).await
    }
    pub(crate) async fn post(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).failed_to(what)?;
        self.ask(what, Method::POST, path, &[], body.into()).await
    }
    /// Asks for a change, and waits as long as the request itself may wait.
    pub(crate) async fn post_within(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
        wait: Duration,
    ) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).failed_to(what)?;
        self.ask_within(what, Method::POST, path, &[], body.into(), wait + PATIENCE).await
    }
    /// Asks for a change that needs no words.
    pub(crate) async fn act(&self, what: &str, path: &str) -> Result<Answer, Failure> {
        self.ask(what, Method::POST, path, &[], Bytes::new()).await
    }
    pub(crate) async fn patch(
        &self,
        what: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).failed_to(what)?;
        self.ask(what, Method::PATCH, path, &[], body.into()).await
    }
    pub(crate) async fn put(&self, what: &str, path: &str, body: &impl Serialize) -> Result<Answer, Failure> {
        let body = serde_json::to_vec(body).failed_to(what)?;
        self.ask(what, Method::PUT, path, &[], body.into()).await
    }
    pub(crate) async fn delete(&self, what: &str, path: &str) -> Result<Answer, Failure> {
        self.ask(what, Method::DELETE, path, &[], Bytes::new()).await
    }

    /// Asks for a part of a list, and goes on until it has that many or there are no more.
    pub(crate) async fn list(
        &self,
        what: &str,
        path: &str,
        query: &[(&str, &str)],
        limit: usize,
        mut cursor: Option<String>,
    ) -> Result<Listed, Failure> {
        let mut items = Vec::new();
        loop {
            let page = self.page(what, path, query, limit - items.len(), cursor.as_deref()).await?;
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() || items.len() >= limit {
                return Ok(Listed { items, next: cursor });
            }
        }
    }
    /// Asks for one page of a list. It may hold less than was asked for, although there are more.
    pub(crate) async fn page(
        &self,
        what: &str,
        path: &str,
        query: &[(&str, &str)],
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Listed, Failure> {
        let n = limit.min(PAGE_MAX).to_string();
        let mut asked = query.to_vec();
        asked.push(("limit", &n));
        asked.extend(cursor.map(|cursor| ("cursor", cursor)));
        let answer = self.get(what, &format!("{path}?{}", self::query(asked))).await?;
        let page: Page = serde_json::from_str(answer.text()).failed_to("understand the answer")?;
        Ok(Listed { items: page.data, next: page.page.and_then(|place| place.next) })
    }
    /// Asks for a list without pages.
    pub(crate) async fn whole(&self, what: &str, path: &str) -> Result<Vec<Box<RawValue>>, Failure> {
        let answer = self.get(what, path).await?;
        let page: Page = serde_json::from_str(answer.text()).failed_to("understand the answer")?;
        Ok(page.data)
    }

    /// Asks, and reads a good answer to its end.
    pub(crate) async fn ask(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        self.ask_within(what, method, path, headers, body, PATIENCE).await
    }

    async fn ask_within(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, Failure> {
        let reply = self.reply(what, method, path, headers, body, within).await?;
        if reply.status.is_success() || reply.status == StatusCode::NOT_MODIFIED {
            return Ok(Answer { text: reply.text, headers: reply.headers });
        }
        Err(self.refused(what, &reply).await)
    }

    /// Asks, and reads the answer to its end, whatever it says.
    ///
    /// # Errors
    /// If no answer comes within this time.
    pub(crate) async fn reply(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let asked = async {
            let response = self.send(what, method, path, headers, body).await?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| self.cut(what, error))?.to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Ok(Reply { status: head.status, headers: head.headers, text })
        };
        match tokio::time::timeout(within, asked).await {
            Ok(answered) => answered,
            Err(_) => Err(self.cut(what, "no answer came in time")),
        }
    }
    /// What a bad answer means.
    pub(crate) async fn refused(&self, what: &str, reply: &Reply) -> Failure {
        refusal::read(self, what, reply.status, &reply.text).await
    }

    /// Sends a request, and leaves the answer's body to be read.
    pub(super) async fn send(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(method).uri(path);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).failed_to(what)?;
        match self {
            Self::There(there) => there.send(request).await.map_err(|error| self.cut(what, error)),
            Self::Here(here) => Ok(here.send(request).await),
        }
    }
    /// What is left of a request whose answer did not come.
    pub(super) fn cut(&self, what: &str, error: impl Display) -> Failure {
        match self {
            Self::There(there) => there.cut(what, error),
            Self::Here(_) => Failure::to(what, error),
        }
    }

    /// Lets go of what was opened.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        match self {
            Self::There(_) => Ok(()),
            Self::Here(here) => here.close().await,
        }
    }
}

/// Pairs that some options give.
pub(crate) type Query<'q> = Vec<(&'q str, &'q str)>;

/// Pairs as the query of an address.
pub(crate) fn query<'q>(pairs: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A name as a segment of a path.
pub(crate) fn segment(name: &str) -> String {
    // What a form writes as a plus is a plus in a path.
    url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment() {
        assert_eq!(segment("a/b c+d?é"), "a%2Fb%20c%2Bd%3F%C3%A9");
    }
}
