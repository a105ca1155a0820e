//! Hundreds of ways to write an address that must not be connected to. A listener on this machine sees that nobody
//! comes, and a planted hole that somebody would have.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::HeaderMap;
use stepwell_core::Timestamp;
use tokio::net::TcpListener;

use super::{
    super::{client::Client, options::WebhookOptions, target::Target},
    *,
};
use crate::phase_fn::BoxFuture;

/// Listens on every address of this machine, and keeps the log of who came.
struct Listener {
    port: u16,
    seen: Arc<AtomicUsize>,
}

impl Listener {
    async fn new() -> Self {
        let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = v4.local_addr().unwrap().port();
        let seen = Arc::new(AtomicUsize::new(0));
        let mut listeners = vec![v4];
        // Not every machine has IPv6.
        listeners.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok());
        for listener in listeners {
            let seen = seen.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    seen.fetch_add(1, Ordering::SeqCst);
                    drop(stream);
                }
            });
        }
        Self { port, seen }
    }
    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// Answers each question with the next of its answers, and the last one again and again.
struct Scripted {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        Box::pin(async move { Ok(answer) })
    }
}

/// Options under which everything but the address is allowed, so that nothing else is in its way.
fn open_to(port: u16) -> WebhookOptions {
    WebhookOptions::new().plain_http().port(port)
}

/// Sends to a URL as a delivery does. Answers with what went wrong.
async fn send(text: &str, options: &WebhookOptions, resolver: Arc<dyn Resolve>) -> Result<u16, String> {
    let target = Target::parse("url", text, &options.policy).map_err(|error| error.to_string())?;
    let uri = target.uri().map_err(|error| error.to_string())?;
    let client = Client::new(options, resolver);
    let answer = client.post(uri, HeaderMap::new(), Bytes::from_static(b"{}"), Timestamp::default()).await;
    answer.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string())
}

/// The same past the check of the URL: what the connector does by itself.
async fn connect(
    host: &str,
    port: u16,
    options: &WebhookOptions,
    resolver: Arc<dyn Resolve>,
) -> Result<(), ConnectError> {
    let Ok(uri) = format!("http://{host}:{port}/").parse::<Uri>() else {
        return Err(ConnectError::Denied(Denial::Name));
    };
    let door = Door::new(Arc::new(options.policy.clone()), resolver);
    door.connect(uri).await.map(drop)
}

/// Every way in which an IPv4 address has ever been written.
fn forms_of(address: Ipv4Addr) -> Vec<String> {
    let [a, b, c, d] = address.octets();
    let bits = address.to_bits();
    let (low16, low24) = (bits & 0xffff, bits & 0x00ff_ffff);
    let [ab, cd] = [(u16::from(a) << 8) | u16::from(b), (u16::from(c) << 8) | u16::from(d)];
    let wide = |text: &str| -> String {
        let full = |ch: char| match ch {
            '0'..='9' => char::from_u32('０' as u32 + ch as u32 - '0' as u32).unwrap_or(ch),
            '.' => '。',
            other => other,
        };
        text.chars().map(full).collect()
    };
    let circled = |text: &str| -> String {
        let circle = |ch: char| match ch {
            '1'..='9' => char::from_u32('①' as u32 + ch as u32 - '1' as u32).unwrap_or(ch),
            '0' => '⓪',
            other => other,
        };
        text.chars().map(circle).collect()
    };
    let dotted = address.to_string();
    vec![
        dotted.clone(),
        format!("{dotted}."),
        format!("{bits}"),
        format!("{bits:#x}"),
        format!("{bits:#X}").replace("0X", "0X"),
        format!("0{bits:o}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("000{a:o}.000{b:o}.000{c:o}.000{d:o}"),
        format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
        format!("0x{a:04x}.0x{b:04x}.0x{c:04x}.0x{d:04x}"),
        format!("{a}.{low24}"),
        format!("{a:#x}.{low24}"),
        format!("{a}.{b}.{low16}"),
        format!("0{a:o}.{b}.{low16:#x}"),
        format!("{a}.{b:#x}.0{c:o}.{d}"),
        wide(&dotted),
        circled(&dotted),
        dotted.replace('.', "．"),
        dotted.replace('.', "%2e"),
        dotted.chars().map(|ch| format!("%{:02x}", ch as u32)).collect(),
        format!("[::{dotted}]"),
        format!("[::ffff:{dotted}]"),
        format!("[0:0:0:0:0:ffff:{ab:x}:{cd:x}]"),
        format!("[::FFFF:{ab:X}:{cd:X}]"),
        format!("[64:ff9b::{dotted}]"),
        format!("[64:ff9b::{ab:x}:{cd:x}]"),
        format!("[64:ff9b:1::{dotted}]"),
        format!("[2002:{ab:x}:{cd:x}::]"),
        format!("[2002:{ab:x}:{cd:x}::1]"),
        format!("[2001:0:4136:e378:8000:63bf:{:x}:{:x}]", !ab, !cd),
        format!("[2001::{:x}:{:x}]", !ab, !cd),
        format!("[fe80::5efe:{dotted}]"),
    ]
}

/// Everything else that leads to this machine or its network.
const OTHERS: &[&str] = &[
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::1%25lo]",
    "[::1%lo]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[100::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[2001:1::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "0",
    "00",
    "0x0",
    "0.0.0.0",
    "0.0",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "127.00.00.01",
    "0x7f.1",
    "0177.1",
    "017700000001",
    "2130706433",
    "127.0.0.1%00.example",
    "127.0.0.1%2523",
    "metadata",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.goog",
    "metadata.azure.internal",
    "instance-data",
    "ⓜetadata.google.internal",
    "metadata。google。internal",
    "user@127.0.0.1",
    "user:pass@127.0.0.1",
    "hooks.example@127.0.0.1",
    "127.0.0.1#@hooks.example",
    "127.0.0.1\\@hooks.example",
    "127.0.0.1?@hooks.example",
    "127.0.0.1/@hooks.example",
];

/// Addresses of every kind that must not be reached.
fn denied() -> Vec<Ipv4Addr> {
    let texts = "127.0.0.1 127.255.255.254 0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 169.254.169.254 172.16.0.1 \
                 172.31.255.254 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.51.100.1 203.0.113.1 \
                 224.0.0.1 240.0.0.1 255.255.255.255";
    texts.split(' ').map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn no_form_of_a_denied_address_is_connected_to() {
    let listener = Listener::new().await;
    let options = open_to(listener.port);
    // A form that is taken for a name leads to this machine, so that a mistake is seen in the log of the listener.
    let here = || Scripted::new(&[&["127.0.0.1"]]);
    let mut forms: BTreeSet<String> = denied().into_iter().flat_map(forms_of).collect();
    forms.extend(OTHERS.iter().map(|text| (*text).to_owned()));
    assert!(forms.len() >= 400, "{} forms", forms.len());
    for form in &forms {
        for scheme in ["http", "https"] {
            let text = format!("{scheme}://{form}:{}/", listener.port);
            assert!(send(&text, &options, here()).await.is_err(), "{text}");
        }
        let answer = connect(form, listener.port, &options, here()).await;
        assert!(matches!(answer, Err(ConnectError::Denied(_))), "{form}: {answer:?}");
    }
    assert_eq!(listener.seen(), 0, "nobody was connected to");
    println!("{} forms, three ways each, no connection", forms.len());
}

/// What would be seen if the guard had a hole: the same forms lead to the listener as soon as they are allowed.
#[tokio::test]
async fn the_listener_sees_whoever_is_let_through() {
    let listener = Listener::new().await;
    let options = open_to(listener.port).allow("127.0.0.1");
    let before = forms_of(Ipv4Addr::LOCALHOST);
    let mut reached = 0;
    for form in &before {
        reached += usize::from(
            connect(form, listener.port, &options, Scripted::new(&[&["10.0.0.1"]])).await.is_ok(),
        );
    }
    // Those that are read as this address, and not those that only hold it.
    assert!(reached >= 15, "{reached} of {}", before.len());
    let seen = async {
        while listener.seen() < reached {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("each of them is seen");
}

#[tokio::test]
async fn of_a_name_only_allowed_addresses_are_connected_to() {
    let listener = Listener::new().await;
    let options = open_to(listener.port);
    for answer in [
        &["127.0.0.1"][..],
        &["::1", "127.0.0.1", "10.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1", "2002:7f00:1::"],
        &["169.254.169.254"],
        &[],
    ] {
        let resolver = Scripted::new(&[answer]);
        let error = connect("hooks.example", listener.port, &options, resolver).await.unwrap_err();
        assert!(matches!(error, ConnectError::Denied(Denial::Address)), "{answer:?}: {error:?}");
        assert!(
            answer.iter().all(|address| !error.to_string().contains(address)),
            "it tells no inner address"
        );
    }
    assert_eq!(listener.seen(), 0);
    // A denied address beside an allowed one is dropped.
    let options = open_to(listener.port).allow("127.0.0.1");
    let resolver = Scripted::new(&[&["10.0.0.1", "127.0.0.1"]]);
    connect("hooks.example", listener.port, &options, resolver).await.unwrap();
}

/// A name that is public when it is asked for first, and this machine afterwards.
#[tokio::test]
async fn a_name_is_asked_for_once_for_each_connection_and_the_answer_is_what_is_connected_to() {
    let listener = Listener::new().await;
    // As if this one were public.
    let options = open_to(listener.port).allow("127.0.0.2");
    let rebinding = Scripted::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    connect("rebind.example", listener.port, &options, rebinding.clone()).await.unwrap();
    assert_eq!(rebinding.asked.load(Ordering::SeqCst), 1, "no second question between check and connection");
    let second = connect("rebind.example", listener.port, &options, rebinding.clone()).await.unwrap_err();
    assert!(matches!(second, ConnectError::Denied(Denial::Address)), "{second:?}");
    let seen = async {
        while listener.seen() < 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the first one is seen");
    assert_eq!(listener.seen(), 1, "and no other");
}

#[tokio::test]
async fn no_proxy_of_the_environment_is_asked() {
    let listener = Listener::new().await;
    // nextest runs each test in a process of its own; the variables stand there from the start in the child.
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "webhook::connector::tests::child_behind_a_proxy", "--nocapture"])
        .env(PROXY, listener.port.to_string())
        .envs(
            ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
                .map(|name| (name, format!("http://127.0.0.1:{}", listener.port))),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(listener.seen(), 0);
}

const PROXY: &str = "STEPWELL_TEST_BEHIND_PROXY";

#[tokio::test]
async fn child_behind_a_proxy() {
    let Ok(port) = std::env::var(PROXY) else { return };
    let port: u16 = port.parse().unwrap();
    // The name leads where nobody is let, so that only a proxy could be connected to.
    let options = open_to(port);
    let text = format!("http://hooks.example:{port}/");
    let error = send(&text, &options, Scripted::new(&[&["10.0.0.1"]])).await.unwrap_err();
    assert!(error.contains("not public"), "{error}");
}

/// TLS against a certificate of a private authority: trusted when it is given, for its name, and not otherwise.
#[tokio::test]
async fn tls_is_verified_for_the_name_that_was_asked_for() {
    let certified = rcgen::generate_simple_self_signed(vec!["hooks.example".to_owned()]).unwrap();
    let (der, key) = (certified.cert.der().clone(), certified.signing_key.serialize_der());
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], rustls::pki_types::PrivateKeyDer::Pkcs8(key.into()))
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut request = [0; 4_096];
            if stream.read(&mut request).await.is_ok() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok();
            }
        }
    });
    let options = WebhookOptions::new().allow("127.0.0.1");
    let here = || Scripted::new(&[&["127.0.0.1"]]);
    let url = |name: &str| format!("https://{name}:{port}/");
    let trusting = options.clone().trust(der.to_vec());
    assert_eq!(send(&url("hooks.example"), &trusting, here()).await, Ok(200));
    let unknown = send(&url("hooks.example"), &options, here()).await.unwrap_err();
    assert!(unknown.contains("certificate"), "{unknown}");
    let other = send(&url("other.example"), &trusting, here()).await.unwrap_err();
    assert!(other.contains("certificate"), "{other}");
}
