//! Every operation of the description, done once.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use stepwell_http::openapi_json;

use crate::{
    client::{Client, Reply},
    receiver::{Receiver, in_memory},
    server::Setup,
};

/// Does operations by their ids, and checks that each answer is one that the description knows.
struct Walk {
    client: Client,
    description: Value,
    done: BTreeSet<String>,
}

impl Walk {
    /// The operation with this id: its method, its address, and what is known of it.
    fn find(&self, id: &str) -> (Method, String, Value) {
        for (path, item) in self.description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if operation["operationId"] == id {
                    return (method.to_uppercase().parse().unwrap(), path.clone(), operation.clone());
                }
            }
        }
        panic!("no operation is called {id}");
    }
    async fn reply(&mut self, id: &str, names: &[&str], query: &str, body: Option<Value>) -> Reply {
        let (method, mut path, operation) = self.find(id);
        for name in names {
            let (from, to) = (path.find('{').unwrap(), path.find('}').unwrap());
            path.replace_range(from..=to, name);
        }
        let path = format!("{path}{query}");
        let reply = loop {
            let reply = match &body {
                Some(body) => self.client.call(method.clone(), &path, body.clone()).await,
                None => self.client.bare(method.clone(), &path).await,
            };
            // A job cannot be deleted before its end has been read for the webhooks.
            if reply.header("retry-after").is_empty() {
                break reply;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        let known = &operation["responses"][reply.status.as_str()];
        assert!(known.is_object(), "{id}: the description does not know this answer: {reply:?}");
        let kind = reply.header("content-type").split(';').next().unwrap().to_owned();
        if !kind.is_empty() {
            assert!(known["content"][&kind].is_object(), "{id}: nor this type: {reply:?}");
        }
        self.done.insert(id.to_owned());
        reply
    }
    async fn get(&mut self, id: &str, names: &[&str]) -> Value {
        let reply = self.reply(id, names, "", None).await;
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }
    async fn post(&mut self, id: &str, names: &[&str], body: Value) -> Value {
        self.reply(id, names, "", Some(body)).await.json()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[tokio::test]
async fn every_operation_of_the_description_is_there_and_answers_as_it_says() {
    let (server, client) = Setup { builder: in_memory(), ..Setup::default() }.serve().await;
    let receiver = Receiver::answering(204).await;
    let description = serde_json::from_str(openapi_json()).unwrap();
    let mut walk = Walk { client: client.clone(), description, done: BTreeSet::new() };

    for id in
        ["healthz", "readyz", "openapi", "version", "whoami", "list_event_types", "list_kinds", "get_stats"]
    {
        walk.get(id, &[]).await;
    }
    walk.reply("metrics", &[], "", None).await;
    walk.reply("problem_page", &["not-found"], "", None).await;
    walk.reply("get_series", &[], "?metric=throughput", None).await;
    walk.get("get_kind", &["sum"]).await;

    // Webhooks first: an endpoint is told of what happens from then on.
    let made = walk.post("create_webhook", &[], json!({ "url": receiver.url })).await;
    let hook = text(&made["webhook"]["id"]);
    let hook = [hook.as_str()];
    walk.get("list_webhooks", &[]).await;
    walk.get("get_webhook", &hook).await;
    walk.post("edit_webhook", &hook, json!({ "description": "x" })).await;
    walk.get("rotate_webhook_secret", &hook).await;
    let sent = text(&walk.get("test_webhook", &hook).await["deliveryId"]);
    receiver.reaches(1).await;

    // A job to its end, and again.
    let id =
        text(&walk.post("create_job", &[], json!({ "kind": "sum", "payload": { "of": [1] } })).await["id"]);
    let job = [id.as_str()];
    client.ended(&id).await;
    for operation in ["get_job", "list_phases", "list_logs", "explain_job", "list_job_deliveries"] {
        walk.get(operation, &job).await;
    }
    walk.get("get_phase", &[&id, "check"]).await;
    walk.get("list_jobs", &[]).await;
    walk.get("export_jobs", &[]).await;
    walk.reply("follow_job", &job, "?after=0", None).await;
    walk.reply("follow_events", &[], "?after=0", None).await;
    walk.reply("create_ticket", &[], "", Some(json!({}))).await;
    walk.post("rerun_job", &job, json!({ "fromPhase": "check" })).await;
    client.ended(&id).await;

    // A job that waits, as long as its queue is not worked.
    let waiting = json!({ "jobs": [{ "kind": "other", "payload": 1, "queue": "q" }] });
    walk.post("create_jobs", &[], waiting).await;
    let waiting = client.get("/api/v1/jobs?kind=other").await.expect(200);
    let waiting = text(&waiting["data"][0]["id"]);
    let waiting = [waiting.as_str()];
    walk.post("edit_job", &waiting, json!({ "priority": 1 })).await;
    walk.get("run_job_now", &waiting).await;
    walk.get("cancel_job", &waiting).await;
    walk.get("retry_job", &waiting).await;
    client.bare(Method::POST, &format!("/api/v1/jobs/{}/cancel", waiting[0])).await.expect(200);
    walk.get("delete_job", &waiting).await;
    walk.get("list_queues", &[]).await;
    walk.reply("set_queue", &["default"], "", Some(json!({ "limit": 2 }))).await;
    for operation in ["get_queue", "pause_queue", "resume_queue"] {
        walk.get(operation, &["default"]).await;
    }

    // A worker, and what it says about phases.
    let registration = json!({
        "name": "w", "queues": ["remote"],
        "kinds": [{ "kind": "steps", "phases": [{ "name": "a" }, { "name": "b", "inputs": ["a"] }] }],
    });
    let worker = text(&walk.post("register_worker", &[], registration).await["id"]);
    walk.get("list_workers", &[]).await;
    walk.get("get_health", &[]).await;
    walk.get("get_worker", &[&worker]).await;
    walk.post("beat", &[&worker], json!({})).await;
    for operation in ["complete_claim", "fail_claim", "snooze_claim", "release_claim"] {
        let new = json!({ "kind": "steps", "payload": {}, "queue": "remote" });
        client.post("/api/v1/jobs", new).await.expect(201);
        let claims = walk.post("claim", &[], json!({ "workerId": worker, "waitMs": 30_000 })).await;
        let lease = text(&claims["claims"][0]["lease"]);
        walk.reply("save_checkpoint", &[&lease], "", Some(json!({ "value": 1 }))).await;
        walk.reply("report_progress", &[&lease], "", Some(json!({ "done": 1, "total": 2 }))).await;
        walk.reply("add_logs", &[&lease], "", Some(json!({ "lines": ["l"] }))).await;
        let body = match operation {
            "complete_claim" => json!({ "output": 1, "claimNext": true }),
            "fail_claim" => json!({ "error": { "message": "m" }, "retry": "never" }),
            "snooze_claim" => json!({ "delayMs": 3_600_000 }),
            _ => json!({}),
        };
        walk.post(operation, &[&lease], body).await;
    }
    walk.get("quiet_worker", &[&worker]).await;
    walk.get("resume_worker", &[&worker]).await;
    walk.get("terminate_worker", &[&worker]).await;
    walk.get("delete_worker", &[&worker]).await;

    // The same for many.
    let bulk = walk.post("create_bulk_operation", &[], json!({ "action": "retry", "filter": {} })).await;
    let bulk = text(&bulk["id"]);
    walk.get("list_bulk_operations", &[]).await;
    for operation in ["get_bulk_operation", "list_bulk_failures", "cancel_bulk_operation"] {
        walk.get(operation, &[&bulk]).await;
    }

    // What came of the webhooks.
    receiver.reaches(2).await;
    walk.get("list_deliveries", &[]).await;
    walk.get("list_webhook_deliveries", &hook).await;
    for operation in ["get_delivery", "redeliver", "skip_delivery"] {
        walk.get(operation, &[&sent]).await;
    }
    for operation in
        ["get_webhook_stats", "replay_webhook", "disable_webhook", "enable_webhook", "delete_webhook"]
    {
        walk.get(operation, &hook).await;
    }

    let token = walk.post("create_token", &[], json!({ "name": "x", "scopes": ["metrics"] })).await;
    walk.get("list_tokens", &[]).await;
    let token =
        walk.post("rotate_token", &[&text(&token["token"]["id"])], json!({ "overlapMs": 60_000 })).await;
    walk.get("revoke_token", &[&text(&token["token"]["id"])]).await;
    walk.get("list_audit", &[]).await;

    let mut all = BTreeSet::new();
    for item in walk.description["paths"].as_object().unwrap().values() {
        all.extend(item.as_object().unwrap().values().map(|operation| text(&operation["operationId"])));
    }
    let missed: Vec<&String> = all.difference(&walk.done).collect();
    assert!(missed.is_empty(), "nobody has tried these: {missed:?}");
    server.stop().await;
}
