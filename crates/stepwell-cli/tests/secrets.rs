//! Secrets that are told to the real program, in every field that takes one and in fields that take none, are looked
//! for in everything that it says: every answer, every problem, every event, its metrics, its log, what it sends to
//! others, and its file.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

#[path = "secrets/hoard.rs"]
mod hoard;
mod rig;

use std::time::Duration;

use hoard::Hoard;
use hyper::Method;
use rig::{Client, Program, Reply, Sink, Stream, soon, token};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_ever_said_again() {
    let place = tempfile::tempdir().unwrap();
    let mut hoard = Hoard::default();
    // A receiver that repeats all that it is told, and fails at first.
    let sink = Sink::answering(|received| {
        let told: Vec<String> =
            received.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        Reply::Saying(if received.path == "/fails" { 400 } else { 200 }, told.join("\n"))
    })
    .await;
    let options = ["--webhook-allow", "127.0.0.0/8", "--demo"];
    let program = Program::start_talkative(place.path(), &options);
    let admin = token(place.path(), "admin", &["--admin"]);
    hoard.keep("a token", secret_part(&admin));
    let client = Client::new(program.address, &admin);

    let ids = tell_secrets(&client, &sink, &mut hoard).await;
    // What is sent is signed and carries the headers that it was told to; the body carries nothing.
    let received = sink.reaches(4).await;
    for one in &received {
        hoard.look("the body of a webhook", &one.body);
    }
    assert!(received.iter().any(|one| one.header("x-key") == hoard.of("a header")), "{received:?}");
    attempts_are_recorded(&client).await;

    ask_wrongly(&client, &ids, &mut hoard).await;
    let answered = ask_everything(&client, &ids, &mut hoard).await;
    println!("{answered} addresses were read");
    follow(&client, &mut hoard).await;

    let told = program.end().1;
    assert!(told.len() > 1_000, "the log says next to nothing: {told}");
    hoard.look("the log", &told);
    let mut files = 0;
    for file in std::fs::read_dir(place.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        files += 1;
        // Webhooks are signed with secrets that must be kept; tokens are only compared.
        hoard.look_for("a token", "a file", &String::from_utf8_lossy(&bytes));
        hoard.look_for("a token that was asked for", "a file", &String::from_utf8_lossy(&bytes));
    }
    assert!(files > 0);
    let found = hoard.found();
    assert!(found.is_empty(), "secrets were said again:\n{}", found.join("\n"));
}

/// Of a token, what is not its name.
fn secret_part(token: &str) -> &str {
    token.splitn(3, '_').nth(2).unwrap()
}

/// What there is to look at.
struct Ids {
    job: String,
    webhook: String,
    delivery: String,
}

/// Tells secrets in every field that takes one.
async fn tell_secrets(client: &Client, sink: &Sink, hoard: &mut Hoard) -> Ids {
    let asked = json!({ "name": "made", "scopes": ["jobs:read"] });
    let made = client.post("/api/v1/tokens", &asked).await.unwrap().good("a token");
    hoard.keep("a token that was asked for", secret_part(made["secret"].as_str().unwrap()));
    let ticket = client.post("/api/v1/events/tickets", &json!({})).await.unwrap().good("a ticket");
    hoard.keep("a ticket", ticket["ticket"].as_str().unwrap());

    let whsec = |hoard: &mut Hoard, what| hoard.make_secret(what);
    let given = whsec(hoard, "an endpoint's secret");
    let header = hoard.make("a header");
    let bearer = hoard.make("a bearer header");
    let headers = json!({ "x-key": header, "authorization": format!("Bearer {bearer}") });
    let asked = json!({ "url": sink.url("/hook"), "secret": given, "headers": headers });
    let endpoint = client.post("/api/v1/webhooks", &asked).await.unwrap();
    hoard.look("an endpoint that was made", &endpoint.body);
    let webhook = endpoint.good("an endpoint")["webhook"]["id"].as_str().unwrap().to_owned();

    let own = whsec(hoard, "the secret of a job's webhook");
    let hook = |path: &str, secret: &str| json!({ "url": sink.url(path), "secret": secret });
    let new = json!({ "kind": "demo.steps", "payload": { "failures": 1 }, "webhook": hook("/own", &own) });
    let first = client.post("/api/v1/jobs", &new).await.unwrap();
    hoard.look("a job that was made", &first.body);
    let job = first.good("a job")["id"].as_str().unwrap().to_owned();
    let batched = whsec(hoard, "the secret of a batched job's webhook");
    let new =
        json!({ "kind": "demo.steps", "payload": { "fails": true }, "webhook": hook("/fails", &batched) });
    let batch = client.post("/api/v1/jobs/batch", &json!({ "jobs": [new] })).await.unwrap();
    hoard.look("a batch", &batch.body);
    batch.good("a batch");

    // Both jobs have been told of with the first secret; then there are others.
    sink.reaches(4).await;
    let (rotated, changed) =
        (whsec(hoard, "a secret that came later"), hoard.make("a header that came later"));
    let at = |rest: &str| format!("/api/v1/webhooks/{webhook}{rest}");
    let answers = [
        client.post(&at("/rotate-secret"), &json!({ "secret": rotated })).await,
        client.ask(Method::PATCH, &at(""), &[], Some(&json!({ "headers": { "x-key": changed } }))).await,
        client.post(&at("/test"), &json!({})).await,
        client.post(&at("/disable"), &json!({})).await,
        client.post(&at("/enable"), &json!({})).await,
    ];
    for answer in answers {
        let answer = answer.unwrap();
        hoard.look("an endpoint that was changed", &answer.body);
        answer.good("a change");
    }
    let deliveries = client.get("/api/v1/deliveries").await.unwrap().good("the deliveries");
    let delivery = deliveries["data"][0]["id"].as_str().unwrap().to_owned();
    Ids { job, webhook, delivery }
}

/// Waits until it is known of every attempt how it went, with what the receiver said.
async fn attempts_are_recorded(client: &Client) {
    let all = async {
        loop {
            let deliveries = client.get("/api/v1/deliveries").await.unwrap().good("the deliveries");
            let waits = |one: &&Value| one["attempts"].as_u64() == Some(0) || one["state"] == "sending";
            if !deliveries["data"].as_array().unwrap().iter().any(|one| waits(&one)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("every attempt", all).await;
}

/// Tells secrets where they do not belong, or in a form that is refused.
async fn ask_wrongly(client: &Client, ids: &Ids, hoard: &mut Hoard) {
    let url = "http://127.0.0.1:9/nobody";
    let stray = hoard.make("a secret that is refused");
    let long = format!("whsec_{}", hoard.make("a secret that is too long").repeat(10));
    let webhook = |body: Value| ("/api/v1/webhooks".to_owned(), body);
    let own = |webhook: Value| {
        ("/api/v1/jobs".to_owned(), json!({ "kind": "a", "payload": 1, "webhook": webhook }))
    };
    let rotate = |body: Value| (format!("/api/v1/webhooks/{}/rotate-secret", ids.webhook), body);
    let wrong = [
        webhook(json!({ "url": url, "secret": stray })),
        webhook(json!({ "url": url, "secret": format!("whsec_{stray}") })),
        webhook(json!({ "url": url, "secret": long })),
        webhook(json!({ "url": url, "secret": [stray] })),
        webhook(json!({ "url": url, "secret": { "is": stray } })),
        webhook(json!({ "url": url, "secrets": stray })),
        webhook(json!({ "url": url, "headers": stray })),
        webhook(json!({ "url": url, "headers": [stray] })),
        webhook(json!({ "url": url, "headers": { "a": [stray] } })),
        webhook(json!({ "url": url, "headers": { "a": format!("{stray}\n") } })),
        webhook(json!({ "url": url, "headers": { "bad name": stray } })),
        webhook(json!({ "url": url, "headers": { "host": stray } })),
        webhook(json!({ "url": format!("http://user:{stray}@127.0.0.1:9/") })),
        webhook(json!({ "url": url, "enabled": stray })),
        webhook(json!(stray)),
        webhook(json!([stray])),
        own(json!({ "url": url, "secret": stray })),
        own(json!({ "url": url, "secret": long })),
        own(json!({ "url": url, "secret": [stray] })),
        own(json!(stray)),
        rotate(json!({ "secret": stray })),
        rotate(json!({ "secret": [stray] })),
        rotate(json!({ "overlapMs": stray })),
        rotate(json!(stray)),
    ];
    for (path, body) in wrong {
        let answer = client.post(&path, &body).await.unwrap();
        assert!(answer.status.is_client_error(), "{path} took {body}: {answer:?}");
        hoard.look(&format!("{path} when told {body}"), &answer.body);
    }
    let as_whom = |token: String| Client { token, ..client.clone() };
    for token in [stray.clone(), format!("sw_{stray}"), format!("sw_0123456789abcdef_{stray}")] {
        let answer = as_whom(token).get("/api/v1/jobs").await.unwrap();
        assert_eq!(answer.status, 401, "{answer:?}");
        hoard.look("a wrong token", &answer.body);
    }
    let nobody = as_whom(String::new());
    for (path, headers) in [
        (format!("/api/v1/events?ticket={stray}"), vec![]),
        ("/api/v1/jobs".to_owned(), vec![("authorization", format!("Basic {stray}"))]),
        ("/api/v1/jobs".to_owned(), vec![("cookie", format!("session={stray}"))]),
        ("/api/v1/jobs".to_owned(), vec![("host", stray.clone())]),
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = nobody.ask(Method::GET, &path, &headers, None).await.unwrap();
        assert!(answer.status.is_client_error(), "{answer:?}");
        hoard.look(&format!("{path} with {headers:?}"), &answer.body);
        hoard.look("its headers", &format!("{:?}", answer.headers));
    }
}

/// Reads every address of the description. Answers with how many there are.
async fn ask_everything(client: &Client, ids: &Ids, hoard: &mut Hoard) -> usize {
    let description = client.get("/api/v1/openapi.json").await.unwrap().json();
    let mut read = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        if operations.get("get").is_none() {
            continue;
        }
        let id = match path.split('/').nth(3) {
            Some("jobs") => &ids.job,
            Some("webhooks") => &ids.webhook,
            Some("deliveries") => &ids.delivery,
            // That something does not exist is an answer, too.
            _ => "none",
        };
        let name = if path.contains("/kinds/") { "demo.steps" } else { "default" };
        let path = path.replace("{id}", id).replace("{name}", name).replace("{phase}", "work");
        let path = path.replace("{code}", "validation");
        let is_known = id != "none" && !path.contains('{');
        let path = if path.ends_with("/events") { format!("{path}?after=0&limit=1000") } else { path };
        let answer = client.get(&path).await.unwrap();
        assert!(answer.status.is_success() || !is_known, "{path}: {answer:?}");
        hoard.look(&path, &answer.body);
        hoard.look(&path, &format!("{:?}", answer.headers));
        read += 1;
    }
    assert!(read > 20, "only {read} addresses were found");
    read
}

/// Follows all events as a stream.
async fn follow(client: &Client, hoard: &mut Hoard) {
    let page = client.get("/api/v1/events").await.unwrap().good("the events");
    let end = page["next"].as_str().unwrap().to_owned();
    let events = client.get("/api/v1/events?after=0&limit=1000").await.unwrap().good("the events");
    let last = events["events"].as_array().unwrap().last().unwrap()["pos"].as_u64().unwrap();
    let mut stream = Stream::open(client, "/api/v1/events?after=0", "").await.unwrap();
    loop {
        let frame = soon(&end, stream.next()).await.unwrap().unwrap();
        hoard.look("a stream", &format!("{frame:?}"));
        if frame.json()["pos"].as_u64() == Some(last) {
            return;
        }
    }
}
