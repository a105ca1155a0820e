//! A receiver of webhooks that tells when each thing happens, verifies by itself, and answers what it is told to.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value)
    }
    /// The delivery.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }
    /// How many of the signatures were made with this secret.
    pub(crate) fn signatures_with(&self, secret: &str) -> usize {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let timestamp = self.header("webhook-timestamp");
        mac.update(format!("{}.{timestamp}.{}", self.id(), self.body).as_bytes());
        let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').filter(|signature| *signature == right).count()
    }
}

/// What happens to a request, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Connected,
    Received,
    Answered,
}

/// What the receiver does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16),
    /// A status with a body.
    Saying(u16, String),
    /// A status, and not to come again before so many seconds.
    Later(u16, u64),
    /// Closes the connection without an answer.
    Cut,
}

type Script = dyn Fn(&Received) -> Reply + Send + Sync;
type Witness = dyn Fn(Moment) + Send + Sync;

/// A receiver of webhooks.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    count: watch::Receiver<usize>,
}

impl Sink {
    pub(crate) async fn answering(script: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::witnessed(script, |_| {}).await
    }
    /// Answers by a script, and tells a witness of every moment when it comes, before it goes on.
    pub(crate) async fn witnessed(
        script: impl Fn(&Received) -> Reply + Send + Sync + 'static,
        witness: impl Fn(Moment) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let (script, witness): (Arc<Script>, Arc<Witness>) = (Arc::new(script), Arc::new(witness));
        let (all, counted) = (received.clone(), Arc::new(counted));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                witness(Moment::Connected);
                let (script, witness) = (script.clone(), witness.clone());
                tokio::spawn(serve(stream, all.clone(), counted.clone(), script, witness));
            }
        });
        Self { address, received, count }
    }
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
    /// Waits until so many requests have come in all.
    pub(crate) async fn reaches(&self, n: usize) -> Vec<Received> {
        let mut count = self.count.clone();
        super::soon("a webhook", count.wait_for(|count| *count >= n)).await.unwrap();
        self.received()
    }
    /// Waits until what has come is what was waited for.
    pub(crate) async fn holds(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut count = self.count.clone();
        super::soon("a webhook", count.wait_for(|_| enough(&self.received.lock().unwrap()))).await.unwrap();
        self.received()
    }
}

async fn serve(
    stream: TcpStream,
    all: Arc<Mutex<Vec<Received>>>,
    counted: Arc<watch::Sender<usize>>,
    script: Arc<Script>,
    witness: Arc<Witness>,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let received = read(&mut stream).await?;
        all.lock().unwrap().push(received.clone());
        let reply = script(&received);
        witness(Moment::Received);
        counted.send_modify(|count| *count += 1);
        let (status, later, body) = match reply {
            Reply::Status(status) => (status, String::new(), String::new()),
            Reply::Saying(status, body) => (status, String::new(), body),
            Reply::Later(status, seconds) => (status, format!("retry-after: {seconds}\r\n"), String::new()),
            Reply::Cut => return None,
        };
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\n{later}content-length: {length}\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        witness(Moment::Answered);
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { path, headers, body: String::from_utf8(body).ok()? })
}
