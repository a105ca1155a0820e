//! A receiver of webhooks that a test decides about: what it answers, how late, or whether at all. It verifies every
//! signature by itself.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code, of which each binary uses a part"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use stepwell::{Builder, Stepwell, webhook::WebhookOptions};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value)
    }
    /// The delivery.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }
    pub fn timestamp(&self) -> i64 {
        self.header("webhook-timestamp").parse().unwrap()
    }
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
    pub fn event(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
    /// How many of the signatures were made with this secret.
    pub fn signatures_with(&self, secret: &str) -> usize {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id(), self.timestamp(), self.body).as_bytes());
        let right = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').filter(|signature| *signature == right).count()
    }
}

/// What the receiver does.
#[derive(Clone, Debug)]
pub enum Reply {
    Status(u16),
    Full {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Answers when the gate is open.
    WhenOpen(u16),
    /// Never answers.
    Hang,
    /// Closes the connection in the middle of everything.
    Cut,
    /// Answers, then sends a byte of the body from time to time, without end.
    Drip(u16),
}

type Script = dyn Fn(&Received, usize) -> Reply + Send + Sync;

/// A receiver of webhooks.
pub struct Sink {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    count: watch::Receiver<usize>,
    gate: watch::Sender<bool>,
    connections: Arc<Mutex<usize>>,
}

impl Sink {
    /// Answers everything with this status.
    pub async fn answering(status: u16) -> Self {
        Self::scripted(move |_, _| Reply::Status(status)).await
    }
    /// Answers by a script, which is told how many requests came before.
    pub async fn scripted(script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(script, true).await
    }
    /// The same, but what came is not kept, for those that receive very much.
    pub async fn forgetful(script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(script, false).await
    }
    async fn start(script: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static, keeps: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let (counted, count) = watch::channel(0);
        let came = Arc::new(AtomicUsize::new(0));
        let gate = watch::Sender::new(false);
        let (script, counted): (Arc<Script>, _) = (Arc::new(script), Arc::new(counted));
        let (all, opens, connected) = (received.clone(), gate.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connected.lock().unwrap() += 1;
                let (all, script, counted) = (all.clone(), script.clone(), counted.clone());
                let (open, all, came) = (opens.subscribe(), keeps.then_some(all), came.clone());
                tokio::spawn(serve(stream, all, came, script, counted, open));
            }
        });
        Self { address, received, count, gate, connections }
    }
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
    pub fn open_gate(&self) {
        self.gate.send_replace(true);
    }
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
    pub fn ids(&self) -> BTreeSet<String> {
        self.received().iter().map(|received| received.id().to_owned()).collect()
    }
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
    /// Waits until so many requests have come in all.
    pub async fn reaches(&self, n: usize) -> Vec<Received> {
        let mut count = self.count.clone();
        let reached =
            tokio::time::timeout(Duration::from_secs(30), count.wait_for(|count| *count >= n)).await;
        let found = self.received();
        assert!(reached.is_ok(), "{n} requests were expected, {} came: {found:#?}", found.len());
        found
    }
}

async fn serve(
    stream: TcpStream,
    all: Option<Arc<Mutex<Vec<Received>>>>,
    came: Arc<AtomicUsize>,
    script: Arc<Script>,
    counted: Arc<watch::Sender<usize>>,
    mut open: watch::Receiver<bool>,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    loop {
        let received = read(&mut stream).await?;
        if let Some(all) = &all {
            all.lock().unwrap().push(received.clone());
        }
        let nth = came.fetch_add(1, Ordering::SeqCst);
        let reply = script(&received, nth);
        counted.send_modify(|count| *count += 1);
        let (status, headers, body) = match reply {
            Reply::Status(status) => (status, Vec::new(), String::new()),
            Reply::Full { status, headers, body } => (status, headers, body),
            Reply::WhenOpen(status) => {
                open.wait_for(|open| *open).await.ok()?;
                (status, Vec::new(), String::new())
            }
            Reply::Hang => return std::future::pending().await,
            Reply::Cut => return None,
            Reply::Drip(status) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 1000000\r\n\r\n");
                stream.write_all(head.as_bytes()).await.ok()?;
                loop {
                    stream.write_all(b"x").await.ok()?;
                    stream.flush().await.ok()?;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        let mut answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        answer.push_str("\r\n");
        answer.push_str(&body);
        stream.write_all(answer.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
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
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received { path, headers, body: String::from_utf8(body).ok()? })
}

/// A queue in memory that may send to this machine.
pub fn in_memory() -> Builder {
    Stepwell::in_memory().webhooks(local())
}
pub fn local() -> WebhookOptions {
    WebhookOptions::new().allow("127.0.0.0/8")
}
