//! A client that does what it is told, and nothing by itself.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) base: String,
    pub(crate) token: Option<String>,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        if self.body.is_empty() { Value::Null } else { self.json() }
    }
    /// The problem, if it is one with this code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str().unwrap()), (status, code), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["requestId"].as_str().unwrap(), self.header("request-id"));
        problem
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?}\n{body}", self.status, self.headers)
    }
}

impl Client {
    pub(crate) fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = request.header("host", self.address.to_string());
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> http::Response<Incoming> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        tokio::time::timeout(SOON, send.send_request(request)).await.unwrap().unwrap()
    }
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let (parts, body) = self.open(request).await.into_parts();
        let body = tokio::time::timeout(SOON, body.collect()).await.unwrap().unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path).body(Full::default()).unwrap()).await
    }
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> Reply {
        self.send(self.json(method, path, &body.to_string())).await
    }
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Method::POST, path, body).await
    }
    /// Without a body.
    pub(crate) async fn bare(&self, method: Method, path: &str) -> Reply {
        self.send(self.request(method, path).body(Full::default()).unwrap()).await
    }
    pub(crate) fn json(&self, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
        let request = self.request(method, path).header("content-type", "application/json");
        request.body(Full::from(body.to_owned())).unwrap()
    }
    /// Creates a job, and answers with its id.
    pub(crate) async fn enqueue(&self, kind: &str, payload: Value) -> String {
        let new = serde_json::json!({ "kind": kind, "payload": payload });
        self.post("/api/v1/jobs", new).await.expect(201)["id"].as_str().unwrap().to_owned()
    }
    /// Waits for a job's end.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let mut job = Value::Null;
        for _ in 0..3 {
            job = self.get(&format!("/api/v1/jobs/{id}?waitMs=30000")).await.expect(200);
            if matches!(job["state"].as_str(), Some("completed" | "failed" | "cancelled")) {
                return job;
            }
        }
        panic!("it does not end: {job}");
    }
    /// Opens an event stream.
    pub(crate) async fn follow(&self, path: &str, last: Option<&str>) -> Stream {
        let mut request = self.request(Method::GET, path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.open(request.body(Full::default()).unwrap()).await;
        assert_eq!(response.status(), 200);
        let (parts, body) = response.into_parts();
        Stream {
            headers: parts.headers,
            body,
            text: String::new(),
            waiting: VecDeque::new(),
            last: String::new(),
        }
    }
}

/// An event stream, read as a browser does.
pub(crate) struct Stream {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    text: String,
    waiting: VecDeque<Told>,
    /// The last event id.
    pub(crate) last: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Stream {
    /// The next event; none when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        tokio::time::timeout(SOON, self.read()).await.expect("an event comes, or the stream ends")
    }
    /// The place that the stream begins with, as a browser notes it before any event.
    pub(crate) async fn opened(&mut self) -> String {
        let opened = async { while self.last.is_empty() && self.take_more().await.is_some() {} };
        tokio::time::timeout(SOON, opened).await.expect("the stream says where it begins");
        assert!(self.waiting.is_empty());
        self.last.clone()
    }
    /// The place that it has moved on to without an event.
    pub(crate) async fn moved_from(&mut self, place: &str) -> String {
        let moved = async { while self.last == place && self.take_more().await.is_some() {} };
        tokio::time::timeout(SOON, moved).await.expect("the stream says that it lives");
        self.last.clone()
    }
    async fn read(&mut self) -> Option<Told> {
        loop {
            if let Some(told) = self.waiting.pop_front() {
                return Some(told);
            }
            self.take_more().await?;
        }
    }
    async fn take_more(&mut self) -> Option<()> {
        let frame = self.body.frame().await?.ok()?.into_data().ok()?;
        self.text.push_str(std::str::from_utf8(&frame).unwrap());
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let (block, rest) = (block.to_owned(), rest.to_owned());
            self.text = rest;
            self.take(&block);
        }
        Some(())
    }
    fn take(&mut self, block: &str) {
        let (mut event, mut data) = (String::new(), String::new());
        for line in block.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", id) => self.last = id.to_owned(),
                ("event", name) => event = name.to_owned(),
                ("data", text) => data.push_str(text),
                ("retry", ms) => assert!(ms.parse::<u64>().is_ok_and(|ms| (1_000..=5_000).contains(&ms))),
                (comment, _) => assert!(comment.is_empty() || comment.starts_with(':'), "{line:?}"),
            }
        }
        if !data.is_empty() {
            let data = serde_json::from_str(&data).unwrap();
            self.waiting.push_back(Told { id: self.last.clone(), event, data });
        }
    }
}
