//! Events, live.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use serde_json::{Value, json};
use stepwell::{Keep, Retention, Stepwell};
use stepwell_http::{Limits, Scope};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{Client, SOON},
    server::{Setup, until},
};

#[tokio::test]
async fn a_stream_tells_what_happens_in_the_form_of_the_contract() {
    let (server, client) = Setup::default().serve().await;
    let mut stream = client.follow("/api/v1/events", None).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store, no-transform"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers.get(name).unwrap(), value);
    }
    assert!(!stream.headers.contains_key("content-encoding"));
    let id = client.enqueue("sum", json!({ "of": [1] })).await;
    let generation =
        client.get("/api/v1/version").await.expect(200)["generation"].as_str().unwrap().to_owned();
    let mut types = Vec::new();
    loop {
        let told = stream.next().await.unwrap();
        let pos = types.len() + 1;
        assert_eq!(
            (told.id, &told.event),
            (format!("{generation}-{pos}"), &told.data["type"].as_str().unwrap().to_owned())
        );
        assert_eq!(
            (&told.data["pos"], &told.data["jobId"], &told.data["jobSeq"]),
            (&json!(pos), &json!(id), &json!(pos))
        );
        let keys: BTreeSet<&str> = told.data.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = ["pos", "jobId", "jobSeq", "type", "at", "kind", "queue", "run", "attempt", "data"];
        assert!(keys.is_superset(&wanted.into()) && keys.len() <= 11, "{keys:?}");
        types.push(told.event);
        if types.last().is_some_and(|ty| ty == "job:completed") {
            break;
        }
    }
    assert_eq!(types[..3], ["job:enqueued", "job:started", "job:phase:started"]);
    client.bare(Method::DELETE, &format!("/api/v1/jobs/{id}")).await.expect(204);
    let deleted = stream.next().await.unwrap().data;
    assert_eq!((&deleted["type"], &deleted["data"]), (&json!("job:deleted"), &json!({ "deletedJobId": id })));
    assert_eq!(deleted.as_object().unwrap().len(), 4);
    server.stop().await;
    assert!(stream.next().await.is_none(), "a server that stops ends its streams");
}

#[tokio::test]
async fn resuming_sees_each_place_once_and_in_order_over_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let setup = || Setup { builder: Stepwell::sqlite(place.path().join("a.db")), ..Setup::default() };
    let (mut server, mut client) = setup().serve().await;
    let (mut seen, mut last) = (Vec::new(), String::new());
    for round in 0..4 {
        let mut stream = client.follow("/api/v1/events?after=0", (round > 0).then_some(last.as_str())).await;
        let mut ids = BTreeSet::new();
        for n in 0..5 {
            ids.insert(client.enqueue("sum", json!({ "of": [n] })).await);
        }
        // Cut in the middle: what was sent and not read is sent again.
        while !ids.is_empty() {
            let told = stream.next().await.unwrap();
            seen.push(told.data["pos"].as_u64().unwrap());
            last = told.id;
            if told.event == "job:completed" {
                ids.remove(told.data["jobId"].as_str().unwrap());
            }
            if round == 1 && ids.len() == 2 {
                break;
            }
        }
        drop(stream);
        if round < 3 {
            server.stop().await;
            (server, client) = setup().serve().await;
        }
    }
    let wanted: Vec<u64> = (1..=*seen.last().unwrap()).collect();
    assert_eq!(seen, wanted);

    // The same as JSON.
    let (mut polled, mut after) = (Vec::new(), "0".to_owned());
    while polled.len() < seen.len() {
        let page = client.get(&format!("/api/v1/events?after={after}&limit=7")).await.expect(200);
        polled.extend(page["events"].as_array().unwrap().iter().map(|event| event["pos"].as_u64().unwrap()));
        after = page["next"].as_str().unwrap().to_owned();
    }
    assert_eq!(polled, seen);
    server.stop().await;
}

#[tokio::test]
async fn who_was_cut_off_before_the_first_event_comes_back_to_where_it_began() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    client.enqueue("sum", json!({})).await;
    let mut stream = client.follow("/api/v1/events", None).await;
    let begun = stream.opened().await;
    drop(stream);
    let id = client.enqueue("sum", json!({})).await;
    let told = client.follow("/api/v1/events", Some(&begun)).await.next().await.unwrap();
    assert_eq!((&told.data["jobId"], &told.data["pos"]), (&json!(id), &json!(2)));
    server.stop().await;
}

/// Others' jobs, without a pause, until it is dropped.
fn busy(client: &Client) -> tokio::task::JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        loop {
            client.enqueue("other", json!({})).await;
        }
    })
}

#[tokio::test]
async fn a_stream_lives_and_moves_on_while_others_are_busy() {
    let options = |api: stepwell_http::Api| api.heartbeat(Duration::from_millis(200));
    let (server, client) = Setup { work: false, options, ..Setup::default() }.serve().await;
    let mut stream = client.follow("/api/v1/events?kind=sum", None).await;
    let others = busy(&client);
    let begun = stream.opened().await;
    let moved = stream.moved_from(&begun).await;
    assert_ne!(moved, begun, "what is not wanted is behind it, and need not be looked through again");
    others.abort();
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_its_stream_however_much_there_is_to_tell() {
    let options = |api: stepwell_http::Api| api.heartbeat(Duration::from_millis(200));
    let (server, client) = Setup { work: false, options, ..Setup::default() }.serve().await;
    let follower = client.with(&server.token([Scope::EventsRead], &[]).await);
    let mut stream = follower.follow("/api/v1/events", None).await;
    let ticket = follower.bare(Method::POST, "/api/v1/events/tickets").await.expect(201);
    let others = busy(&client);
    stream.next().await.unwrap();
    let list = client.get("/api/v1/tokens").await.expect(200);
    let scoped = |token: &&Value| token["scopes"] == json!(["events:read"]);
    let id = list["data"].as_array().unwrap().iter().find(scoped).unwrap()["id"].as_str().unwrap().to_owned();
    client.bare(Method::DELETE, &format!("/api/v1/tokens/{id}")).await.expect(204);
    let mut told = 0;
    while stream.next().await.is_some() {
        told += 1;
        assert!(told < 100_000, "it never ends");
    }
    others.abort();
    let bare = Client { token: None, ..client.clone() };
    let path = format!("/api/v1/events?ticket={}", ticket["ticket"].as_str().unwrap());
    bare.get(&path).await.refused(401, "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn what_matches_rarely_is_found_although_few_are_asked_for() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let jobs: Vec<Value> = (0..900).map(|_| json!({ "kind": "other", "payload": 1 })).collect();
    for _ in 0..8 {
        client.post("/api/v1/jobs/batch", json!({ "jobs": jobs })).await.expect(200);
    }
    let id = client.enqueue("sum", json!({})).await;
    let page = client.get("/api/v1/events?after=0&kind=sum&limit=1").await.expect(200);
    assert_eq!(page["events"][0]["jobId"], json!(id), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn filters_hold_for_streams_and_polls() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let mut ids = Vec::new();
    for (kind, queue, tag) in [("sum", "a", "x"), ("sum", "b", "y"), ("other", "a", "y")] {
        let new = json!({ "kind": kind, "queue": queue, "tags": [tag], "payload": 1 });
        ids.push(client.post("/api/v1/jobs", new).await.expect(201)["id"].as_str().unwrap().to_owned());
    }
    client.bare(Method::POST, &format!("/api/v1/jobs/{}/cancel", ids[0])).await.expect(200);
    for (filter, wanted) in [
        ("kind=sum", vec![1, 2, 4]),
        ("queue=a", vec![1, 3, 4]),
        ("tag=y", vec![2, 3]),
        ("type=job:cancelled", vec![4]),
        ("type=job:cancelled,job:edited&kind=sum", vec![4]),
        (&format!("job={}", ids[0]), vec![1, 4]),
        ("kind=sum&queue=b&tag=y", vec![2]),
    ] {
        let page = client.get(&format!("/api/v1/events?after=0&{filter}")).await.expect(200);
        let found: Vec<u64> =
            page["events"].as_array().unwrap().iter().map(|event| event["pos"].as_u64().unwrap()).collect();
        assert_eq!(found, wanted, "{filter}");
        let mut stream = client.follow(&format!("/api/v1/events?after=0&{filter}"), None).await;
        for pos in wanted {
            assert_eq!(stream.next().await.unwrap().data["pos"], pos, "{filter}");
        }
    }
    for (query, pointer) in [
        ("type=job:none", "?type"),
        ("after=x", "?after"),
        ("after=-1", "?after"),
        ("job=1", "?job"),
        ("limit=0", "?limit"),
        ("waitMs=60000", "?waitMs"),
        ("kinds=a", "?kinds"),
        ("onGap=cry", "?onGap"),
    ] {
        let problem = client.get(&format!("/api/v1/events?{query}")).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
    }
    let request = client.request(Method::GET, "/api/v1/events").header("accept", "text/html");
    client.send(request.body(http_body_util::Full::default()).unwrap()).await.refused(406, "not-acceptable");
    server.stop().await;
}

#[tokio::test]
async fn a_job_is_followed_from_its_beginning() {
    let (server, client) = Setup::default().serve().await;
    let id = client.enqueue("sum", json!({ "of": [1] })).await;
    client.ended(&id).await;
    let other = client.enqueue("sum", json!({})).await;
    client.ended(&other).await;
    let mut stream = client.follow(&format!("/api/v1/jobs/{id}/events"), None).await;
    let mut seqs = Vec::new();
    let mut middle = String::new();
    loop {
        let told = stream.next().await.unwrap();
        seqs.push(told.data["jobSeq"].as_u64().unwrap());
        if seqs.len() == 3 {
            middle.clone_from(&told.id);
        }
        if told.event == "job:completed" {
            break;
        }
    }
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    client.post(&format!("/api/v1/jobs/{id}/rerun"), json!({ "fromPhase": "add" })).await.expect(200);
    assert_eq!(stream.next().await.unwrap().event, "job:retried", "it goes on live");
    let page = client.get(&format!("/api/v1/jobs/{id}/events?after={middle}&limit=1")).await.expect(200);
    assert_eq!((&page["events"][0]["jobSeq"], page["events"].as_array().unwrap().len()), (&json!(4), 1));
    let page = client
        .get(&format!("/api/v1/jobs/{id}/events?after={}", page["next"].as_str().unwrap()))
        .await
        .expect(200);
    assert_eq!(page["events"][0]["jobSeq"], 5);
    server.stop().await;
}

#[tokio::test]
async fn a_long_poll_waits_for_the_next_event_and_no_longer() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let empty = client.get("/api/v1/events").await.expect(200);
    assert_eq!(empty["events"], json!([]));
    let after = empty["next"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/events?after={after}&waitMs=30000");
    let waiting = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { client.get(&path).await.expect(200) }
    });
    let id = client.enqueue("sum", json!({})).await;
    let page = waiting.await.unwrap();
    assert_eq!(page["events"][0]["jobId"], id);
    let short =
        client.get(&format!("/api/v1/events?after={}&waitMs=1", page["next"].as_str().unwrap())).await;
    assert_eq!(short.expect(200)["events"], json!([]));
    // A server that stops answers at once, whether it has taken the request in before or after.
    let waiting = client.request(Method::GET, "/api/v1/events?waitMs=30000");
    let waiting = client.send(waiting.body(http_body_util::Full::default()).unwrap());
    let (page, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), waiting), async {
        tokio::task::yield_now().await;
        server.api.drain();
    });
    assert_eq!(page.expect("it does not wait any longer").expect(200)["events"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn a_place_that_is_gone_or_of_another_log_is_told() {
    let retention =
        Retention { events: Keep::for_age(Duration::MAX).at_most(10), ..Retention::KEEP_EVERYTHING };
    let builder = Stepwell::in_memory().retention(retention);
    let (server, client) = Setup { builder, ..Setup::default() }.serve().await;
    for n in 0..10 {
        let id = client.enqueue("sum", json!({ "of": [n] })).await;
        client.ended(&id).await;
    }
    // Retention looks at its start, and then each minute: a second start looks again.
    let page = client.get("/api/v1/events?after=2").await.expect(200);
    if page["gap"]["oldest"].is_u64() {
        let oldest = page["gap"]["oldest"].as_u64().unwrap();
        assert_eq!(page["events"][0]["pos"], oldest);
    }
    let ahead = client.get("/api/v1/events?after=1000000").await.expect(200);
    assert_eq!((&ahead["reset"]["oldest"], &ahead["events"][0]["pos"]), (&json!(1), &json!(1)));
    let foreign = "0af0b1c2-0000-0000-0000-000000000000-5";
    let page = client.get(&format!("/api/v1/events?after={foreign}")).await.expect(200);
    assert_eq!((&page["reset"]["oldest"], &page["events"][0]["pos"]), (&json!(1), &json!(1)));
    let mut stream = client.follow("/api/v1/events", Some(foreign)).await;
    let told = stream.next().await.unwrap();
    assert_eq!((told.event.as_str(), &told.data["oldest"]), ("stream:reset", &json!(1)));
    assert_eq!(stream.next().await.unwrap().data["pos"], 1);
    client.get(&format!("/api/v1/events?after={foreign}&onGap=fail")).await.refused(410, "gone");
    client.get("/api/v1/events?after=3&onGap=fail").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_ticket_opens_one_stream_once() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let reader = client.with(&server.token([Scope::EventsRead], &["mail"]).await);
    let ticket = reader.bare(Method::POST, "/api/v1/events/tickets").await.expect(201)["ticket"]
        .as_str()
        .unwrap()
        .to_owned();
    let browser = Client { token: None, ..client.clone() };
    let path = format!("/api/v1/events?ticket={ticket}");
    let mut stream = browser.follow(&path, None).await;
    for queue in ["other", "mail"] {
        client.post("/api/v1/jobs", json!({ "kind": "sum", "payload": 1, "queue": queue })).await.expect(201);
    }
    assert_eq!(stream.next().await.unwrap().data["queue"], "mail", "it sees what its giver sees");
    browser.get(&path).await.refused(401, "unauthenticated");
    let ticket = reader.bare(Method::POST, "/api/v1/events/tickets").await.expect(201)["ticket"]
        .as_str()
        .unwrap()
        .to_owned();
    browser.get(&format!("/api/v1/jobs?ticket={ticket}")).await.refused(401, "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_lives_says_so_and_ends() {
    let options = |api: stepwell_http::Api| {
        api.heartbeat(Duration::from_millis(100)).stream_age_max(Duration::from_secs(2))
    };
    let (server, client) = Setup { work: false, options, ..Setup::default() }.serve().await;
    let mut stream = client.follow("/api/v1/events?kind=none", None).await;
    client.enqueue("sum", json!({})).await;
    assert!(stream.next().await.is_none(), "it ends by itself, so that its client comes again elsewhere");
    assert!(stream.last.ends_with("-1"), "and resumes after what it did not want: {:?}", stream.last);

    // A token that ends takes its streams with it.
    let token = server.token([Scope::EventsRead], &[]).await;
    let mut stream = client.with(&token).follow("/api/v1/events", None).await;
    client
        .bare(Method::DELETE, &format!("/api/v1/tokens/{}", token.split('_').nth(1).unwrap()))
        .await
        .expect(204);
    assert!(stream.next().await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn streams_have_a_number() {
    let setup = Setup { work: false, options: |api| api.streams_max(2), ..Setup::default() };
    let (server, client) = setup.serve().await;
    let streams = [client.follow("/api/v1/events", None).await, client.follow("/api/v1/events", None).await];
    let request = client.request(Method::GET, "/api/v1/events").header("accept", "text/event-stream");
    let refused = client.send(request.body(http_body_util::Full::default()).unwrap()).await;
    assert!(!refused.header("retry-after").is_empty());
    refused.refused(503, "overloaded");
    drop(streams);
    until("there is room again", async || {
        let request = client.request(Method::GET, "/api/v1/events").header("accept", "text/event-stream");
        client.open(request.body(http_body_util::Full::default()).unwrap()).await.status() == 200
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_stalls_is_cut_and_nobody_else_waits() {
    let limits = Limits { write_patience: Duration::from_secs(1), ..Limits::default() };
    let (server, client) = Setup { limits, work: false, ..Setup::default() }.serve().await;
    let stalled = async || {
        let mut stream = TcpStream::connect(client.address).await.unwrap();
        // A small buffer fills soon.
        socket2::SockRef::from(&stream).set_recv_buffer_size(4 << 10).unwrap();
        let head = format!(
            "GET /api/v1/events?after=0 HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             accept: text/event-stream\r\n\r\n",
            client.address,
            client.token.as_deref().unwrap()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    };
    let mut stalled = [stalled().await, stalled().await];
    let mut reader = client.follow("/api/v1/events", None).await;
    // More than the buffers of both sides hold together.
    let tags: Vec<String> = (0..20).map(|n| format!("{n}{}", "t".repeat(190))).collect();
    let job = json!({ "kind": "k".repeat(200), "queue": "q".repeat(200), "payload": 1, "tags": tags });
    let open = async || {
        let metrics = client.get("/metrics").await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("stepwell_event_streams ")?.parse::<u64>().ok())
            .unwrap()
    };
    assert!(open().await >= 1);
    let mut rounds = 0;
    while open().await > 1 {
        let jobs = vec![job.clone(); 200];
        client.post("/api/v1/jobs/batch", json!({ "jobs": jobs })).await.expect(200);
        for _ in 0..200 {
            reader.next().await.unwrap();
        }
        rounds += 1;
        assert!(rounds < 500, "the readers that do not read are never cut");
    }
    for stream in &mut stalled {
        // What was under way arrives, and then nothing more.
        let mut rest = Vec::new();
        tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.expect("the connection was cut").ok();
    }
    client.post("/api/v1/jobs", job).await.expect(201);
    assert_eq!(reader.next().await.unwrap().event, "job:enqueued");
    server.stop().await;
}

#[tokio::test]
async fn a_snapshot_and_a_stream_after_it_have_no_hole() {
    let (server, client) = Setup::default().serve().await;
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            for n in 0..40 {
                client.enqueue("sum", json!({ "of": [n] })).await;
            }
        }
    });
    until("some are there", async || {
        client.get("/api/v1/jobs").await.expect(200)["data"].as_array().unwrap().len() > 5
    })
    .await;
    let page = client.get("/api/v1/jobs?limit=500").await.expect(200);
    let mut states: std::collections::BTreeMap<String, u64> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| (job["id"].as_str().unwrap().to_owned(), job["nextSeq"].as_u64().unwrap()))
        .collect();
    let mut stream =
        client.follow(&format!("/api/v1/events?after={}", page["page"]["pos"].as_str().unwrap()), None).await;
    let mut ended = page["data"].as_array().unwrap().iter().filter(|job| job["state"] == "completed").count();
    while ended < 40 {
        let Value::Object(event) = stream.next().await.unwrap().data else { unreachable!() };
        let (id, seq) = (event["jobId"].as_str().unwrap().to_owned(), event["jobSeq"].as_u64().unwrap());
        let next = states.entry(id).or_insert(1);
        if seq < *next {
            continue;
        }
        assert_eq!(seq, *next, "{event:?}");
        *next += 1;
        ended += usize::from(event["type"] == "job:completed");
    }
    writer.await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_a_gap_between_two_answers() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("jobs.db");
    let setup = Setup { builder: stepwell::Stepwell::sqlite(&path), work: false, ..Setup::default() };
    let (server, client) = setup.serve().await;
    for _ in 0..4 {
        client.enqueue("sum", json!({})).await;
    }
    let conn = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(conn.execute("UPDATE sw_event SET data = '[' WHERE last_pos IN (2, 4)", []).unwrap(), 2);
    let (mut after, mut told) = ("0".to_owned(), Vec::new());
    for _ in 0..3 {
        let polled = client.get(&format!("/api/v1/events?after={after}")).await.expect(200);
        let found: Vec<u64> =
            polled["events"].as_array().unwrap().iter().map(|event| event["pos"].as_u64().unwrap()).collect();
        told.push((polled["gap"]["oldest"].as_u64(), found));
        polled["next"].as_str().unwrap().clone_into(&mut after);
    }
    assert_eq!(told, [(None, vec![1]), (Some(3), vec![3]), (Some(5), vec![])]);
    assert!(after.ends_with("-4"), "{after}");
    let before_the_gap = after.replace("-4", "-1");
    client.get(&format!("/api/v1/events?after={before_the_gap}&onGap=fail")).await.refused(410, "gone");

    let mut stream = client.follow("/api/v1/events?after=0", None).await;
    let mut types = Vec::new();
    while types.len() < 4 {
        types.push(stream.next().await.unwrap().event);
    }
    assert_eq!(types, ["job:enqueued", "stream:gap", "job:enqueued", "stream:gap"]);
    server.stop().await;
}
