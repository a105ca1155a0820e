//! PostgreSQL is lost with the end of its log, and a standby that lacks it takes its place: whoever follows the events
//! is told that it is another log, jobs go on, and webhooks are sent.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use rig::{Client, Frame, Program, Reply, Sink, Stream, soon};
use serde_json::json;
use stepwell_postgres_rig::{Cluster, Replication, Settings};

/// Enqueues jobs and waits until they are complete. The database may be away for a while.
async fn work(client: &Client, n: usize) -> Vec<String> {
    let mut jobs = Vec::new();
    for _ in 0..n {
        let job = json!({ "kind": "demo.steps", "payload": {} });
        let made = client.post("/api/v1/jobs", &job).await.unwrap().good("a job");
        jobs.push(made["id"].as_str().unwrap().to_owned());
    }
    for id in &jobs {
        let path = format!("/api/v1/jobs/{id}");
        let completed = async {
            while client.get(&path).await.unwrap().good("a look")["state"] != "completed" {
                tokio::task::yield_now().await;
            }
        };
        soon("its end", completed).await;
    }
    jobs
}

/// Reads a stream up to the end of this job.
async fn until_end(stream: &mut Stream, job: &str) -> Vec<Frame> {
    let mut frames = Vec::new();
    let ends = |frame: &Frame| frame.event == "job:completed" && frame.json()["jobId"] == job;
    soon("the end in the stream", async {
        while !frames.last().is_some_and(ends) {
            frames.push(stream.next().await.unwrap().expect("the stream goes on"));
        }
    })
    .await;
    frames
}

fn place_of(frame: &Frame) -> (&str, u64) {
    let (generation, pos) = frame.id.rsplit_once('-').unwrap();
    (generation, pos.parse().unwrap())
}

/// The events after the reset are the whole log of the new generation.
fn check_new(frames: &[Frame], generation: &str) -> Vec<String> {
    let reset = frames.iter().position(|frame| frame.event == "stream:reset").expect("they are told");
    assert_eq!(place_of(&frames[reset]), (generation, 0));
    let mut last = 0;
    for frame in &frames[reset + 1..] {
        let (of, pos) = place_of(frame);
        // Between two there may be what deliveries say.
        assert!(of == generation && pos > last && frame.json()["pos"] == pos, "{frame:?} after {last}");
        last = pos;
    }
    frames[reset + 1..].iter().map(|frame| frame.data.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_that_lost_the_end_of_the_log_streams_begin_again() {
    let mut primary = Cluster::start(&Settings::durable()).unwrap();
    let standby = primary.standby(Replication::Asynchronous).unwrap();
    let [first, second] = [primary.address().port, standby.address().port];
    let store = format!(
        "postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/postgres?target_session_attrs=read-write"
    );
    let (place, sink) = (tempfile::tempdir().unwrap(), Sink::answering(|_| Reply::Status(204)).await);
    let arguments = ["--demo", "--insecure-no-auth", "--webhook-allow", "127.0.0.0/8"];
    let nodes = [(); 2].map(|()| Program::start_on(&store, place.path(), "127.0.0.1:0", &arguments));
    let clients = nodes.each_ref().map(|node| Client::new(node.address, ""));
    let endpoint = json!({ "url": sink.url("/hook"), "events": ["job:completed"] });
    clients[0].post("/api/v1/webhooks", &endpoint).await.unwrap().good("an endpoint");
    let mut streams = Vec::new();
    for client in &clients {
        streams.push(Stream::open(client, "/api/v1/events?after=0", "").await.unwrap());
    }
    let kept = work(&clients[0], 3).await;

    // The standby has all so far, and nothing that comes after this.
    let behind = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()";
    soon("the standby follows", async {
        while !primary.query(behind).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    standby.query("ALTER SYSTEM SET primary_conninfo = ''").unwrap();
    standby.query("SELECT pg_reload_conf()").unwrap();
    soon("the standby follows no more", async {
        while !standby.query("SELECT 1 FROM pg_stat_wal_receiver").unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let lost = work(&clients[1], 3).await;
    let mut old = Vec::new();
    for stream in &mut streams {
        old.push(until_end(stream, lost.last().unwrap()).await);
    }
    let (before, last) = place_of(old[0].last().unwrap());

    primary.crash().unwrap();
    standby.promote().unwrap();
    // The log is soon longer than it was.
    let after = work(&clients[1], 8).await;
    for id in &lost {
        let path = format!("/api/v1/jobs/{id}");
        assert_eq!(clients[0].get(&path).await.unwrap().status, 404, "it was acknowledged, and is lost");
    }
    work(&clients[0], 1).await;
    let about =
        clients.each_ref().map(|client| async { client.get("/api/v1/version").await.unwrap().json() });
    let [one, other] = futures_util::future::join_all(about).await.try_into().unwrap();
    let generation = one["generation"].as_str().unwrap();
    assert!(generation != before && one["generation"] == other["generation"], "{one} {other}");
    let n = standby.query("SELECT generation_n, generation FROM stepwell.meta").unwrap();
    assert_eq!((n[0][0].as_deref(), n[0][1].as_deref()), (Some("1"), Some(generation)), "once");

    let mut told = Vec::new();
    for stream in &mut streams {
        let end = after.last().unwrap();
        let mut frames = until_end(stream, end).await;
        if !frames.iter().any(|frame| frame.event == "stream:reset") {
            // It read on for a moment before it was known.
            frames.extend(until_end(stream, end).await);
        }
        told.push(check_new(&frames, generation));
    }
    let n = told[0].len().min(told[1].len());
    assert_eq!(told[0][..n], told[1][..n], "both say the same");
    // Whoever was away comes back with a place that means nothing any more, although there is one of its number.
    let end_of_all = clients[0].get("/api/v1/events?after=0&limit=500").await.unwrap().json();
    let (_, end_of_all) = end_of_all["next"].as_str().unwrap().rsplit_once('-').unwrap();
    assert!(end_of_all.parse::<u64>().unwrap() > last);
    let mut back = Stream::open(&clients[0], "/api/v1/events", &format!("{before}-{last}")).await.unwrap();
    let end = after.last().unwrap();
    assert_eq!(check_new(&until_end(&mut back, end).await, generation)[..n], told[0][..n]);

    let jobs: Vec<&String> = kept.iter().chain(&after).collect();
    sink.holds(|received| jobs.iter().all(|job| received.iter().any(|one| one.body.contains(job.as_str()))))
        .await;
    for node in nodes {
        assert_eq!(node.end().0, Some(0));
    }
}
