//! A receiver on this machine, for whoever writes one: it verifies what arrives, and prints it.

use std::{fmt, fs, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json, value::RawValue};
use sha2::Sha256;
use stepwell::{Clock, webhook::Secret};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use crate::{
    client::{Client, Target, segment},
    failure::{FailedTo, Failure, code},
    interrupts::Interrupts,
    output::{Output, clean, field, text_of},
};

/// Bytes of a delivery that are taken in. Stepwell sends less.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Deliveries that wait to be printed.
const WAITING_MAX: usize = 1_000;
/// How old a signature may be, as receivers have it: another one may have been caught on its way, and sent again.
const SECONDS_OLD_MAX: u64 = 300;
/// How long answers may take to be sent at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct Listen {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A type of events that it is told of; the ends of jobs unless set. May be given several times.
    #[arg(long = "event", value_name = "TYPE")]
    events: Vec<String>,
    /// Only of jobs of this kind. May be given several times.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only of jobs in this queue. May be given several times.
    #[arg(long = "queue", value_name = "QUEUE")]
    queues: Vec<String>,
    /// Makes no endpoint, and verifies with the secret in this file: for an endpoint that was made before.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "kinds", "queues"])]
    secret_file: Option<PathBuf>,
    /// What it answers.
    #[arg(long, value_name = "STATUS", default_value = "204", value_parser = clap::value_parser!(u16).range(200..600))]
    answer: u16,
    /// Ends after so many deliveries.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Listens until it is interrupted, or has heard enough. The endpoint that it makes goes with it.
pub(super) async fn run(target: &Target, out: &Output, listen: &Listen) -> Result<ExitCode, Failure> {
    let mut interrupts = Interrupts::listen();
    let what = format!("listen on {}", listen.listen);
    let listener = TcpListener::bind(listen.listen).await.failed_to(&what)?;
    let url = format!("http://{}/", listener.local_addr().failed_to(what)?);
    let Some(file) = &listen.secret_file else {
        let client = target.open().await?;
        let code = with_endpoint(&client, out, listen, (listener, url), &mut interrupts).await;
        let closed = client.close().await;
        let code = code?;
        return closed.map(|()| ExitCode::from(code));
    };
    let what = format!("read the secret from {}", file.display());
    let text = fs::read_to_string(file).failed_to(&what)?;
    let secret = Secret::parse(text.trim()).failed_to(what)?;
    out.say(&format!("listening on {url}; Ctrl-C ends it"));
    hear(out, listen, listener, &secret, &mut interrupts).await.map(ExitCode::from)
}

async fn with_endpoint(
    client: &Client,
    out: &Output,
    listen: &Listen,
    (listener, url): (TcpListener, String),
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    let mut asked = json!({ "url": url, "description": "stepwell webhooks listen" });
    for (name, chosen) in [("events", &listen.events), ("kinds", &listen.kinds), ("queues", &listen.queues)] {
        if !chosen.is_empty() {
            asked[name] = json!(chosen);
        }
    }
    let made = client.post("make the webhook", "/api/v1/webhooks", &asked).await?.value()?;
    let id = text_of(&made["webhook"], "id");
    let heard = async {
        let secret = Secret::parse(field(&made, "secret")).failed_to("understand the answer")?;
        out.say(&format!("listening on {url} for the endpoint {id}, which goes away again; Ctrl-C ends it"));
        hear(out, listen, listener, &secret, interrupts).await
    };
    let heard = heard.await;
    let path = format!("/api/v1/webhooks/{}", segment(&id));
    let removed = client.delete("remove the webhook", &path).await;
    let code = heard?;
    removed.map(|_| code)
}

/// Prints what arrives, and answers it.
async fn hear(
    out: &Output,
    listen: &Listen,
    listener: TcpListener,
    secret: &Secret,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    let answer = StatusCode::from_u16(listen.answer).failed_to("answer")?;
    let (told, mut heard) = mpsc::channel(WAITING_MAX);
    let (mut connections, mut left, mut has_refused) = (JoinSet::new(), listen.limit, false);
    while left != Some(0) {
        let delivery = tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.failed_to("take a connection")?;
                connections.spawn(serve(stream, told.clone()));
                continue;
            }
            Some(_) = connections.join_next() => continue,
            Some(delivery) = heard.recv() => delivery,
            () = interrupts.next() => break,
        };
        let Delivery { headers, body, answered } = delivery;
        let seconds = Clock::system().wall().as_micros() / 1_000_000;
        let refused = verify(secret, &headers, &body, seconds).err();
        print(out, &headers, &body, refused)?;
        has_refused |= refused.is_some();
        answered.send(if refused.is_some() { StatusCode::UNAUTHORIZED } else { answer }).ok();
        left = left.map(|left| left - 1);
    }
    // What was printed is answered.
    let answered = async { while connections.join_next().await.is_some() {} };
    drop((listener, heard));
    tokio::time::timeout(LAST_WORDS, answered).await.ok();
    Ok(if has_refused && left == Some(0) { code::FAILURE } else { 0 })
}

/// A request, and where its answer is waited for.
struct Delivery {
    headers: HeaderMap,
    body: Bytes,
    answered: oneshot::Sender<StatusCode>,
}

/// The connection ends here.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request did not arrive as a whole, or nobody listens any more")
    }
}
impl std::error::Error for Cut {}

/// One connection. It ends with its first answer, so that nothing is waited for at the end.
async fn serve(stream: TcpStream, told: mpsc::Sender<Delivery>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let told = told.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|_| Cut)?.to_bytes();
            let (answered, status) = oneshot::channel();
            told.send(Delivery { headers: head.headers, body, answered }).await.map_err(|_| Cut)?;
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = status.await.map_err(|_| Cut)?;
            Ok::<_, Cut>(response)
        }
    });
    // Whoever sends hears of what goes wrong, and sends again.
    http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await.ok();
}

/// Whether it was signed with the secret, lately.
fn verify(secret: &Secret, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), &'static str> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return Err("it is not signed");
    };
    let key = STANDARD.decode(secret.reveal().trim_start_matches("whsec_")).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| "the secret is no key")?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    let mut of_ours = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
    let is_right = |text: &str| {
        STANDARD.decode(text).is_ok_and(|signature| mac.clone().verify_slice(&signature).is_ok())
    };
    if !of_ours.any(is_right) {
        return Err("no signature is right");
    }
    match timestamp.parse::<i64>() {
        Ok(at) if now.abs_diff(at) <= SECONDS_OLD_MAX => Ok(()),
        _ => Err("it is too old, or from the future"),
    }
}

fn print(out: &Output, headers: &HeaderMap, body: &[u8], refused: Option<&str>) -> Result<(), Failure> {
    let header =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let id = header("webhook-id");
    let event: Option<Value> = serde_json::from_slice(body).ok();
    if out.is_json() {
        // The body as it came, if it is JSON at all.
        let body = match serde_json::from_slice::<&RawValue>(body) {
            Ok(raw) if !raw.get().contains('\n') => raw.get().to_owned(),
            _ => Value::from(String::from_utf8_lossy(body)).to_string(),
        };
        let (id, refused) = (Value::from(id), json!(refused));
        return out.line(&format!(r#"{{"id":{id},"refused":{refused},"body":{body}}}"#));
    }
    let event = event.unwrap_or_default();
    let state = refused.map_or_else(|| "verified".to_owned(), |why| format!("refused: {why}"));
    let cells =
        [text_of(&event, "at"), text_of(&event, "type"), text_of(&event, "jobId"), state, id.to_owned()];
    out.line(&cells.map(|cell| clean(&cell)).join("\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_lately_with_the_secret_is_taken_and_nothing_else() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let other = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx").unwrap();
        let (at, body) = (1_614_265_330, br#"{"test": 2432232314}"#);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(verify(&secret, &headers, body, at), Ok(()));
        assert_eq!(verify(&secret, &headers, body, at + 300), Ok(()));
        for wrong in [
            verify(&secret, &headers, body, at + 301),
            verify(&secret, &headers, body, at - 301),
            verify(&secret, &headers, b"{}", at),
            verify(&other, &headers, body, at),
        ] {
            wrong.unwrap_err();
        }
        headers.remove("webhook-signature");
        assert_eq!(verify(&secret, &headers, body, at), Err("it is not signed"));
    }
}
