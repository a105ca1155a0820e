//! Whether others can verify what is sent: real deliveries of the real program are held against the Python library of
//! Standard Webhooks, with one key, with two while keys are changed, and tampered with.
//!
//! Run it with `cargo xtask proof signatures`. It needs Python, and installs the library from PyPI.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::process::Stdio;

use rig::{Client, Program, Python, Received, Reply, Sink, token};
use serde_json::{Value, json};

/// The deliveries come as JSON lines; so do the answers, one for each key: whether it verifies.
const VERIFY: &str = include_str!("signatures/verify.py");
const LIBRARY: &str = "standardwebhooks==1.1.0";
/// Of a job's own webhook.
const OWN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STRANGE: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_verify_what_is_sent_and_refuse_what_is_not() {
    let python = Python::with("signatures", &[LIBRARY]);
    let place = tempfile::tempdir().unwrap();
    let sink = Sink::answering(|_| Reply::Status(204)).await;
    let program = Program::start(place.path(), &["--webhook-allow", "127.0.0.0/8", "--demo"]);
    let client = Client::new(program.address, &token(place.path(), "signatures", &["--admin"]));

    let endpoint = json!({ "url": sink.url("/endpoint") });
    let made = client.post("/api/v1/webhooks", &endpoint).await.unwrap().good("the endpoint");
    let first = secret_of(&made);
    let own = json!({ "url": sink.url("/own"), "secret": OWN });
    enqueue(&client, json!({ "webhook": own })).await;
    let received = sink.reaches(2).await;
    let at =
        |path: &str, received: &[Received]| received.iter().rfind(|one| one.path == path).unwrap().clone();
    let (told, own) = (at("/endpoint", &received), at("/own", &received));

    let id = id_of(&made);
    let rotate = format!("/api/v1/webhooks/{id}/rotate-secret");
    let second = secret_of(&client.post(&rotate, &json!({})).await.unwrap().good("another secret"));
    let third = secret_of(&client.post(&rotate, &json!({})).await.unwrap().good("another secret"));
    assert!(first != second && second != third);
    enqueue(&client, json!({})).await;
    let rotated = at("/endpoint", &sink.reaches(3).await);

    let tampered = |change: &dyn Fn(&mut Received)| {
        let mut changed = told.clone();
        change(&mut changed);
        changed
    };
    let set = |name: &'static str, value: &'static str| {
        tampered(&|changed| _ = changed.headers.insert(name.into(), value.into()))
    };
    let cases = [
        ("as it came", told.clone(), &first, true),
        ("with a strange key", told.clone(), &STRANGE.to_owned(), false),
        ("of a job's own webhook", own.clone(), &OWN.to_owned(), true),
        ("of a job's own webhook, with the endpoint's key", own, &first, false),
        ("signed by the newest key", rotated.clone(), &third, true),
        ("signed by the key before it", rotated.clone(), &second, true),
        ("signed by the key before that", rotated.clone(), &first, true),
        ("signed by no such key", rotated, &STRANGE.to_owned(), false),
        ("with a byte more", tampered(&|changed| changed.body.push(' ')), &first, false),
        (
            "of another job",
            tampered(&|changed| changed.body = changed.body.replacen('1', "2", 1)),
            &first,
            false,
        ),
        ("under another id", set("webhook-id", "another"), &first, false),
        ("at another time", set("webhook-timestamp", "1700000000"), &first, false),
        ("without a signature", set("webhook-signature", ""), &first, false),
        ("with a signature of another scheme", set("webhook-signature", "v2,AAAA"), &first, false),
    ];
    let asked: String = cases
        .iter()
        .map(|(_, one, secret, _)| {
            json!({ "headers": one.headers, "body": one.body, "secret": secret }).to_string() + "\n"
        })
        .collect();
    let answers = ask(&python, &asked).await;
    assert_eq!(answers.len(), cases.len(), "{answers:?}");
    for ((what, one, _, expected), answer) in cases.iter().zip(answers) {
        assert_eq!(answer == "verified", *expected, "{what}: {answer}: {one:?}");
        println!("{what}: {answer}");
    }
    assert_eq!(program.end().0, Some(0));
}

async fn enqueue(client: &Client, more: Value) {
    let mut new = json!({ "kind": "demo.steps", "payload": {} });
    new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.post("/api/v1/jobs", &new).await.unwrap().good("a job");
}

fn secret_of(answer: &Value) -> String {
    answer["secret"].as_str().unwrap_or_else(|| panic!("no secret is shown: {answer}")).to_owned()
}

fn id_of(answer: &Value) -> String {
    let endpoint = answer.get("webhook").unwrap_or(answer);
    endpoint["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

/// Asks the library.
async fn ask(python: &Python, lines: &str) -> Vec<String> {
    use tokio::io::AsyncWriteExt;

    let mut command = python.program("python");
    command.args(["-c", VERIFY]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
