//! What operators do with jobs and queues.

use http::Method;
use serde_json::{Value, json};

use crate::{
    client::Client,
    server::{Setup, until},
};

async fn verb(client: &Client, id: &str, verb: &str, body: Value) -> crate::client::Reply {
    client.post(&format!("/api/v1/jobs/{id}/{verb}"), body).await
}

#[tokio::test]
async fn a_failed_job_is_retried_and_rerun_with_another_payload() {
    let (server, client) = Setup::default().serve().await;
    let id = client.enqueue("sum", json!({ "of": [1, 2], "fail": "no luck" })).await;
    let job = client.ended(&id).await;
    assert_eq!((&job["state"], &job["failure"]["message"]), (&json!("failed"), &json!("no luck")));
    assert_eq!(job["phases"][1]["error"], "no luck");

    client.bare(Method::POST, &format!("/api/v1/jobs/{id}/retry")).await.expect(200);
    let job = client.ended(&id).await;
    assert_eq!(
        (&job["run"], &job["phases"][0]["tries"]),
        (&json!(2), &json!(1)),
        "its first phase has its result"
    );
    verb(&client, &id, "retry", json!({ "fromStart": true })).await.expect(200);
    client.ended(&id).await;
    verb(&client, &id, "rerun", json!({ "fromPhase": "nowhere" })).await.refused(400, "validation");
    verb(&client, &id, "rerun", json!({ "fromPhase": "check", "payload": { "of": [4] } })).await.expect(200);
    let job = client.ended(&id).await;
    assert_eq!((&job["state"], &job["result"], &job["run"]), (&json!("completed"), &json!(4), &json!(4)));
    verb(&client, &id, "retry", json!({})).await.refused(409, "conflict-state");

    let phases = client.get(&format!("/api/v1/jobs/{id}/phases")).await.expect(200);
    assert_eq!((&phases["data"][0]["result"], &phases["data"][1]["result"]), (&json!(1), &json!(4)));
    let logs = client.get(&format!("/api/v1/jobs/{id}/logs")).await.expect(200);
    assert_eq!(logs["data"][0]["text"], "checking");
    let explained = client.get(&format!("/api/v1/jobs/{id}/explain")).await.expect(200);
    assert_eq!((&explained["reason"], &explained["facts"]["state"]), (&json!("ended"), &json!("completed")));

    client.bare(Method::DELETE, &format!("/api/v1/jobs/{id}")).await.expect(204);
    client.get(&format!("/api/v1/jobs/{id}")).await.refused(404, "not-found");
    server.stop().await;
}

#[tokio::test]
async fn a_running_job_is_cancelled() {
    let (server, client) = Setup::default().serve().await;
    let id = client.enqueue("sum", json!({ "wait": true })).await;
    let path = format!("/api/v1/jobs/{id}");
    until("it runs", async || client.get(&path).await.expect(200)["state"] == "running").await;
    client.bare(Method::DELETE, &path).await.refused(409, "conflict-state");
    client.call(Method::PATCH, &path, json!({ "priority": 1 })).await.refused(409, "conflict-state");
    let standing = client.bare(Method::POST, &format!("{path}/cancel")).await.expect(200);
    assert!(["cancelling", "cancelled"].contains(&standing["state"].as_str().unwrap()));
    assert_eq!(client.ended(&id).await["state"], "cancelled");
    let standing = client.bare(Method::POST, &format!("{path}/cancel")).await.expect(200);
    assert_eq!(standing["state"], "cancelled", "once more is no error");
    server.stop().await;
}

#[tokio::test]
async fn a_waiting_job_is_run_now() {
    let (server, client) = Setup::default().serve().await;
    let new = json!({ "kind": "sum", "payload": { "of": [2] }, "delayMs": 3_600_000 });
    let id = client.post("/api/v1/jobs", new).await.expect(201)["id"].as_str().unwrap().to_owned();
    let explained = client.get(&format!("/api/v1/jobs/{id}/explain")).await.expect(200);
    assert_eq!(explained["reason"], "scheduled");
    verb(&client, &id, "run-now", Value::Null).await.expect(200);
    assert_eq!(client.ended(&id).await["result"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_queue_is_given_a_limit_and_freed_of_it() {
    let (server, client) = Setup::default().serve().await;
    let set =
        async |limit| client.call(Method::PUT, "/api/v1/queues/default", json!({ "limit": limit })).await;
    let queue = set(json!(2)).await.expect(200);
    assert_eq!((&queue["limit"], &queue["paused"]), (&json!(2), &json!(false)));
    client.bare(Method::POST, "/api/v1/queues/default/pause").await.expect(200);
    let queue = client.get("/api/v1/queues/default").await.expect(200);
    assert_eq!((&queue["limit"], &queue["paused"]), (&json!(2), &json!(true)), "one leaves the other alone");
    let queue = set(Value::Null).await.expect(200);
    assert_eq!((&queue["limit"], &queue["paused"]), (&Value::Null, &json!(true)));

    let problem = set(json!(0)).await.refused(400, "validation");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("pause"), "{problem}");
    set(json!(1_000_001)).await.refused(400, "validation");
    set(json!(-1)).await.refused(400, "validation");
    for body in [json!({}), json!({ "limits": 2 })] {
        client.call(Method::PUT, "/api/v1/queues/default", body).await.refused(400, "validation");
    }
    client
        .call(Method::PUT, "/api/v1/queues/stepwell.x", json!({ "limit": 1 }))
        .await
        .refused(400, "validation");
    server.stop().await;
}

#[tokio::test]
async fn a_queue_is_paused_and_resumed() {
    let (server, client) = Setup::default().serve().await;
    let paused =
        client.post("/api/v1/queues/default/pause", json!({ "reason": "maintenance" })).await.expect(200);
    assert_eq!((&paused["paused"], &paused["pausedReason"]), (&json!(true), &json!("maintenance")));
    let id = client.enqueue("sum", json!({ "of": [1] })).await;
    let explained = client.get(&format!("/api/v1/jobs/{id}/explain")).await.expect(200);
    assert_eq!(
        (&explained["reason"], &explained["facts"]["reason"]),
        (&json!("paused"), &json!("maintenance"))
    );
    let queues = client.get("/api/v1/queues").await.expect(200);
    assert_eq!(
        (&queues["data"][0]["name"], &queues["data"][0]["jobs"]["pending"]),
        (&json!("default"), &json!(1))
    );
    client.bare(Method::POST, "/api/v1/queues/default/resume").await.expect(200);
    assert_eq!(client.ended(&id).await["state"], "completed");
    let queue = client.get("/api/v1/queues/default").await.expect(200);
    assert_eq!(
        (&queue["paused"], &queue["slots"], &queue["workers"]),
        (&json!(false), &json!(16), &json!(1))
    );
    client.get("/api/v1/queues/none").await.refused(404, "not-found");
    client.bare(Method::POST, "/api/v1/queues/stepwell.x/pause").await.refused(400, "validation");

    let kind = client.get("/api/v1/kinds/sum").await.expect(200);
    assert_eq!((&kind["jobs"]["completed"], &kind["phases"][1]["inputs"]), (&json!(1), &json!(["check"])));
    assert_eq!(client.get("/api/v1/kinds").await.expect(200)["data"].as_array().unwrap().len(), 1);
    client.get("/api/v1/kinds/none").await.refused(404, "not-found");
    server.stop().await;
}

#[tokio::test]
async fn every_change_is_in_the_audit_log() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let id = client.enqueue("sum", json!({})).await;
    let who = client.get("/api/v1/whoami").await.expect(200)["id"].clone();
    let mut request = client.json(Method::POST, &format!("/api/v1/jobs/{id}/cancel"), "null");
    request.headers_mut().insert("request-id", "my-request".parse().unwrap());
    client.send(request).await.expect(200);
    client
        .bare(Method::DELETE, "/api/v1/jobs/00000000-0000-7000-8000-000000000000")
        .await
        .refused(404, "not-found");
    let page = client.get("/api/v1/audit?limit=1").await.expect(200);
    assert_eq!((&page["data"][0]["action"], &page["data"][0]["status"]), (&json!("delete_job"), &json!(404)));
    let next = page["page"]["next"].as_str().unwrap();
    let entry = &client.get(&format!("/api/v1/audit?limit=1&cursor={next}")).await.expect(200)["data"][0];
    assert_eq!(
        (&entry["action"], &entry["status"], &entry["who"]),
        (&json!("cancel_job"), &json!(200), &who)
    );
    assert_eq!(
        (&entry["requestId"], &entry["target"]),
        (&json!("my-request"), &json!(format!("/api/v1/jobs/{id}/cancel")))
    );
    server.stop().await;
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let (server, client) = Setup::default().serve().await;
    let nobody = Client { token: None, ..client.clone() };
    nobody.get("/healthz").await.expect(200);
    nobody.get("/readyz").await.expect(200);
    let id = client.enqueue("sum", json!({})).await;
    client.ended(&id).await;
    let metrics = client.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("stepwell_jobs{queue=\"default\",kind=\"sum\",state=\"completed\"} 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    nobody.get("/metrics").await.refused(401, "unauthenticated");
    server.api.drain();
    let drained = nobody.get("/readyz").await;
    assert_ne!(drained.header("retry-after"), "");
    drained.refused(503, "draining");
    server.stop().await;
}
