//! Everything has a limit, and says which.

use std::time::Duration;

use http::Method;
use serde_json::json;
use stepwell_http::{Access, Limits, Scope};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{Client, SOON},
    server::Setup,
};

/// Sends bytes as they are, and reads until the server closes.
async fn raw(client: &Client, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(client.address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    // A server that has said its last word may cut what is still on its way.
    tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bodies_are_json_of_a_limited_size() {
    let (server, client) = Setup::default().serve().await;
    let send = async |kind: &str, body: Vec<u8>| {
        let request = client.request(Method::POST, "/api/v1/jobs").header("content-type", kind);
        client.send(request.body(http_body_util::Full::from(body)).unwrap()).await
    };
    let good = br#"{"kind":"sum","payload":{}}"#.to_vec();
    send("application/json; charset=utf-8", good.clone()).await.expect(201);
    send("text/plain", good.clone()).await.refused(415, "unsupported-media-type");
    send("application/x-www-form-urlencoded", b"kind=sum".to_vec())
        .await
        .refused(415, "unsupported-media-type");
    for bad in [
        "",
        "{",
        "[1,",
        "{\"kind\":\"a\"",
        "\u{feff}{}",
        "{\"kind\":\"a\",}",
        "nul",
        "{\"kind\":\"\\ud800\",\"payload\":1}",
    ] {
        send("application/json", bad.as_bytes().to_vec()).await.refused(400, "validation");
    }
    send("application/json", b"{\"kind\":\"\xff\",\"payload\":1}".to_vec()).await.refused(400, "validation");
    let deep = format!(r#"{{"kind":"sum","payload":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    send("application/json", deep.into_bytes()).await.refused(400, "validation");

    let sized = |n: usize| format!(r#"{{"kind":"none","payload":"{}"}}"#, "x".repeat(n)).into_bytes();
    send("application/json", sized((1 << 20) - 2)).await.expect(201);
    let problem = send("application/json", sized((1 << 20) + 1)).await.refused(400, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "#/payload");
    send("application/json", sized(2 << 20)).await.refused(413, "payload-too-large");
    // Without a length, too.
    let (host, token) = (client.address, client.token.as_deref().unwrap());
    let mut chunked = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..40 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend(std::iter::repeat_n(b' ', 0x10000));
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(&client, &chunked).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn heads_have_a_size_and_a_time() {
    let limits = Limits { head_within: Duration::from_millis(300), ..Limits::default() };
    let (server, client) = Setup { limits, ..Setup::default() }.serve().await;
    let host = client.address;
    let long = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nx: {}\r\n\r\n", "x".repeat(20 << 10));
    let answer = raw(&client, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert!(raw(&client, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let target =
        format!("GET /healthz?{} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n", "x".repeat(9 << 10));
    assert!(raw(&client, target.as_bytes()).await.starts_with("HTTP/1.1 400 "));
    // A head that never ends is cut, and so is a connection that nobody uses.
    let answer = raw(&client, format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nx: ").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(raw(&client, b"").await.is_empty());
    let answer = raw(&client, format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("}"), "{answer}");
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let answer = raw(&client, bad.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{bad:?}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_have_a_number() {
    let limits = Limits { connections_max: 3, ..Limits::default() };
    let (server, client) = Setup { limits, ..Setup::default() }.serve().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(client.follow("/api/v1/events", None).await);
    }
    let refused = client.get("/healthz").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "2"));
    held.pop();
    crate::server::until("there is room again", async || client.get("/healthz").await.status == 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_caller_has_a_rate() {
    let setup = Setup { options: |api| api.requests_per_minute(Some(5)), ..Setup::default() };
    let (server, client) = setup.serve().await;
    let mut left = Vec::new();
    for _ in 0..5 {
        let reply = client.get("/api/v1/whoami").await;
        assert_eq!(reply.header("ratelimit-policy"), "\"default\";q=5;w=60");
        left.push(reply.header("ratelimit").to_owned());
        reply.expect(200);
    }
    assert!(left[0].starts_with("\"default\";r=4;") && left[4].starts_with("\"default\";r=0;"), "{left:?}");
    let refused = client.get("/api/v1/whoami").await;
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=60).contains(&seconds)));
    assert_eq!(refused.refused(429, "rate-limited")["retryable"], true);
    let other = client.with(&server.token([Scope::Admin], &[]).await);
    other.get("/api/v1/whoami").await.expect(200);
    client.get("/healthz").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn methods_are_told() {
    let (server, client) = Setup { access: Access::unrestricted(), ..Setup::default() }.serve().await;
    let reply = client.bare(Method::PUT, "/api/v1/jobs").await;
    let allow = reply.header("allow").to_owned();
    reply.refused(405, "method-not-allowed");
    assert!(allow.contains("POST") && allow.contains("GET"), "{allow}");
    let options = client.bare(Method::OPTIONS, "/api/v1/jobs").await;
    assert_eq!((options.status.as_u16(), options.header("allow")), (204, allow.as_str()));
    let get = client.get("/api/v1/jobs").await;
    let head = client.bare(Method::HEAD, "/api/v1/jobs").await;
    assert!(head.status == 200 && head.body.is_empty());
    assert_eq!(head.header("content-type"), get.header("content-type"));
    let missing = client.bare(Method::HEAD, "/api/v1/jobs/none").await;
    assert!(missing.status == 404 && missing.body.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn every_answer_carries_its_headers() {
    let (server, client) = Setup::default().serve().await;
    let id = client.enqueue("sum", json!({})).await;
    for path in
        [format!("/api/v1/jobs/{id}"), "/nowhere".into(), "/healthz".into(), "/api/v1/openapi.json".into()]
    {
        let reply = client.get(&path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(reply.header(name), value, "{path}");
        }
        assert!(!reply.header("request-id").is_empty());
    }
    server.stop().await;
}
