//! Bulk operations over HTTP.

use http::Method;
use serde_json::{Value, json};
use stepwell_http::Scope;

use crate::{
    client::Client,
    server::{Setup, until},
};

const BULK: &str = "/api/v1/bulk-operations";

async fn ended(client: &Client, id: &str) -> Value {
    let path = format!("{BULK}/{id}");
    until("it ends", async || client.get(&path).await.expect(200)["finishedAt"].is_string()).await;
    client.get(&path).await.expect(200)
}

#[tokio::test]
async fn a_bulk_operation_is_previewed_made_followed_and_listed() {
    let (server, client) = Setup::default().serve().await;
    for n in 0..3 {
        let new = json!({ "kind": "other", "payload": n, "queue": "q", "tags": ["t"] });
        client.post("/api/v1/jobs", new).await.expect(201);
    }
    client.enqueue("another", json!(null)).await;
    let asked = json!({ "action": "cancel", "filter": { "kind": "other" }, "dryRun": true });
    let preview = client.post(BULK, asked).await.expect(200);
    assert_eq!((&preview["matched"], &preview["exact"]), (&json!(3), &json!(true)));
    assert_eq!(
        (preview["sample"].as_array().unwrap().len(), &preview["sample"][0]["kind"]),
        (3, &json!("other"))
    );
    assert_eq!(client.get(BULK).await.expect(200)["data"], json!([]));

    let reply = client.post(BULK, json!({ "action": "cancel", "filter": { "kind": "other" } })).await;
    let location = reply.header("location").to_owned();
    let made = reply.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(location, format!("bulk-operations/{id}"));
    assert_eq!((&made["total"], &made["filter"]), (&json!(3), &json!({ "kind": "other" })));
    let done = ended(&client, id).await;
    assert_eq!((&done["state"], &done["done"], &done["failed"]), (&json!("completed"), &json!(3), &json!(0)));
    assert!(done["by"].as_str().unwrap().starts_with("test"));
    assert_eq!(client.get(BULK).await.expect(200)["data"], json!([done]));
    assert_eq!(client.get(&format!("{BULK}/{id}/failures")).await.expect(200)["data"], json!([]));
    let tag = client.get(&format!("{BULK}/{id}")).await.header("etag").to_owned();
    let mut same = client.request(Method::GET, &format!("{BULK}/{id}")).body(Default::default()).unwrap();
    same.headers_mut().insert("if-none-match", tag.parse().unwrap());
    client.send(same).await.expect(304);

    let more =
        json!({ "action": "retry", "filter": { "tag": "t", "state": "cancelled" }, "fromStart": true });
    let retried = client.post(BULK, more).await.expect(201);
    assert_eq!(ended(&client, retried["id"].as_str().unwrap()).await["done"], 3);
    let first = client.get(&format!("{BULK}?limit=1")).await.expect(200);
    assert_eq!(first["data"][0]["id"], retried["id"]);
    let next = first["page"]["next"].as_str().unwrap();
    assert_eq!(client.get(&format!("{BULK}?limit=1&cursor={next}")).await.expect(200)["data"][0]["id"], id);
    let waiting = client.get("/api/v1/jobs?kind=another").await.expect(200);
    assert_eq!(waiting["data"][0]["state"], "pending", "it was not selected");
    server.stop().await;
}

#[tokio::test]
async fn each_action_takes_its_own_fields() {
    let (server, client) = Setup::default().serve().await;
    for n in 0..2 {
        client
            .post("/api/v1/jobs", json!({ "kind": "other", "payload": n, "delayMs": 3_600_000 }))
            .await
            .expect(201);
    }
    for new in [
        json!({ "action": "setPriority", "filter": { "kind": "other" }, "priority": 9 }),
        json!({ "action": "setQueue", "filter": { "kind": "other" }, "queue": "slow" }),
        json!({ "action": "runNow", "filter": { "kind": "other" } }),
    ] {
        let made = client.post(BULK, new).await.expect(201);
        assert_eq!(ended(&client, made["id"].as_str().unwrap()).await["done"], 2);
    }
    let jobs = client.get("/api/v1/jobs?kind=other&queue=slow").await.expect(200);
    assert_eq!(jobs["data"].as_array().unwrap().len(), 2);
    assert_eq!(jobs["data"][0]["priority"], 9);
    for (body, pointer) in [
        (json!({ "action": "explode", "filter": {} }), "#/action"),
        (json!({ "action": "cancel" }), "#/filter"),
        (json!({ "action": "cancel", "filter": { "stat": "failed" } }), "#/filter/stat"),
        (json!({ "action": "cancel", "filter": { "state": "done" } }), "#/filter/state"),
        (json!({ "action": "cancel", "filter": { "state": "failed" } }), "#/filter/state"),
        (json!({ "action": "delete", "filter": { "kind": "stepwell.webhook" } }), "#/filter/kind"),
        (json!({ "action": "cancel", "filter": {}, "fromStart": true }), "#/fromStart"),
        (json!({ "action": "setPriority", "filter": {} }), "#/priority"),
        (json!({ "action": "setPriority", "filter": {}, "priority": 40_000 }), "#/priority"),
        (json!({ "action": "setQueue", "filter": {}, "queue": "" }), "#/queue"),
        (json!({ "action": "setQueue", "filter": {}, "queue": "stepwell.webhook.x" }), "#/queue"),
        (json!({ "action": "delete", "filter": {}, "dryrun": true }), "#/dryrun"),
    ] {
        let problem = client.post(BULK, body).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    for id in ["7", "0199c3a1-0000-7000-8000-000000000000"] {
        client.get(&format!("{BULK}/{id}")).await.refused(404, "not-found");
        client.get(&format!("{BULK}/{id}/failures")).await.refused(404, "not-found");
        client.bare(Method::POST, &format!("{BULK}/{id}/cancel")).await.refused(404, "not-found");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_operation_is_asked_for_once_and_cancelled() {
    // Nothing works here, so it waits.
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let send = async |body: Value| {
        let mut request = client.json(Method::POST, BULK, &body.to_string());
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        client.send(request).await
    };
    let asked = json!({ "action": "delete", "filter": {} });
    let first = send(asked.clone()).await.expect(201);
    let again = send(asked).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    let again = again.expect(201);
    assert_eq!(again["id"], first["id"]);
    send(json!({ "action": "retry", "filter": {} })).await.refused(422, "idempotency-mismatch");
    let cancel = format!("{BULK}/{}/cancel", first["id"].as_str().unwrap());
    assert_eq!(client.bare(Method::POST, &cancel).await.expect(200)["state"], "cancelled");
    assert_eq!(client.bare(Method::POST, &cancel).await.expect(200)["state"], "cancelled");
    server.stop().await;
}

#[tokio::test]
async fn a_limited_token_touches_and_sees_its_own_only() {
    let (server, client) = Setup::default().serve().await;
    for queue in ["a", "b"] {
        client
            .post("/api/v1/jobs", json!({ "kind": "other", "payload": 1, "queue": queue }))
            .await
            .expect(201);
    }
    let scopes = [Scope::JobsManage, Scope::JobsRead];
    let limited = client.with(&server.token(scopes, &["a"]).await);
    let all = json!({ "action": "cancel", "filter": {} });
    let mut dry = all.clone();
    dry["dryRun"] = true.into();
    let preview = limited.post(BULK, dry).await.expect(200);
    assert_eq!((&preview["matched"], &preview["sample"][0]["queue"]), (&json!(1), &json!("a")));
    let made = limited.post(BULK, all).await.expect(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(ended(&limited, id).await["done"], 1);
    assert_eq!(client.get("/api/v1/jobs?queue=b").await.expect(200)["data"][0]["state"], "pending");
    let elsewhere = json!({ "action": "setQueue", "filter": {}, "queue": "b" });
    limited.post(BULK, elsewhere).await.refused(403, "forbidden-scope");

    let other = client.with(&server.token(scopes, &["b"]).await);
    other.get(&format!("{BULK}/{id}")).await.refused(404, "not-found");
    assert_eq!(other.get(BULK).await.expect(200)["data"], json!([]));
    client.get(&format!("{BULK}/{id}")).await.expect(200);
    let reader = client.with(&server.token(Scope::READ_ONLY, &[]).await);
    reader.post(BULK, json!({ "action": "cancel", "filter": {} })).await.refused(403, "forbidden-scope");
    server.stop().await;
}
