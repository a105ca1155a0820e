//! Counters, and series from the log.

use serde_json::{Value, json};
use stepwell_http::Scope;

use crate::{client::Client, server::Setup};

async fn series(client: &Client, query: &str) -> Value {
    client.get(&format!("/api/v1/stats/series?{query}")).await.expect(200)
}
fn sum(series: &Value, member: &str) -> u64 {
    series["data"].as_array().unwrap().iter().map(|point| point[member].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn counters_and_series_tell_what_happened() {
    let (server, client) = Setup::default().serve().await;
    for n in 0..5 {
        let id = client.enqueue("sum", json!({ "of": [n], "fail": (n == 4).then_some("no") })).await;
        client.ended(&id).await;
    }
    client.post("/api/v1/jobs", json!({ "kind": "other", "payload": 1, "queue": "q" })).await.expect(201);
    let stats = client.get("/api/v1/stats").await.expect(200);
    assert_eq!((&stats["jobs"]["completed"], &stats["jobs"]["failed"]), (&json!(4), &json!(1)));
    assert_eq!((&stats["jobs"]["pending"], &stats["queues"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&stats["workers"], &stats["slots"], &stats["pausedQueues"]),
        (&json!(1), &json!(16), &json!(0))
    );

    let throughput = series(&client, "metric=throughput").await;
    assert_eq!((&throughput["complete"], &throughput["stepMs"]), (&json!(true), &json!(60_000)));
    assert_eq!(throughput["data"].as_array().unwrap().len(), 60);
    let told = |member| sum(&throughput, member);
    assert_eq!((told("enqueued"), told("completed"), told("failed"), told("cancelled")), (6, 4, 1, 0));
    assert_eq!(sum(&series(&client, "metric=throughput&queue=q").await, "enqueued"), 1);
    assert_eq!(sum(&series(&client, "metric=throughput&kind=sum").await, "enqueued"), 5);
    for metric in ["wait", "run"] {
        let spans = series(&client, &format!("metric={metric}&stepMs=600000")).await;
        assert_eq!(sum(&spans, "count"), 5, "{metric}: the one that waits is not told of: {spans}");
        let last = spans["data"].as_array().unwrap().last().unwrap();
        let ms = |member: &str| last[member].as_f64().unwrap();
        assert!(
            ms("meanMs") <= ms("maxMs") && ms("p95Ms") <= ms("maxMs") && ms("maxMs") < 60_000.0,
            "{last}"
        );
    }
    let depth = series(&client, "metric=depth").await;
    let depth: Vec<u64> =
        depth["data"].as_array().unwrap().iter().map(|point| point["jobs"].as_u64().unwrap()).collect();
    assert_eq!((depth[0], depth[59]), (0, 1), "{depth:?}");
    let past = series(&client, "metric=throughput&from=2001-01-01T00:00:00Z&to=2001-01-01T01:00:00Z").await;
    assert_eq!((sum(&past, "enqueued"), &past["complete"]), (0, &json!(true)));
    server.stop().await;
}

#[tokio::test]
async fn a_series_that_breaks_a_rule_is_refused() {
    let (server, client) = Setup::default().serve().await;
    for (query, pointer) in [
        ("", "?metric"),
        ("metric=joy", "?metric"),
        ("metric=run&from=monday", "?from"),
        ("metric=run&to=2001-01-01T00:00:00Z&from=2001-01-02T00:00:00Z", "?from"),
        ("metric=run&stepMs=999", "?stepMs"),
        ("metric=run&stepMs=0", "?stepMs"),
        ("metric=run&stepMs=1000", "?stepMs"),
        ("metric=run&stepMs=-1", "?stepMs"),
        ("metric=run&step=1000", "?step"),
    ] {
        let problem = client.get(&format!("/api/v1/stats/series?{query}")).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}: {problem}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_limited_token_is_told_of_its_own_queues() {
    let (server, client) = Setup::default().serve().await;
    for queue in ["a", "a", "b"] {
        client
            .post("/api/v1/jobs", json!({ "kind": "other", "payload": 1, "queue": queue }))
            .await
            .expect(201);
    }
    let limited = client.with(&server.token([Scope::QueuesRead], &["b"]).await);
    let stats = limited.get("/api/v1/stats").await.expect(200);
    assert_eq!((&stats["jobs"]["pending"], &stats["slots"]), (&json!(1), &json!(0)));
    assert_eq!(sum(&series(&limited, "metric=throughput").await, "enqueued"), 1);
    let depth = series(&limited, "metric=depth&stepMs=3600000").await;
    assert_eq!(depth["data"][0]["jobs"], 1);
    let other = client.with(&server.token([Scope::JobsRead], &[]).await);
    other.get("/api/v1/stats").await.refused(403, "forbidden-scope");
    other.get("/api/v1/stats/series?metric=run").await.refused(403, "forbidden-scope");
    server.stop().await;
}
