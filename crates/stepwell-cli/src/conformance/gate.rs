//! Where a worker's requests pass on their way to the server.

use std::{
    error::Error as StdError,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::{Value, json};
use stepwell::Stopwatch;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::{
    call::Call,
    exchange::{Answer, Exchange},
    journal::Journal,
    trick::{Refusal, Trick},
};

/// Bytes of a body in either direction. The server itself takes less.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The gate before a server.
pub(super) struct Gate {
    pub(super) address: SocketAddr,
    inner: Arc<Inner>,
    accepting: JoinHandle<()>,
}

struct Inner {
    server: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    begun: Stopwatch,
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    journal: Journal,
    tricks: Vec<Trick>,
}

/// The connection ends here.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is lost")
    }
}
impl StdError for Cut {}

impl Gate {
    /// Lets pass what goes to this server.
    ///
    /// # Errors
    /// If no port is to be had.
    pub(super) async fn open(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        // A connection for each request: the server may close one that is idle at any time.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        let state = Mutex::default();
        let inner =
            Inner { server, client, begun: Stopwatch::start(), state, changes: watch::Sender::new(()) };
        let inner = Arc::new(inner);
        let accepting = tokio::spawn(accept(listener, inner.clone()));
        Ok(Self { address, inner, accepting })
    }
    /// From now on, or once, this happens.
    pub(super) fn plan(&self, trick: Trick) {
        self.inner.lock().tricks.push(trick);
    }
    /// Nothing happens any more but what should.
    pub(super) fn undo(&self) {
        self.inner.lock().tricks.clear();
        self.inner.changes.send_replace(());
    }
    pub(super) fn journal(&self) -> Journal {
        self.inner.lock().journal.clone()
    }
    /// Tells of every request and every answer.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.inner.changes.subscribe()
    }
    /// Looks for something in what has been asked and answered.
    pub(super) fn find<T>(&self, find: impl FnOnce(&Journal) -> Option<T>) -> Option<T> {
        find(&self.inner.lock().journal)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn note(&self, exchange: Exchange) -> usize {
        let nth = {
            let journal = &mut self.lock().journal.0;
            journal.push(exchange);
            journal.len() - 1
        };
        self.changes.send_replace(());
        nth
    }
    fn note_answer(&self, nth: usize, answer: Answer) {
        self.lock().journal.0[nth].answer = Some(answer);
        self.changes.send_replace(());
    }
    /// Waits for as long as this request is held.
    async fn hold(&self, exchange: &Exchange) {
        let mut changes = self.changes.subscribe();
        while self.lock().tricks.iter().any(|trick| trick.holds(exchange)) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
    /// What one of the tricks makes of this request. One that happens once has then happened.
    fn trick<T>(&self, does: impl Fn(&Trick) -> Option<T>) -> Option<T> {
        let tricks = &mut self.lock().tricks;
        let (nth, done) = tricks.iter().enumerate().find_map(|(nth, trick)| Some((nth, does(trick)?)))?;
        if tricks[nth].is_spent() {
            tricks.remove(nth);
        }
        Some(done)
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, most likely: others end before long.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        stream.set_nodelay(true).ok();
        let inner = inner.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| pass(inner.clone(), request));
            // Workers come and go as they like.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// Writes down a request, has it answered, and writes down the answer.
async fn pass(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
    let mut exchange = read(&inner, &head, &body);
    let nth = inner.note(exchange.clone());
    inner.hold(&exchange).await;
    let refused = inner.trick(|trick| trick.refuses(&exchange));
    let mut response = match refused {
        Some(refusal) => refuse(refusal),
        None => forward(&inner, head, body).await?,
    };
    if refused.is_none() && inner.trick(|trick| matches!(trick, Trick::AddUnknown).then_some(())).is_some() {
        add_unknown(&mut response);
    }
    let answer = answer(&inner, &response);
    exchange.answer = Some(answer.clone());
    let lost = inner.trick(|trick| trick.loses(&exchange).then_some(())).is_some();
    // Before it goes out: whoever reacts to it must be later than it.
    inner.note_answer(nth, Answer { delivered: !lost, ..answer });
    if lost { Err(Cut) } else { Ok(response.map(Full::new)) }
}

fn read(inner: &Inner, head: &http::request::Parts, body: &Bytes) -> Exchange {
    let (call, subject) = Call::of(&head.method, head.uri.path());
    let header = |name: HeaderName| head.headers.get(name)?.to_str().ok().map(str::to_owned);
    let value = if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(body).ok() };
    Exchange {
        call,
        line: format!("{} {}", head.method, head.uri.path()),
        subject: subject.to_owned(),
        authorization: header(header::AUTHORIZATION),
        content_type: header(header::CONTENT_TYPE),
        key: header(HeaderName::from_static("idempotency-key")),
        garbled: value.is_none(),
        body: value.unwrap_or_default(),
        asked: inner.begun.elapsed(),
        answer: None,
    }
}

fn answer(inner: &Inner, response: &Response<Bytes>) -> Answer {
    let seconds =
        response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Answer {
        status: response.status().as_u16(),
        body: serde_json::from_slice(response.body()).unwrap_or_default(),
        at: inner.begun.elapsed(),
        delivered: true,
        retry_after: seconds.map(Duration::from_secs),
    }
}

async fn forward(inner: &Inner, head: http::request::Parts, body: Bytes) -> Result<Response<Bytes>, Cut> {
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("http://{}{path}", inner.server).parse().map_err(|_| Cut)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = head.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = end_to_end(head.headers);
    let response = inner.client.request(request).await.map_err(|_| Cut)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let mut answered = Response::new(body);
    *answered.status_mut() = head.status;
    *answered.headers_mut() = end_to_end(head.headers);
    Ok(answered)
}

/// Headers without those that are about one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in
        [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::EXPECT]
    {
        headers.remove(name);
    }
    headers
}

fn refuse(refusal: Refusal) -> Response<Bytes> {
    let Refusal { status, retry_after, is_problem } = refusal;
    let told = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let (kind, body) = match is_problem {
        true => {
            let code = if status == 429 { "rate-limited" } else { "store-unavailable" };
            let ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            let problem = json!({
                "type": format!("/problems/{code}"), "title": "Not now", "status": status, "detail": "try again later",
                "code": code, "retryable": true, "retryAfterMs": ms,
            });
            ("application/problem+json", problem.to_string())
        }
        false => ("text/html", "<h1>Not now</h1>".to_owned()),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = told;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
    response
}

/// Adds a member to every object that the protocol has. What is the job's own stays as it is.
fn add_unknown(response: &mut Response<Bytes>) {
    let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) else { return };
    add_to(&mut body);
    *response.body_mut() = body.to_string().into();
}

fn add_to(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(add_to),
        Value::Object(members) => {
            for name in ["claims", "next", "leases", "job", "phase"] {
                members.get_mut(name).into_iter().for_each(add_to);
            }
            members.insert("addedLater".into(), json!({ "by": ["a newer server"] }));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_jobs_own_stays_as_it_is() {
        let job = json!({ "payload": { "job": { "a": 1 } } });
        let mut body =
            json!({ "claims": [{ "job": job, "phase": { "outputs": { "a": {} } } }], "next": null });
        add_to(&mut body);
        let claim = &body["claims"][0];
        assert_eq!(claim["job"]["payload"], json!({ "job": { "a": 1 } }));
        assert_eq!(claim["phase"]["outputs"], json!({ "a": {} }));
        for object in [&body, claim, &claim["job"], &claim["phase"]] {
            assert!(object["addedLater"].is_object(), "{object}");
        }
    }
}
