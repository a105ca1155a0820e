//! The guides about the API: each of their commands is run, in order, against a real server.

use std::collections::HashMap;

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    client::{Client, Reply},
    receiver::{Receiver, in_memory},
    server::{Setup, until},
};

const HTTP_API: &str = include_str!("../../../../docs/http-api.md");
const LIVE_UPDATES: &str = include_str!("../../../../docs/live-updates.md");
const WEBHOOKS: &str = include_str!("../../../../docs/webhooks.md");

/// A `curl` command, as far as the guides use it.
struct Curl {
    text: String,
    method: Option<Method>,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
}

/// The commands of a guide, their variables not yet filled in.
fn commands(guide: &str) -> Vec<String> {
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in blocks.flat_map(str::lines) {
        match open {
            true => found.last_mut().unwrap().push_str(&format!("\n{line}")),
            false if line.starts_with("curl ") => found.push(line.to_owned()),
            false => continue,
        }
        let last = found.last().unwrap();
        open = last.ends_with('\\') || last.matches('\'').count() % 2 == 1;
    }
    found
}

/// The words of a command as a shell reads them.
fn words(command: &str, variables: &HashMap<&str, String>) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = command.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(mark), _) if letter == mark => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => _ = letters.next(),
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\n') => words.extend(word.take()),
            (None | Some('"'), '$') => {
                let mut name = String::new();
                while let Some(letter) = letters.next_if(char::is_ascii_uppercase) {
                    name.push(letter);
                }
                let value = variables.get(name.as_str()).unwrap_or_else(|| panic!("${name}: {command}"));
                word.get_or_insert_default().push_str(value);
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert!(quote.is_none(), "a quote is left open: {command}");
    words.extend(word);
    words
}

impl Curl {
    fn read(command: &str, variables: &HashMap<&str, String>) -> Self {
        let mut curl = Self {
            text: command.to_owned(),
            method: None,
            url: String::new(),
            headers: Vec::new(),
            body: None,
        };
        let mut words = words(command, variables).into_iter().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "-X" => curl.method = Some(words.next().unwrap().parse().unwrap()),
                "-H" => {
                    let header = words.next().unwrap();
                    let (name, value) = header.split_once(": ").unwrap();
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                "-d" => curl.body = words.next(),
                "-N" => {}
                _ => {
                    assert!(!word.starts_with('-') && curl.url.is_empty(), "{command}");
                    curl.url = word;
                }
            }
        }
        curl
    }
    /// Sends it as `curl` does. Of a stream only the head is looked at.
    async fn run(self, client: &Client) -> Value {
        let default = if self.body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder().method(self.method.unwrap_or(default)).uri(&self.url);
        request = request.header("host", client.address.to_string());
        let mut is_stream = false;
        for (name, value) in &self.headers {
            is_stream |= value == "text/event-stream";
            request = request.header(name, value);
        }
        if let Some(token) = client.token.as_ref().filter(|_| !self.text.contains("authorization")) {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::from(self.body.unwrap_or_default())).unwrap();
        if is_stream {
            let response = client.open(request).await;
            assert_eq!(
                (response.status().as_u16(), &response.headers()["content-type"]),
                (200, &"text/event-stream".parse().unwrap())
            );
            return Value::Null;
        }
        let reply: Reply = client.send(request).await;
        assert!(reply.status.is_success(), "{}\n{reply:?}", self.text);
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }
}

fn variables(client: &Client) -> HashMap<&'static str, String> {
    let api = format!("http://{}/api/v1", client.address);
    HashMap::from([("API", api), ("TOKEN", client.token.clone().unwrap())])
}

/// The guide speaks of the kind that `serve --demo` works; here another one stands for it.
fn on_our_kind(command: &str) -> String {
    let command = command.replace("demo.steps", "sum").replace(r#"{"failures": 1}"#, r#"{"of": [1]}"#);
    let failing = r#"{"fail": "it was told to"}"#;
    command.replace(r#"{"fails": true}"#, failing).replace(r#""fromPhase": "work""#, r#""fromPhase": "add""#)
}

#[tokio::test]
async fn the_guide_to_the_api() {
    let (server, client) = Setup::default().serve().await;
    let mut variables = variables(&client);
    let commands = commands(HTTP_API);
    assert!(commands.len() >= 26, "{commands:#?}");
    for command in &commands {
        let answer = Curl::read(&on_our_kind(command), &variables).run(&client).await;
        if command.contains("\"failures\": 1") {
            variables.insert("ID", answer["id"].as_str().unwrap().to_owned());
        }
        if command.contains("jobs/batch") {
            assert_eq!(answer["created"], 2, "{answer}");
        }
        if command.contains("dryRun") {
            assert!(answer["matched"].is_u64() && answer["sample"].is_array(), "{answer}");
        } else if command.contains("\"action\"") {
            variables.insert("BULK", answer["id"].as_str().unwrap().to_owned());
        }
    }
    // It was completed, run again with a payload that fails, retried, and cancelled unless it was faster.
    let job = client.get(&format!("/api/v1/jobs/{}", variables["ID"])).await.expect(200);
    assert!(job["run"].as_u64() >= Some(3), "{job}");
    let queue = client.get("/api/v1/queues/default").await.expect(200);
    assert_eq!(queue["paused"], false);
    server.stop().await;
}

#[tokio::test]
async fn the_guide_to_live_updates() {
    let (server, client) = Setup::default().serve().await;
    let mut variables = variables(&client);
    variables.insert("NEXT", "0".to_owned());
    client.enqueue("sum", json!({ "of": [1] })).await;
    let commands = commands(LIVE_UPDATES);
    assert!(commands.len() >= 3, "{commands:#?}");
    for command in &commands {
        let answer = Curl::read(command, &variables).run(&client).await;
        if command.contains("tickets") {
            assert!(answer["ticket"].is_string(), "{answer}");
        }
        if command.contains("waitMs") {
            assert!(answer["events"][0]["pos"] == 1 && answer["next"].is_string(), "{answer}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_guide_to_webhooks() {
    let (server, client) = Setup { builder: in_memory(), ..Setup::default() }.serve().await;
    let receiver = Receiver::answering(410).await;
    let mut variables = variables(&client);
    let commands = commands(WEBHOOKS);
    assert!(commands.len() >= 9, "{commands:#?}");
    for command in &commands {
        // What it sends to is here, and refuses, so that there are dead letters.
        let command = command.replace("https://hooks.example/stepwell", &receiver.url);
        let answer = Curl::read(&command, &variables).run(&client).await;
        if let Some(id) = answer["webhook"]["id"].as_str().filter(|_| command.contains(&receiver.url)) {
            assert!(answer["secret"].is_string(), "{answer}");
            variables.insert("ID", id.to_owned());
        }
        if command.contains("/test\"") {
            let failed = async || {
                !client.get("/api/v1/deliveries?state=failed").await.expect(200)["data"][0].is_null()
            };
            until("it is given up", failed).await;
            let failed = client.get("/api/v1/deliveries?state=failed").await.expect(200);
            variables.insert("DELIVERY", failed["data"][0]["id"].as_str().unwrap().to_owned());
        }
        if command.contains("rotate-secret") {
            assert!(answer["secret"].as_str().unwrap().starts_with("whsec_"));
        }
    }
    server.stop().await;
}
