//! Jobs: created, read, listed.

use http::Method;
use serde_json::{Value, json};

use crate::server::Setup;

#[tokio::test]
async fn a_job_is_created_runs_and_is_read() {
    let (server, client) = Setup::default().serve().await;
    let new = json!({
        "kind": "sum", "payload": { "of": [1, 2, 3] }, "queue": "default", "priority": 5, "tags": ["b", "a"],
        "attributes": { "customer": "42" }, "uniqueKey": "k", "expiresAt": "2100-01-01T00:00:00Z",
    });
    let reply = client.post("/api/v1/jobs", new).await;
    assert_eq!(reply.header("location"), format!("jobs/{}", reply.json()["id"].as_str().unwrap()));
    let created = reply.expect(201);
    assert_eq!(created["created"], true);

    let job = client.ended(created["id"].as_str().unwrap()).await;
    assert_eq!(
        (&job["state"], &job["result"], &job["payload"]),
        (&json!("completed"), &json!(6), &json!({ "of": [1, 2, 3] }))
    );
    assert_eq!((&job["tags"], &job["attributes"]["customer"]), (&json!(["a", "b"]), &json!("42")));
    assert_eq!(
        (&job["phases"][0]["name"], &job["phases"][1]["state"]),
        (&json!("check"), &json!("completed"))
    );
    assert!(job["enqueuedAt"].as_str().unwrap().ends_with('Z'));
    server.stop().await;
}

#[tokio::test]
async fn every_address_is_relative_to_where_the_router_is_mounted() {
    let (server, client) = Setup { base: "/a/b", ..Setup::default() }.serve().await;
    let reply = client.post("/api/v1/jobs", json!({ "kind": "sum", "payload": {} })).await;
    // A relative reference is resolved against the request's own address.
    let location = reply.header("location").to_owned();
    assert!(!location.starts_with('/'), "{location}");
    client.get(&format!("/api/v1/{location}")).await.expect(200);

    let problem = client.get("/api/v1/jobs/none").await.refused(404, "not-found");
    assert_eq!(problem["type"], "/a/b/problems/not-found");
    assert_eq!(problem["instance"], "/a/b/api/v1/jobs/none");
    let page = client.get("/problems/not-found").await;
    assert!(page.status == 200 && page.header("content-type").starts_with("text/plain"));
    client.get("/api/v1/nowhere").await.refused(404, "not-found");
    assert_eq!(client.get("/api/v1/openapi.json").await.json()["servers"][0]["url"], "../..");
    server.stop().await;
}

#[tokio::test]
async fn a_request_with_a_key_counts_once() {
    let (server, client) = Setup::default().serve().await;
    let send = async |body: Value, client: &crate::client::Client| {
        let mut request = client.json(Method::POST, "/api/v1/jobs", &body.to_string());
        request.headers_mut().insert("idempotency-key", "\"abc\"".parse().unwrap());
        client.send(request).await
    };
    let new = json!({ "kind": "sum", "payload": { "of": [1] } });
    let first = send(new.clone(), &client).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let first = first.expect(201);
    let again = send(new.clone(), &client).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(201), first);
    send(json!({ "kind": "sum", "payload": {} }), &client).await.refused(422, "idempotency-mismatch");

    // Another caller's keys are their own.
    let other = client.with(&server.token([stepwell_http::Scope::Admin], &[]).await);
    assert_ne!(send(new, &other).await.expect(201)["id"], first["id"]);
    let jobs = client.get("/api/v1/jobs").await.expect(200);
    assert_eq!(jobs["data"].as_array().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_unique_key_returns_replaces_or_rejects() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let new = |payload: u8, on_conflict: Option<&str>| {
        let mut new = json!({ "kind": "sum", "payload": payload, "uniqueKey": "k" });
        new["onConflict"] = on_conflict.into();
        new
    };
    let first = client.post("/api/v1/jobs", new(1, None)).await.expect(201);
    let path = format!("/api/v1/jobs/{}", first["id"].as_str().unwrap());
    let same = client.post("/api/v1/jobs", new(2, Some("return"))).await.expect(200);
    assert_eq!((&same["id"], &same["created"]), (&first["id"], &json!(false)));
    assert_eq!(client.get(&path).await.expect(200)["payload"], 1);

    let problem = client.post("/api/v1/jobs", new(3, Some("reject"))).await.refused(409, "conflict-unique");
    assert_eq!(problem["jobId"], first["id"]);
    let replaced = client.post("/api/v1/jobs", new(4, Some("replace"))).await.expect(200);
    assert_eq!(replaced["id"], first["id"]);
    assert_eq!(client.get(&path).await.expect(200)["payload"], 4);
    client.bare(Method::POST, &format!("{path}/cancel")).await.expect(200);
    client.post("/api/v1/jobs", new(5, None)).await.expect(201);
    let mut windowed = new(6, None);
    windowed["uniqueWithinMs"] = 3_600_000.into();
    client.post("/api/v1/jobs", windowed).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_replacement_that_is_sent_again_undoes_nothing() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let new =
        |payload: u8| json!({ "kind": "sum", "payload": payload, "uniqueKey": "k", "onConflict": "replace" });
    let replace = async || {
        let mut request = client.json(Method::POST, "/api/v1/jobs", &new(2).to_string());
        request.headers_mut().insert("idempotency-key", "\"abc\"".parse().unwrap());
        client.send(request).await
    };
    let first = client.post("/api/v1/jobs", new(1)).await.expect(201);
    let path = format!("/api/v1/jobs/{}", first["id"].as_str().unwrap());
    let answer = replace().await.expect(200);
    client.post("/api/v1/jobs", new(3)).await.expect(200);
    let again = replace().await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(200), answer);
    assert_eq!(client.get(&path).await.expect(200)["payload"], 3, "what came in between is kept");
    client.bare(Method::POST, &format!("{path}/cancel")).await.expect(200);
    assert_eq!(replace().await.expect(200), answer, "although the job has ended");
    server.stop().await;
}

#[tokio::test]
async fn a_batch_tells_each_job_apart() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let jobs = json!([
        { "kind": "sum", "payload": 1 },
        { "kind": "", "payload": 1 },
        { "kind": "sum", "payload": 1, "uniqueKey": "k" },
        { "kind": "sum", "payload": 1, "delayMs": 5, "runAt": "2030-01-01T00:00:00Z" },
    ]);
    let batched = client.post("/api/v1/jobs/batch", json!({ "jobs": jobs })).await.expect(200);
    assert_eq!((&batched["created"], &batched["failed"]), (&json!(2), &json!(2)));
    let pointers: Vec<&str> = batched["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["error"]["pointer"].as_str())
        .collect();
    assert_eq!(pointers, ["#/jobs/1/kind", "#/jobs/3/delayMs"]);
    client.post("/api/v1/jobs/batch", json!({ "jobs": [] })).await.refused(400, "validation");
    let many = vec![json!({ "kind": "sum", "payload": 1 }); 1_000];
    let batched = client.post("/api/v1/jobs/batch", json!({ "jobs": many })).await.expect(200);
    assert_eq!(batched["created"], 1_000);

    let send = async || {
        let body = json!({ "jobs": [{ "kind": "sum", "payload": 7 }, { "kind": "sum", "payload": 7 }] });
        let mut request = client.json(Method::POST, "/api/v1/jobs/batch", &body.to_string());
        request.headers_mut().insert("idempotency-key", "batch".parse().unwrap());
        client.send(request).await.expect(200)["data"].clone()
    };
    assert_eq!(send().await, send().await);
    server.stop().await;
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let (server, client) = Setup::default().serve().await;
    let long = "x".repeat(201);
    for (body, pointer) in [
        (json!({ "payload": 1 }), "#/kind"),
        (json!({ "kind": "a" }), "#/payload"),
        (json!({ "kind": 1, "payload": 1 }), "#/kind"),
        (json!({ "kind": long, "payload": 1 }), "#/kind"),
        (json!({ "kind": "a\u{0}", "payload": 1 }), "#/kind"),
        (json!({ "kind": "stepwell.webhook", "payload": 1 }), "#/kind"),
        (json!({ "kind": "a", "payload": "\u{0}" }), "#/payload"),
        (json!({ "kind": "a", "payload": 1, "delay": 1 }), "#/delay"),
        (json!({ "kind": "a", "payload": 1, "delayMs": u64::MAX }), "#/delayMs"),
        (json!({ "kind": "a", "payload": 1, "priority": 40_000 }), "#/priority"),
        (json!({ "kind": "a", "payload": 1, "runAt": "tomorrow" }), "#/runAt"),
        (json!({ "kind": "a", "payload": 1, "tags": ["ok", ""] }), "#/tags"),
        (json!({ "kind": "a", "payload": 1, "attributes": { "a/b": "x".repeat(501) } }), "#/attributes/a~1b"),
        (json!({ "kind": "a", "payload": 1, "uniqueKey": "x".repeat(501) }), "#/uniqueKey"),
        (json!({ "kind": "a", "payload": 1, "uniqueWithinMs": 5 }), "#/uniqueWithinMs"),
        (json!({ "kind": "a", "payload": 1, "onConflict": "reject" }), "#/onConflict"),
        (json!({ "kind": "a", "payload": 1, "onConflict": "panic" }), "#/onConflict"),
        (json!({ "kind": "a", "payload": 1, "webhook": { "url": "" } }), "#/webhook/url"),
        (
            json!({ "kind": "a", "payload": 1, "webhook": { "url": "https://x", "events": ["no"] } }),
            "#/webhook/events/0",
        ),
        (
            json!({ "kind": "a", "payload": 1, "webhook": { "url": "https://x", "hush": 1 } }),
            "#/webhook/hush",
        ),
    ] {
        let problem = client.post("/api/v1/jobs", body.clone()).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    assert!(client.get("/api/v1/jobs").await.expect(200)["data"].as_array().unwrap().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_etag_saves_a_reading_and_guards_a_writing() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let path = format!("/api/v1/jobs/{}", client.enqueue("sum", json!({ "of": [1] })).await);
    let read = client.get(&path).await;
    let tag = read.header("etag").to_owned();
    assert_eq!(tag, format!("\"v{}\"", read.json()["version"]));
    let with = async |method: Method, name: &'static str, tag: &str, body: Value| {
        let mut request = client.json(method, &path, &body.to_string());
        request.headers_mut().insert(name, tag.parse().unwrap());
        client.send(request).await
    };
    let known = with(Method::GET, "if-none-match", &tag, Value::Null).await;
    assert!(known.status == 304 && known.body.is_empty() && known.header("etag") == tag);

    let edited = with(Method::PATCH, "if-match", &tag, json!({ "priority": 9, "payload": null })).await;
    assert_ne!(edited.header("etag"), tag);
    assert_eq!(edited.expect(200)["priority"], 9);
    with(Method::PATCH, "if-match", &tag, json!({ "priority": 1 })).await.refused(412, "precondition-failed");
    with(Method::PATCH, "if-match", "\"other\"", json!({ "priority": 1 }))
        .await
        .refused(412, "precondition-failed");
    assert_eq!(client.get(&path).await.expect(200)["payload"], Value::Null);
    client.call(Method::PATCH, &path, json!({})).await.refused(400, "validation");
    server.stop().await;
}

#[tokio::test]
async fn lists_go_page_by_page_and_a_cursor_stays_with_its_list() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let kind = if n == 3 { "other" } else { "sum" };
        let new = json!({ "kind": kind, "payload": n, "tags": ["t"], "attributes": { "n": n.to_string() } });
        ids.push(client.post("/api/v1/jobs", new).await.expect(201)["id"].as_str().unwrap().to_owned());
    }
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let page = client.get(&format!("/api/v1/jobs?limit=3&order=asc&tag=t{next}")).await.expect(200);
        found.extend(
            page["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        match page["page"]["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found, ids);
    client.get(&format!("/api/v1/jobs?limit=3&order=asc{next}")).await.refused(400, "cursor-invalid");
    client.get(&format!("/api/v1/jobs?limit=3&tag=t{next}")).await.refused(400, "cursor-invalid");

    let one = async |query: &str| {
        let page = client.get(&format!("/api/v1/jobs?{query}")).await.expect(200);
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(one("kind=other").await, 1);
    assert_eq!(one("attr.n=5").await, 1);
    assert_eq!(one("state=pending").await, 7);
    assert_eq!(one("state=failed").await, 0);
    for (query, pointer) in [
        ("kinds=a", "?kinds"),
        ("state=odd", "?state"),
        ("limit=0", "?limit"),
        ("limit=501", "?limit"),
        ("kind=a&kind=b", "?kind"),
        ("attr.a=1&attr.b=2", "?attr"),
        ("kind=%ff", "?kind"),
    ] {
        let problem = client.get(&format!("/api/v1/jobs?{query}")).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
    }
    server.stop().await;
}
