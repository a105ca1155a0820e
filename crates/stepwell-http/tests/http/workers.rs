//! Workers that speak HTTP: claims, leases, reports, and what a lost answer leads to.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use stepwell::{Clock, Stepwell, Stopwatch};
use stepwell_http::Scope;

use crate::{
    client::Client,
    server::{Server, Setup, until},
};

const LEASE: Duration = Duration::from_secs(10);
/// Less than the third of a lease after which heartbeats come, and more than the half of that.
const BEAT: Duration = Duration::from_secs(3);

async fn serving() -> (Server, Client) {
    Setup::default().serve().await
}

/// The same, with a clock that is turned by hand.
async fn turned() -> (Clock, Server, Client) {
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000));
    let builder = Stepwell::in_memory().clock(clock.clone()).lease(LEASE);
    let (server, client) = Setup { builder, ..Setup::default() }.serve().await;
    (clock, server, client)
}

fn registration() -> Value {
    let phases = json!([{ "name": "fetch" }, { "name": "count", "inputs": ["fetch"] }]);
    json!({ "name": "w1", "queues": ["remote"], "kinds": [{ "kind": "report", "phases": phases }] })
}

async fn registered(client: &Client) -> String {
    let registered = client.post("/api/v1/workers", registration()).await.expect(201);
    assert!(registered["heartbeatMs"].as_u64() < registered["leaseMs"].as_u64(), "{registered}");
    registered["id"].as_str().unwrap().to_owned()
}

async fn enqueued(client: &Client) -> String {
    let new = json!({ "kind": "report", "payload": { "n": 1 }, "queue": "remote" });
    client.post("/api/v1/jobs", new).await.expect(201)["id"].as_str().unwrap().to_owned()
}

async fn claims(client: &Client, worker: &str, wait_ms: u64) -> Vec<Value> {
    let asked = json!({ "workerId": worker, "max": 10, "waitMs": wait_ms });
    let answer = client.post("/api/v1/claims", asked).await.expect(200);
    answer["claims"].as_array().unwrap().clone()
}

fn lease(claim: &Value) -> &str {
    claim["lease"].as_str().unwrap_or_else(|| panic!("{claim}"))
}

fn verb(claim: &Value, verb: &str) -> String {
    format!("/api/v1/claims/{}/{verb}", lease(claim))
}

async fn beat(client: &Client, worker: &str, leases: &[&str]) -> Value {
    client.post(&format!("/api/v1/workers/{worker}/heartbeat"), json!({ "leases": leases })).await.expect(200)
}

#[tokio::test]
async fn a_job_goes_through_its_phases_at_a_worker_elsewhere() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    let id = enqueued(&client).await;
    let claimed = claims(&client, &worker, 30_000).await;
    let [first] = &claimed[..] else { panic!("{claimed:?}") };
    assert_eq!((&first["job"]["id"], &first["job"]["payload"]), (&json!(id), &json!({ "n": 1 })));
    assert_eq!((&first["phase"]["name"], &first["phase"]["attempt"]), (&json!("fetch"), &json!(1)));
    assert_eq!(first["phase"]["checkpoint"], Value::Null);
    client.post(&verb(first, "progress"), json!({ "done": 1, "total": 2, "note": "half" })).await.expect(204);
    client.post(&verb(first, "logs"), json!({ "lines": ["one", "two"] })).await.expect(204);
    client.post(&verb(first, "checkpoint"), json!({ "value": { "page": 3 } })).await.expect(204);

    // The try fails, and the next one is given the checkpoint.
    let failed =
        json!({ "error": { "type": "Timeout", "message": "no answer", "stack": "at x" }, "afterMs": 1 });
    let reported = client.post(&verb(first, "fail"), failed.clone()).await.expect(200);
    assert_eq!(reported["jobState"], "pending");
    let claimed = claims(&client, &worker, 30_000).await;
    let second = &claimed[0];
    assert_eq!(
        (&second["phase"]["attempt"], &second["phase"]["checkpoint"]),
        (&json!(2), &json!({ "page": 3 }))
    );
    assert_eq!(second["phase"]["idempotencyKey"], first["phase"]["idempotencyKey"]);
    client.post(&verb(first, "fail"), failed).await.refused(409, "lease-lost");

    // Its end and the beginning of the next phase are one call, and the call may be repeated.
    let complete = json!({ "output": "text", "claimNext": true });
    let reported = client.post(&verb(second, "complete"), complete.clone()).await.expect(200);
    let next = &reported["next"];
    assert_eq!(
        (&next["phase"]["name"], &next["phase"]["outputs"]),
        (&json!("count"), &json!({ "fetch": "text" }))
    );
    let again = client.post(&verb(second, "complete"), complete).await.expect(200);
    assert_eq!(again, reported);
    let other = json!({ "output": "another", "claimNext": true });
    client.post(&verb(second, "complete"), other).await.refused(409, "lease-lost");
    let ended = client.post(&verb(next, "complete"), json!({ "output": 4 })).await.expect(200);
    assert_eq!((&ended["jobState"], &ended["next"]), (&json!("completed"), &Value::Null));
    let again = client.post(&verb(next, "complete"), json!({ "output": 4 })).await.expect(200);
    assert_eq!(again, ended);
    client.post(&verb(next, "complete"), json!({ "output": 5 })).await.refused(409, "lease-lost");
    let job = client.get(&format!("/api/v1/jobs/{id}")).await.expect(200);
    assert_eq!((&job["state"], &job["result"]), (&json!("completed"), &json!(4)));
    let logs = client.get(&format!("/api/v1/jobs/{id}/logs")).await.expect(200).to_string();
    assert!(logs.contains("one") && logs.contains("two"), "{logs}");
    server.stop().await;
}

#[tokio::test]
async fn a_claim_waits_until_there_is_something() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    assert!(claims(&client, &worker, 0).await.is_empty());
    let waiting = {
        let (client, worker) = (client.clone(), worker.clone());
        tokio::spawn(async move { claims(&client, &worker, 30_000).await })
    };
    let id = enqueued(&client).await;
    let claimed = waiting.await.unwrap();
    assert_eq!(claimed[0]["job"]["id"], json!(id));
    server.stop().await;
}

#[tokio::test]
async fn an_answer_to_a_claim_that_was_lost_is_given_again_or_the_job_goes_back() {
    let (clock, server, client) = turned().await;
    let worker = registered(&client).await;
    enqueued(&client).await;
    let claim = async || {
        let asked = json!({ "workerId": worker, "waitMs": 30_000 }).to_string();
        let mut request = client.json(Method::POST, "/api/v1/claims", &asked);
        request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
        client.send(request).await.expect(200)["claims"].clone()
    };
    let first = claim().await;
    assert_eq!(claim().await, first, "the same phases, under the same leases");

    // Whoever does not ask again names nothing, and has it taken back after a second heartbeat, but not if that comes
    // at once: the answer may be still on its way to who sent both.
    let held = beat(&client, &worker, &[lease(&first[0])]).await;
    assert_eq!(held["leases"][0]["status"], "held");
    for _ in 0..3 {
        beat(&client, &worker, &[]).await;
    }
    let held = beat(&client, &worker, &[lease(&first[0])]).await;
    assert_eq!(held["leases"][0]["status"], "held");
    for _ in 0..2 {
        clock.advance(BEAT);
        beat(&client, &worker, &[]).await;
    }
    let claimed = claims(&client, &worker, 30_000).await;
    assert_eq!(claimed[0]["job"]["id"], first[0]["job"]["id"]);
    assert_eq!(claimed[0]["phase"]["attempt"], json!(1), "nothing was spent");
    let lost = beat(&client, &worker, &[lease(&first[0]), "swl_nonsense", lease(&claimed[0])]).await;
    let standing: Vec<&str> =
        lost["leases"].as_array().unwrap().iter().map(|lease| lease["status"].as_str().unwrap()).collect();
    assert_eq!(standing, ["lost", "lost", "held"]);
    client.post(&verb(&first[0], "complete"), json!({ "output": 1 })).await.refused(409, "lease-lost");
    assert_eq!(claim().await, json!([]), "what was claimed under the key is not the worker's any more");
    server.stop().await;
}

#[tokio::test]
async fn a_worker_that_waits_for_more_gets_back_what_it_does_not_know_of() {
    let (clock, server, client) = turned().await;
    let worker = registered(&client).await;
    let id = enqueued(&client).await;
    // The answer is lost, and the worker goes on without it.
    assert_eq!(claims(&client, &worker, 30_000).await.len(), 1);
    let waiting = {
        let (client, worker) = (client.clone(), worker.clone());
        tokio::spawn(async move { claims(&client, &worker, 30_000).await })
    };
    while !waiting.is_finished() {
        clock.advance(BEAT);
        beat(&client, &worker, &[]).await;
    }
    let claimed = waiting.await.unwrap();
    assert_eq!(claimed.first().map(|claim| &claim["job"]["id"]), Some(&json!(id)));
    server.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_silent_loses_its_phases_and_its_late_answer_is_refused() {
    let (clock, server, client) = turned().await;
    let (silent, other) = (registered(&client).await, registered(&client).await);
    enqueued(&client).await;
    let claimed = claims(&client, &silent, 30_000).await;
    client.post(&verb(&claimed[0], "checkpoint"), json!({ "value": 7 })).await.expect(204);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(5));
        beat(&client, &other, &[]).await;
    }
    let taken = {
        let mut taken = Vec::new();
        until("it is taken over", async || {
            !client.get("/api/v1/jobs?state=running").await.expect(200)["data"]
                .as_array()
                .unwrap()
                .iter()
                .any(|job| job["kind"] == "report")
        })
        .await;
        while taken.is_empty() {
            taken = claims(&client, &other, 1_000).await;
            clock.advance(Duration::from_secs(1));
            beat(&client, &other, &[]).await;
        }
        taken
    };
    assert_eq!(
        (&taken[0]["phase"]["interrupted"], &taken[0]["phase"]["checkpoint"]),
        (&json!(true), &json!(7))
    );
    for (verb_, body) in [
        ("complete", json!({ "output": 1 })),
        ("checkpoint", json!({ "value": 8 })),
        ("fail", json!({ "error": { "message": "m" } })),
        ("progress", json!({ "done": 1, "total": 1 })),
        ("snooze", json!({ "delayMs": 1 })),
        ("release", json!({})),
    ] {
        client.post(&verb(&claimed[0], verb_), body).await.refused(409, "lease-lost");
    }
    let path = format!("/api/v1/workers/{silent}/heartbeat");
    client.post(&path, json!({})).await.refused(404, "not-found");
    client.post("/api/v1/claims", json!({ "workerId": silent })).await.refused(404, "not-found");
    client.post(&verb(&taken[0], "complete"), json!({ "output": 1 })).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_cancelled_job_is_told_with_the_heartbeat_and_ends_with_whatever_the_worker_says() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    for (word, body) in [
        ("release", json!({})),
        ("fail", json!({ "error": { "message": "stopped" } })),
        ("snooze", json!({ "delayMs": 1 })),
    ] {
        let id = enqueued(&client).await;
        let claimed = claims(&client, &worker, 30_000).await;
        client.bare(Method::POST, &format!("/api/v1/jobs/{id}/cancel")).await.expect(200);
        assert_eq!(beat(&client, &worker, &[lease(&claimed[0])]).await["leases"][0]["status"], "cancel");
        let reported = client.post(&verb(&claimed[0], word), body).await.expect(200);
        assert_eq!(reported["jobState"], "cancelled", "{word}");
    }
    server.stop().await;
}

#[tokio::test]
async fn operators_quiet_and_end_workers() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    let path = format!("/api/v1/workers/{worker}");
    assert_eq!(client.get(&path).await.expect(200)["desired"], "run");
    client.bare(Method::POST, &format!("{path}/quiet")).await.expect(200);
    assert_eq!(beat(&client, &worker, &[]).await["desired"], "quiet");
    let id = enqueued(&client).await;
    assert!(claims(&client, &worker, 0).await.is_empty());
    client.bare(Method::POST, &format!("{path}/terminate")).await.expect(200);
    assert_eq!(beat(&client, &worker, &[]).await["desired"], "terminate");
    client.bare(Method::DELETE, &path).await.expect(204);
    client.get(&path).await.refused(404, "not-found");

    // One that ends gives back what it has, at once and without a try spent.
    let worker = registered(&client).await;
    assert_eq!(claims(&client, &worker, 30_000).await[0]["job"]["id"], json!(id));
    client.bare(Method::DELETE, &format!("/api/v1/workers/{worker}")).await.expect(204);
    let worker = registered(&client).await;
    let claimed = claims(&client, &worker, 30_000).await;
    assert_eq!((&claimed[0]["job"]["id"], &claimed[0]["phase"]["attempt"]), (&json!(id), &json!(1)));
    server.stop().await;
}

#[tokio::test]
async fn a_claim_brings_nothing_to_a_quiet_worker_and_ends_once_the_worker_knows_why() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    let path = format!("/api/v1/workers/{worker}");
    client.bare(Method::POST, &format!("{path}/quiet")).await.expect(200);
    enqueued(&client).await;
    // Answered before it knows, it would ask again at once.
    let mut claiming = std::pin::pin!(claims(&client, &worker, 30_000));
    let answered = tokio::time::timeout(Duration::from_millis(1_500), &mut claiming).await;
    assert!(answered.is_err(), "{answered:?}");
    let waited = Stopwatch::start();
    assert_eq!(beat(&client, &worker, &[]).await["desired"], "quiet");
    assert!(claiming.await.is_empty());
    assert!(claims(&client, &worker, 30_000).await.is_empty());
    assert!(waited.elapsed() < Duration::from_secs(20), "it knows, and need not wait");
    server.stop().await;
}

#[tokio::test]
async fn a_claim_that_waits_while_its_worker_is_quiet_is_given_what_comes_once_it_may_go_on() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    let path = format!("/api/v1/workers/{worker}");
    client.bare(Method::POST, &format!("{path}/quiet")).await.expect(200);
    enqueued(&client).await;
    let claiming = claims(&client, &worker, 30_000);
    let (claimed, _) = tokio::join!(claiming, async {
        client.bare(Method::POST, &format!("{path}/resume")).await.expect(200)
    });
    assert_eq!(claimed.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_quiet_worker_may_claim_again_and_says_itself_when_it_does_not() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    let path = format!("/api/v1/workers/{worker}");
    client.bare(Method::POST, &format!("{path}/quiet")).await.expect(200);
    assert_eq!(beat(&client, &worker, &[]).await["desired"], "quiet");
    assert_eq!(client.get(&path).await.expect(200)["state"], "running", "it has not said that it obeys");
    let quiet = json!({ "state": "quiet" });
    client.post(&format!("{path}/heartbeat"), quiet.clone()).await.expect(200);
    assert_eq!(client.get(&path).await.expect(200)["state"], "quiet");
    client.bare(Method::POST, &format!("{path}/resume")).await.expect(200);
    assert_eq!(beat(&client, &worker, &[]).await["desired"], "run");
    let shown = client.get(&path).await.expect(200);
    assert_eq!((&shown["state"], &shown["desired"]), (&json!("running"), &json!("run")));

    // What it says of itself is not what is wanted of it.
    enqueued(&client).await;
    let answer = client.post(&format!("{path}/heartbeat"), quiet).await.expect(200);
    assert_eq!(answer["desired"], "run");
    assert!(claims(&client, &worker, 0).await.is_empty());
    beat(&client, &worker, &[]).await;
    assert_eq!(claims(&client, &worker, 30_000).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn servers_and_workers_stand_in_one_list() {
    let (server, client) = serving().await;
    let worker = registered(&client).await;
    // The server's own session comes to be when it begins to work.
    client.enqueue("sum", json!({ "of": [1] })).await;
    let list = async || client.get("/api/v1/workers").await.expect(200)["data"].as_array().unwrap().clone();
    until("the server is on the list", || async { list().await.len() == 2 }).await;
    let found = list().await;
    let of_type = |name: &str| found.iter().find(|shown| shown["type"] == name).unwrap().clone();
    let (node, http) = (of_type("node"), of_type("http"));
    assert_eq!((&http["id"], &http["name"], &http["running"]), (&json!(worker), &json!("w1"), &json!(0)));
    assert_eq!((&http["pid"], &http["kinds"]), (&Value::Null, &json!(["report"])));
    assert_eq!((&node["pid"], &node["state"]), (&json!(std::process::id()), &json!("running")));
    assert_eq!(
        (&node["queues"], &node["kinds"]),
        (&json!(["default"]), &json!(["sum"])),
        "nothing of its own"
    );
    assert!(node["startedAt"].is_string() && node["lastHeartbeatAt"].is_string(), "{node}");
    assert!(node["host"].is_string() && node["version"].is_string(), "{node}");

    // A process is ended by those only who may do everything.
    let path = format!("/api/v1/workers/{}", node["id"].as_str().unwrap());
    let token = server.token([Scope::QueuesRead, Scope::QueuesManage], &[]).await;
    let operator = Client { token: Some(token), ..client.clone() };
    for verb in ["quiet", "resume", "terminate"] {
        operator.bare(Method::POST, &format!("{path}/{verb}")).await.refused(403, "forbidden-scope");
        operator.bare(Method::POST, &format!("/api/v1/workers/{worker}/{verb}")).await.expect(200);
    }
    operator
        .bare(Method::POST, &format!("/api/v1/workers/{worker}/resume"))
        .await
        .refused(409, "conflict-state");
    let shown = client.bare(Method::POST, &format!("{path}/quiet")).await.expect(200);
    assert_eq!(shown["desired"], "quiet");
    let limited =
        Client { token: Some(server.token([Scope::QueuesRead], &["remote"]).await), ..client.clone() };
    let seen = limited.get("/api/v1/workers").await.expect(200)["data"].as_array().unwrap().clone();
    assert_eq!(seen.iter().map(|shown| &shown["type"]).collect::<Vec<_>>(), [&json!("http")]);
    limited.get(&path).await.refused(404, "not-found");
    server.stop().await;
}

#[tokio::test]
async fn a_worker_takes_its_scope_and_stays_within_its_token() {
    let (server, client) = serving().await;
    let as_ = async |scopes: &[Scope], queues: &[&str]| {
        let token = server.token(scopes.iter().copied(), queues).await;
        Client { token: Some(token), ..client.clone() }
    };
    let reader = as_(&Scope::READ_ONLY, &[]).await;
    reader.post("/api/v1/workers", registration()).await.refused(403, "forbidden-scope");
    let elsewhere = as_(&[Scope::Workers], &["other"]).await;
    elsewhere.post("/api/v1/workers", registration()).await.refused(403, "forbidden-scope");
    let here = as_(&[Scope::Workers], &["remote"]).await;
    let worker = registered(&here).await;
    elsewhere.post("/api/v1/claims", json!({ "workerId": worker })).await.refused(404, "not-found");
    enqueued(&client).await;
    let claimed = claims(&here, &worker, 30_000).await;
    reader.post(&verb(&claimed[0], "complete"), json!({ "output": 1 })).await.refused(403, "forbidden-scope");

    let refused = async |body: Value, pointer: &str| {
        let problem = client.post("/api/v1/workers", body).await.refused(400, "validation");
        assert!(problem.to_string().contains(pointer), "{pointer}: {problem}");
    };
    let kinds =
        |phases: Value| json!({ "name": "w", "queues": ["q"], "kinds": [{ "kind": "k", "phases": phases }] });
    refused(json!({ "name": "", "queues": ["q"], "kinds": registration()["kinds"] }), "name").await;
    refused(json!({ "name": "w", "queues": [], "kinds": registration()["kinds"] }), "queues").await;
    refused(json!({ "name": "w", "queues": ["q"], "kinds": [] }), "kinds").await;
    refused(kinds(json!([])), "phase").await;
    refused(kinds(json!([{ "name": "a", "inputs": ["b"] }])), "not an earlier phase").await;
    refused(kinds(json!([{ "name": "a", "input": [] }])), "input").await;
    client.post("/api/v1/claims", json!({ "workerId": worker, "max": 0 })).await.refused(400, "validation");
    client
        .post("/api/v1/claims", json!({ "workerId": worker, "waitMs": 30_001 }))
        .await
        .refused(400, "validation");
    client.post("/api/v1/claims", json!({ "workerId": "x" })).await.refused(404, "not-found");
    client.post("/api/v1/claims/swl_x/complete", json!({ "output": 1 })).await.refused(409, "lease-lost");
    server.stop().await;
}
