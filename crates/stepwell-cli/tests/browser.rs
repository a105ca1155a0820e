//! A real browser's own `EventSource` follows the events through a real nginx, while first nginx and then the server
//! is killed and started again. It sees each event once and in order: with its own means alone where the proxy lets it
//! in, and with the script of the guide where a ticket does.
//!
//! Run it with `cargo xtask proof browser`. It needs nginx and Chromium, and installs them with apt where it may.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;
#[path = "browser/tools.rs"]
mod tools;

use rig::{Client, Program, Received, Reply, Sink, token};
use serde_json::{Value, json};
use tools::{Browser, Nginx, free_port};

/// Events between two ends of a connection.
const EVENTS: usize = 60;
const PAGE: &str = include_str!("browser/page.html");
const GUIDE_PAGE: &str = include_str!("browser/guide.html");
const GUIDE: &str = include_str!("../../../docs/live-updates.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sees_each_event_once_through_a_proxy_that_is_killed() {
    each_event_is_seen_once(PAGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_of_the_guide_goes_on_with_a_new_ticket() {
    let script = GUIDE.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    // In a page it is no module of its own.
    each_event_is_seen_once(&GUIDE_PAGE.replace("{script}", &script.replace("export function", "function")))
        .await;
}

async fn each_event_is_seen_once(page: &str) {
    tools::install();
    let place = tempfile::tempdir().unwrap();
    // What the page tells.
    let sink = Sink::answering(|_| Reply::Status(204)).await;
    let port = free_port();
    let name = format!("127.0.0.1:{port}");
    let options = ["--requests-per-minute", "0", "--host", name.as_str()];
    let program = Program::start(place.path(), &options);
    let address = program.address.to_string();
    let token = token(place.path(), "browser", &["--admin"]);
    let client = Client::new(program.address, &token);
    std::fs::create_dir(place.path().join("pages")).unwrap();
    std::fs::write(place.path().join("pages/index.html"), page).unwrap();

    let nginx = Nginx::start(place.path(), port, &address, &token, &sink.address.to_string()).await;
    let browser = Browser::open(place.path(), &format!("http://{name}/"));
    publish(&client, "first").await;
    sees(&sink, 1, EVENTS).await;

    // What happens while the proxy is gone is told when it is back.
    nginx.kill();
    publish(&client, "second").await;
    let nginx = Nginx::start(place.path(), port, &address, &token, &sink.address.to_string()).await;
    publish(&client, "third").await;
    sees(&sink, 2, 3 * EVENTS).await;

    // The server dies while the browser reads: nobody waits until it has seen these.
    publish(&client, "fourth").await;
    program.kill();
    let program = Program::start_at(place.path(), &address, &options);
    publish(&client, "last").await;
    let end = head(&client).await;
    enqueue(&client, "end").await;
    let told = sink.holds(|received| received.iter().any(is_whole)).await;
    let whole = told.iter().find(|one| is_whole(one)).map(|one| serde_json::from_str(&one.body).unwrap());
    let whole: Value = whole.unwrap();
    let seen: Vec<u64> = whole["seen"].as_array().unwrap().iter().map(|pos| pos.as_u64().unwrap()).collect();
    let all: Vec<u64> = (1..=end + 1).collect();
    assert!(seen == all, "it did not see each of {end} events once and in order: {whole}");
    let opened = whole["opened"].as_u64().unwrap();
    assert!(opened >= 3, "the stream was opened only {opened} times");
    println!(
        "{} events over {opened} connections of {}, each once and in order",
        seen.len(),
        whole["browser"]
    );
    drop((browser, nginx));
    assert_eq!(program.end().0, Some(0));
}

fn is_whole(received: &Received) -> bool {
    received.path == "/report/whole"
}

/// Waits until the page has seen so much, over so many connections.
async fn sees(sink: &Sink, opened: u64, events: usize) {
    let reached = |one: &Received| {
        let told: Value = serde_json::from_str(&one.body).unwrap();
        let seen = told["seen"].as_u64().unwrap_or(0);
        one.path == "/report/so-far" && told["opened"].as_u64() >= Some(opened) && seen >= events as u64
    };
    sink.holds(|received| received.iter().any(reached)).await;
}

/// A job that nobody works: one event.
async fn enqueue(client: &Client, tag: &str) {
    let new = json!({ "kind": "browser", "payload": null, "tags": [tag] });
    client.post("/api/v1/jobs", &new).await.unwrap().good("a job");
}

async fn publish(client: &Client, tag: &str) {
    for _ in 0..EVENTS {
        enqueue(client, tag).await;
    }
}

/// The place of the last event.
async fn head(client: &Client) -> u64 {
    let page = client.get("/api/v1/events").await.unwrap().good("the events");
    page["next"].as_str().unwrap().rsplit_once('-').unwrap().1.parse().unwrap()
}
