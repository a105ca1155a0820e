//! What a request makes that is sent again because its answer was lost.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply},
    receiver::{Receiver, in_memory},
    server::{Setup, until},
};

async fn keyed(client: &Client, path: &str, body: Value) -> Reply {
    let mut request = client.json(Method::POST, path, &body.to_string());
    request.headers_mut().insert("idempotency-key", "abc".parse().unwrap());
    client.send(request).await
}

async fn listed(client: &Client, path: &str) -> usize {
    client.get(path).await.expect(200)["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_webhook_is_made_once_and_its_secret_shown_once() {
    let (server, client) = Setup { builder: in_memory(), ..Setup::default() }.serve().await;
    let path = "/api/v1/webhooks";
    let new = json!({ "url": "https://hooks.example/in" });
    let first = keyed(&client, path, new.clone()).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let (location, tag) = (first.header("location").to_owned(), first.header("etag").to_owned());
    let first = first.expect(201);
    assert!(first["secret"].as_str().unwrap().starts_with("whsec_"));

    let again = keyed(&client, path, new.clone()).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!((again.header("location"), again.header("etag")), (location.as_str(), tag.as_str()));
    let again = again.expect(201);
    assert_eq!(again, json!({ "webhook": first["webhook"] }));
    let other = json!({ "url": "https://hooks.example/other" });
    keyed(&client, path, other).await.refused(422, "idempotency-mismatch");
    assert_eq!(listed(&client, path).await, 1);

    // A refused request does not use up its key, and another caller's keys are their own.
    let caller = client.with(&server.token([stepwell_http::Scope::Admin], &[]).await);
    keyed(&caller, path, json!({ "url": "nowhere" })).await.refused(400, "validation");
    assert_ne!(keyed(&caller, path, new.clone()).await.expect(201)["webhook"]["id"], first["webhook"]["id"]);

    // It has made one, which is gone: it makes no other.
    client.bare(Method::DELETE, &format!("/api/v1/{location}")).await.expect(204);
    keyed(&client, path, new).await.refused(409, "conflict-state");
    assert_eq!(listed(&client, path).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn of_equal_requests_that_come_at_once_one_makes_a_webhook() {
    let (server, client) = Setup { builder: in_memory(), ..Setup::default() }.serve().await;
    let new = json!({ "url": "https://hooks.example/in" });
    let all = (0..16).map(|_| keyed(&client, "/api/v1/webhooks", new.clone()));
    let replies = futures_util::future::join_all(all).await;
    let first = replies.iter().filter(|reply| reply.header("idempotency-replayed").is_empty());
    assert_eq!(first.count(), 1);
    let ids: std::collections::BTreeSet<String> =
        replies.into_iter().map(|reply| reply.expect(201)["webhook"]["id"].to_string()).collect();
    assert_eq!((ids.len(), listed(&client, "/api/v1/webhooks").await), (1, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_made_once_and_told_once() {
    let (server, client) = Setup::default().serve().await;
    let path = "/api/v1/tokens";
    let before = listed(&client, path).await;
    let new = json!({ "name": "ci", "scopes": ["jobs:read"] });
    let first = keyed(&client, path, new.clone()).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let first = first.expect(201);
    client.with(first["secret"].as_str().unwrap()).get("/api/v1/jobs").await.expect(200);

    let again = keyed(&client, path, new.clone()).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.expect(201);
    assert_eq!((again["token"]["id"].clone(), again.get("secret")), (first["token"]["id"].clone(), None));
    let other = json!({ "name": "ci", "scopes": ["admin"] });
    keyed(&client, path, other).await.refused(422, "idempotency-mismatch");
    assert_eq!(listed(&client, path).await, before + 1);

    client
        .bare(Method::DELETE, &format!("{path}/{}", first["token"]["id"].as_str().unwrap()))
        .await
        .expect(204);
    keyed(&client, path, new).await.refused(409, "conflict-state");
    assert_eq!(listed(&client, path).await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_test_is_sent_once_to_the_endpoint_that_was_named() {
    let (server, client) = Setup { builder: in_memory(), ..Setup::default() }.serve().await;
    let receiver = Receiver::answering(204).await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let made = client.post("/api/v1/webhooks", json!({ "url": receiver.url })).await.expect(201);
        paths.push(format!("/api/v1/webhooks/{}", made["webhook"]["id"].as_str().unwrap()));
    }
    let test = format!("{}/test", paths[0]);
    let first = keyed(&client, &test, json!({})).await.expect(202);
    let again = keyed(&client, &test, json!({})).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(202), first);
    keyed(&client, &format!("{}/test", paths[1]), json!({})).await.refused(422, "idempotency-mismatch");
    let delivered = async || {
        let page = client.get("/api/v1/deliveries").await.expect(200);
        page["data"].as_array().unwrap().iter().all(|delivery| delivery["state"] == "delivered")
    };
    until("the delivery", delivered).await;
    assert_eq!(listed(&client, "/api/v1/deliveries").await, 1);
    server.stop().await;
}
