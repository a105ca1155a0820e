//! Webhooks: endpoints, deliveries, and what is secret of them.

use http::Method;
use serde_json::{Value, json};
use stepwell_http::Scope;

use crate::{
    client::Client,
    receiver::{Receiver, in_memory},
    server::{Server, Setup, until},
};

/// 24 bytes that say "canary".
const CANARY: &str = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5";

async fn serving() -> (Server, Client) {
    Setup { builder: in_memory(), ..Setup::default() }.serve().await
}

async fn made(client: &Client, receiver: &Receiver) -> (String, Value) {
    let made = client.post("/api/v1/webhooks", json!({ "url": receiver.url })).await.expect(201);
    (format!("/api/v1/webhooks/{}", made["webhook"]["id"].as_str().unwrap()), made)
}

/// Waits until the newest delivery of a list is in a state.
async fn reaches(client: &Client, list: &str, state: &str) -> Value {
    until(state, async || client.get(list).await.expect(200)["data"][0]["state"] == state).await;
    client.get(list).await.expect(200)["data"][0].clone()
}

#[tokio::test]
async fn an_endpoint_is_made_read_changed_and_removed() {
    let (server, client) = serving().await;
    let new = json!({
        "url": "https://hooks.example/in", "description": "billing", "events": ["job:failed"], "kinds": ["sum"],
        "queues": ["default"], "tags": ["a"], "headers": { "authorization": "Bearer canary-header" },
    });
    let reply = client.post("/api/v1/webhooks", new).await;
    let (location, tag) = (reply.header("location").to_owned(), reply.header("etag").to_owned());
    let made = reply.expect(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let path = format!("/api/v1/{location}");
    let reply = client.get(&path).await;
    assert_eq!(reply.header("etag"), tag);
    let found = reply.expect(200);
    assert_eq!(found, made["webhook"]);
    assert_eq!((&found["headers"], &found["enabled"]), (&json!(["authorization"]), &json!(true)));
    assert_eq!(client.get("/api/v1/webhooks").await.expect(200)["data"], json!([found]));

    let mut unchanged = client.request(Method::GET, &path).body(http_body_util::Full::default()).unwrap();
    unchanged.headers_mut().insert("if-none-match", tag.parse().unwrap());
    client.send(unchanged).await.expect(304);

    let edit = async |tag: &str, body: Value| {
        let mut request = client.json(Method::PATCH, &path, &body.to_string());
        request.headers_mut().insert("if-match", tag.parse().unwrap());
        client.send(request).await
    };
    let reply = edit(&tag, json!({ "kinds": [], "description": "" })).await;
    let newer = reply.header("etag").to_owned();
    assert_eq!(reply.expect(200)["kinds"], json!([]));
    edit(&tag, json!({ "kinds": ["x"] })).await.refused(412, "precondition-failed");
    edit("\"other\"", json!({ "kinds": ["x"] })).await.refused(412, "precondition-failed");
    let problem = client.call(Method::PATCH, &path, json!({})).await.refused(400, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "#");

    let remove = async |tag: &str| {
        let mut request =
            client.request(Method::DELETE, &path).body(http_body_util::Full::default()).unwrap();
        request.headers_mut().insert("if-match", tag.parse().unwrap());
        client.send(request).await
    };
    remove(&tag).await.refused(412, "precondition-failed");
    remove(&newer).await.expect(204);
    client.get(&path).await.refused(404, "not-found");
    client.bare(Method::DELETE, &path).await.refused(404, "not-found");
    for verb in ["enable", "disable", "test", "rotate-secret", "replay"] {
        client.bare(Method::POST, &format!("{path}/{verb}")).await.refused(404, "not-found");
    }
    client.get(&format!("{path}/stats")).await.refused(404, "not-found");
    client.get(&format!("{path}/deliveries")).await.refused(404, "not-found");
    server.stop().await;
}

#[tokio::test]
async fn endpoints_come_in_pages() {
    let (server, client) = serving().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let made = client.post("/api/v1/webhooks", json!({ "url": format!("https://h{n}.example/") })).await;
        ids.push(made.expect(201)["webhook"]["id"].as_str().unwrap().to_owned());
    }
    // By their ids, which say when they were made, to the millisecond.
    ids.sort_unstable();
    let (mut found, mut path) = (Vec::new(), "/api/v1/webhooks?limit=2".to_owned());
    loop {
        let page = client.get(&path).await.expect(200);
        found.extend(page["data"].as_array().unwrap().iter().map(|webhook| webhook["id"].clone()));
        let Some(next) = page["page"]["next"].as_str() else { break };
        path = format!("/api/v1/webhooks?limit=2&cursor={next}");
    }
    assert_eq!(found, ids);
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_a_job_is_delivered_and_told_of() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(204).await;
    let (path, made) = made(&client, &receiver).await;
    let job = client.enqueue("sum", json!({ "of": [1, 2] })).await;
    let (headers, body) = receiver.reaches(1).await.remove(0);
    let of_job = format!("/api/v1/jobs/{job}/deliveries");
    let delivery = reaches(&client, &of_job, "delivered").await;
    assert_eq!(delivery["id"], headers["webhook-id"].to_str().unwrap());
    assert_eq!((&delivery["jobId"], &delivery["event"]), (&json!(job), &json!("job:completed")));
    assert_eq!(delivery["webhookId"], made["webhook"]["id"]);

    let id = delivery["id"].as_str().unwrap();
    let detail = client.get(&format!("/api/v1/deliveries/{id}")).await;
    assert!(String::from_utf8_lossy(&detail.body).contains(&body), "the body is shown byte for byte");
    let detail = detail.expect(200);
    assert_eq!((&detail["attemptLog"][0]["status"], &detail["state"]), (&json!(204), &json!("delivered")));
    let stats = client.get(&format!("{path}/stats")).await.expect(200);
    assert_eq!((&stats["delivered"], &stats["failed"]), (&json!(1), &json!(0)));
    assert!(stats["lastSuccessAt"].is_string() && stats["failingSince"].is_null());

    // Sent again under the same id.
    client.bare(Method::POST, &format!("/api/v1/deliveries/{id}/redeliver")).await.expect(200);
    let again = receiver.reaches(2).await.remove(1);
    assert_eq!((&again.0["webhook-id"], &again.1), (&headers["webhook-id"], &body));
    server.stop().await;
}

#[tokio::test]
async fn deliveries_are_found_by_what_they_are_about() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(204).await;
    let (path, made) = made(&client, &receiver).await;
    let endpoint = made["webhook"]["id"].as_str().unwrap();
    let mut jobs = Vec::new();
    for n in 0..3 {
        jobs.push(client.enqueue("sum", json!({ "of": [n] })).await);
        receiver.reaches(n + 1).await;
    }
    let list = "/api/v1/deliveries";
    let all = format!("{list}?state=delivered");
    until("all arrived", async || client.get(&all).await.expect(200)["data"].as_array().unwrap().len() == 3)
        .await;
    let found = async |query: &str| {
        let page = client.get(&format!("{list}?{query}")).await.expect(200);
        let jobs = page["data"].as_array().unwrap().iter();
        jobs.map(|one| one["jobId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest_first: Vec<String> = jobs.iter().rev().cloned().collect();
    assert_eq!(found(&format!("endpoint={endpoint}")).await, newest_first);
    assert_eq!(found("order=asc").await, jobs);
    assert_eq!(found(&format!("job={}", jobs[1])).await, [jobs[1].clone()]);
    assert_eq!(found("state=failed").await, Vec::<String>::new());
    let times = client.get(&format!("{list}?order=asc")).await.expect(200);
    let second = times["data"][1]["createdAt"].as_str().unwrap();
    assert_eq!(found(&format!("since={second}&order=asc")).await, jobs[1..]);
    assert_eq!(found(&format!("until={second}")).await, jobs[..1]);
    let first = client.get(&format!("{path}/deliveries?limit=2&order=asc")).await.expect(200);
    let next = first["page"]["next"].as_str().unwrap();
    let second = format!("{path}/deliveries?limit=2&order=asc&cursor={next}");
    let second = client.get(&second).await.expect(200);
    assert_eq!((&second["data"][0]["jobId"], &second["page"]["next"]), (&json!(jobs[2]), &Value::Null));
    client.get(&format!("{list}?limit=2&cursor={next}")).await.refused(400, "cursor-invalid");

    for (query, pointer) in [
        ("since=yesterday", "?since"),
        ("state=lost", "?state"),
        ("job=7", "?job"),
        ("limit=0", "?limit"),
        ("kind=sum", "?kind"),
    ] {
        let problem = client.get(&format!("{list}?{query}")).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    for id in ["7", "0199c3a1-0000-7000-8000-000000000000", &jobs[0]] {
        client.get(&format!("{list}/{id}")).await.refused(404, "not-found");
        client.bare(Method::POST, &format!("{list}/{id}/redeliver")).await.refused(404, "not-found");
        client.bare(Method::POST, &format!("{list}/{id}/skip")).await.refused(404, "not-found");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_given_up_is_skipped_or_replayed() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(503).await;
    let (path, _) = made(&client, &receiver).await;
    let list = format!("{path}/deliveries");
    let mut ids = Vec::new();
    for n in 0..2 {
        client.enqueue("sum", json!({ "of": [n] })).await;
        receiver.reaches(n + 1).await;
        let waiting = reaches(&client, &list, "waiting").await;
        assert!(waiting["error"].as_str().unwrap().contains("503") && waiting["nextAttemptAt"].is_string());
        ids.push(waiting["id"].as_str().unwrap().to_owned());
        let skip = format!("/api/v1/deliveries/{}/skip", ids[n]);
        assert_eq!(client.bare(Method::POST, &skip).await.expect(200)["state"], "skipped");
    }
    receiver.answer(204);
    let replay = format!("{path}/replay");
    // Failed ones only, unless another state is named.
    assert_eq!(client.bare(Method::POST, &replay).await.expect(200), json!({ "replayed": 0, "next": null }));
    let one = client.post(&replay, json!({ "state": "skipped", "limit": 1 })).await.expect(200);
    assert_eq!(one["replayed"], 1);
    let seen = receiver.reaches(3).await;
    assert_eq!(seen[2].0["webhook-id"], ids[1].as_str());
    let other = json!({ "ids": [ids[0]] });
    assert_eq!(client.post(&replay, other.clone()).await.expect(200)["replayed"], 1);
    assert_eq!(receiver.reaches(4).await[3].0["webhook-id"], ids[0].as_str());

    // The deliveries of another endpoint are not this one's to replay.
    let (path, _) = made(&client, &receiver).await;
    let replay = format!("{path}/replay");
    client.post(&replay, other).await.refused(404, "not-found");
    for (body, pointer) in [
        (json!({ "ids": [] }), "#/ids"),
        (json!({ "ids": ["x"] }), "#/ids/0"),
        (json!({ "ids": [ids[0]], "state": "failed" }), "#/ids"),
        (json!({ "limit": 0 }), "#/limit"),
        (json!({ "since": "monday" }), "#/since"),
        (json!({ "sinse": "monday" }), "#/sinse"),
    ] {
        let problem = client.post(&replay, body).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    client.post(&replay, json!({ "cursor": "x" })).await.refused(400, "cursor-invalid");
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_tried_and_switched_off_and_on() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(204).await;
    let (path, _) = made(&client, &receiver).await;
    let sent = client.bare(Method::POST, &format!("{path}/test")).await.expect(202);
    let (headers, body) = receiver.reaches(1).await.remove(0);
    assert_eq!(sent["deliveryId"], headers["webhook-id"].to_str().unwrap());
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["type"], "webhook:test");

    let off = client.bare(Method::POST, &format!("{path}/disable")).await.expect(200);
    assert_eq!((&off["enabled"], &off["disabledReason"]), (&json!(false), &json!("operator")));
    assert!(off["disabledAt"].is_string());
    let job = client.enqueue("sum", json!({ "of": [1] })).await;
    client.ended(&job).await;
    let on = client.bare(Method::POST, &format!("{path}/enable")).await.expect(200);
    assert!(on["enabled"] == true && on["disabledReason"].is_null());
    let told = client.enqueue("sum", json!({ "of": [2] })).await;
    let body: Value = serde_json::from_str(&receiver.reaches(2).await[1].1).unwrap();
    assert_eq!(body["jobId"], told, "what happened while it was off is not told");
    server.stop().await;
}

#[tokio::test]
async fn a_secret_is_shown_once_and_no_more() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(204).await;
    let (path, made) = made(&client, &receiver).await;
    let first = made["secret"].as_str().unwrap().to_owned();
    let rotated = client.bare(Method::POST, &format!("{path}/rotate-secret")).await.expect(200);
    let second = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!(rotated["webhook"]["oldSecretsEndAt"].as_array().unwrap().len(), 1);
    client.enqueue("sum", json!({ "of": [1] })).await;
    let (headers, _) = receiver.reaches(1).await.remove(0);
    assert_eq!(headers["webhook-signature"].to_str().unwrap().split(' ').count(), 2, "signed with both");
    // One that the caller gave is not repeated, nor are a header's value and a secret that is wrong.
    let given = json!({ "secret": CANARY, "overlapMs": 0 });
    let given = client.post(&format!("{path}/rotate-secret"), given).await.expect(200);
    assert!(given["secret"].is_null());
    let headers = json!({ "headers": { "x-key": "canary-header" } });
    client.call(Method::PATCH, &path, headers).await.expect(200);
    let wrong = json!({ "url": "https://a.example/", "secret": "canary-wrong" });
    let problem = client.post("/api/v1/webhooks", wrong).await.refused(400, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "#/secret");
    let long = json!({ "overlapMs": 2_592_000_001_u64 });
    let long = client.post(&format!("{path}/rotate-secret"), long).await.refused(400, "validation");
    assert_eq!(long["errors"][0]["pointer"], "#/overlapMs");

    let mut texts = vec![given.to_string(), problem.to_string(), rotated["webhook"].to_string()];
    for path in
        [path.as_str(), "/api/v1/webhooks", "/api/v1/deliveries", "/api/v1/audit", "/api/v1/events?after=0"]
    {
        texts.push(String::from_utf8_lossy(&client.get(path).await.body).into_owned());
    }
    for text in texts {
        for secret in [&first, &second, CANARY, "Y2FuYXJ5", "canary-header", "canary-wrong"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_breaks_a_rule_is_refused_with_the_place_and_the_fix() {
    let (server, client) = serving().await;
    let with = |field: &str, value: Value| {
        let mut new = json!({ "url": "https://a.example/" });
        new[field] = value;
        new
    };
    for (body, pointer, part) in [
        (json!({}), "#/url", "missing"),
        (with("url", json!("http://169.254.169.254/")), "#/url", "not public"),
        (with("url", json!("https://metadata.google.internal/")), "#/url", "do not go to"),
        (with("url", json!("ftp://a.example/")), "#/url", "https://"),
        (with("events", json!(["job:done"])), "#/events/0", "job:done"),
        (with("events", json!(["job:webhook:delivered"])), "#/events", "no end"),
        (with("kinds", json!([""])), "#/kind", "empty"),
        (with("kinds", json!(vec!["k"; 101])), "#/kinds", "100"),
        (with("headers", json!({ "host": "x" })), "#/headers/host", "Stepwell itself"),
        (with("description", json!("x".repeat(501))), "#/description", "500"),
        (with("evnts", json!([])), "#/evnts", "unknown field"),
    ] {
        let problem = client.post("/api/v1/webhooks", body).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn webhooks_take_their_scope_and_a_token_for_every_queue() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(204).await;
    let (path, _) = made(&client, &receiver).await;
    let job = client.enqueue("sum", json!({ "of": [1] })).await;
    let reader = client.with(&server.token([Scope::WebhooksRead], &[]).await);
    reader.get(&path).await.expect(200);
    reader.bare(Method::POST, &format!("{path}/test")).await.refused(403, "forbidden-scope");
    reader.bare(Method::DELETE, &path).await.refused(403, "forbidden-scope");
    let other = client.with(&server.token([Scope::JobsRead], &[]).await);
    other.get(&path).await.refused(403, "forbidden-scope");
    // An endpoint is told of every queue, but the deliveries about a job are the business of whoever sees the job.
    let limited =
        client.with(&server.token([Scope::WebhooksRead, Scope::WebhooksManage], &["default"]).await);
    limited.get("/api/v1/webhooks").await.refused(403, "forbidden-scope");
    limited.get("/api/v1/deliveries").await.refused(403, "forbidden-scope");
    limited.post("/api/v1/webhooks", json!({ "url": receiver.url })).await.refused(403, "forbidden-scope");
    limited.get(&format!("/api/v1/jobs/{job}/deliveries")).await.expect(200);
    let elsewhere = client.with(&server.token([Scope::WebhooksRead], &["mail"]).await);
    elsewhere.get(&format!("/api/v1/jobs/{job}/deliveries")).await.refused(404, "not-found");
    server.stop().await;
}

#[tokio::test]
async fn a_delivery_is_no_job_that_others_can_read_or_change() {
    let (server, client) = serving().await;
    let receiver = Receiver::answering(500).await;
    let (path, _) = made(&client, &receiver).await;
    client.bare(Method::POST, &format!("{path}/test")).await;
    // Before its first attempt it waits, too, and would not go on doing so.
    receiver.reaches(1).await;
    let delivery = reaches(&client, "/api/v1/deliveries", "waiting").await;
    let job = format!("/api/v1/jobs/{}", delivery["id"].as_str().unwrap());
    let scopes = [Scope::JobsRead, Scope::JobsManage, Scope::JobsEnqueue, Scope::EventsRead];
    for client in [&client, &client.with(&server.token(scopes, &[]).await)] {
        for part in ["", "/phases", "/phases/send", "/logs", "/explain", "/events", "/deliveries"] {
            let reply = client.get(&format!("{job}{part}")).await;
            assert!(matches!(reply.status.as_u16(), 403 | 404), "{part}: {reply:?}");
        }
        let forged = json!({ "payload": { "endpoint": null, "body": { "forged": true } } });
        client.call(Method::PATCH, &job, forged).await.refused(404, "not-found");
        client.post(&format!("{job}/rerun"), json!({ "fromPhase": "send" })).await.refused(404, "not-found");
        client.bare(Method::DELETE, &job).await.refused(404, "not-found");
        for verb in ["cancel", "retry", "run-now"] {
            client.bare(Method::POST, &format!("{job}/{verb}")).await.refused(404, "not-found");
        }
        for path in ["/api/v1/jobs?kind=stepwell.webhook", "/api/v1/events?after=0&kind=stepwell.webhook"] {
            let problem = client.get(path).await.refused(400, "validation");
            assert_eq!(problem["errors"][0]["pointer"], "?kind", "{path}");
        }
        let queue = format!("stepwell.webhook.{}", path.rsplit('/').next().unwrap());
        for (new, pointer) in [
            (json!({ "kind": "sum", "payload": {}, "queue": queue }), "#/queue"),
            (json!({ "kind": "stepwell.webhook", "payload": {} }), "#/kind"),
        ] {
            let problem = client.post("/api/v1/jobs", new).await.refused(400, "validation");
            assert_eq!(problem["errors"][0]["pointer"], pointer);
        }
    }
    let after =
        client.get(&format!("/api/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(after["state"], "waiting");
    server.stop().await;
}
