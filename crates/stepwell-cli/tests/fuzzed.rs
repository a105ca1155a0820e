//! Whether the API keeps to its description, whatever it is asked: Schemathesis asks it, as an administrator, with a
//! token that may only read, and without a token. What the last two ask for must change nothing.
//!
//! Run it with `cargo xtask proof fuzzed`. It needs Python, and installs Schemathesis from PyPI.
//! `STEPWELL_FUZZED_EXAMPLES` sets how many requests each operation gets, and `STEPWELL_FUZZED_SEED` which.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod rig;

use std::{collections::BTreeMap, path::Path, time::Duration};

use rig::{Client, Program, Python, setting, token};
use serde_json::{Value, json};

const PACKAGE: &str = "schemathesis==4.32.5";
/// What Schemathesis is told, beside the token.
const SETTINGS: &str = include_str!("fuzzed/schemathesis.toml");
/// The start of a description, which the server gives out itself.
const DESCRIPTION: &str = "/api/v1/openapi.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_to_its_description_whoever_asks() {
    let python = Python::with("fuzzed", &[PACKAGE]);
    let place = tempfile::tempdir().unwrap();
    let options = ["--demo", "--requests-per-minute", "0", "--webhook-allow", "127.0.0.0/8"];
    let program = Program::start(place.path(), &options);
    let admin = Client::new(program.address, &token(place.path(), "admin", &["--admin"]));
    let reader = token(place.path(), "reader", &["--read-only"]);
    let known = furnish(&admin).await;

    // Both guess at first what there is, and then know it.
    let aims = [Vec::new(), known.aims()];
    for ((who, token), aims) in [("nobody", ""), ("a reader", reader.as_str())]
        .iter()
        .flat_map(|who| aims.iter().map(move |aims| (who, aims)))
    {
        let before = snapshot(&admin, &known).await;
        fuzz(&python, place.path(), &program, (who, token), aims).await;
        let after = snapshot(&admin, &known).await;
        for (path, answer) in &before {
            assert_eq!(answer, &after[path], "{who} changed what {path} answers");
        }
        println!("{who} changed none of {} answers, knowing {}", before.len(), aims.len());
    }
    // A change that is there to be seen is seen.
    let before = snapshot(&admin, &known).await;
    admin.post("/api/v1/queues/default/pause", &json!({})).await.unwrap().good("a pause");
    assert_ne!(before, snapshot(&admin, &known).await);
    admin.post("/api/v1/queues/default/resume", &json!({})).await.unwrap().good("an end of the pause");

    fuzz(&python, place.path(), &program, ("an administrator", &admin.token), &[]).await;
    assert!(admin.get("/readyz").await.unwrap().status.is_success());
    let (code, told) = program.end();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("panicked"), "{told}");
}

/// What there is to be changed.
struct Known {
    /// A job that has ended.
    job: String,
    webhook: String,
    token: String,
}

impl Known {
    /// Where each of them is an id.
    fn aims(&self) -> Vec<(&'static str, &str)> {
        vec![("jobs", &self.job), ("webhooks", &self.webhook), ("tokens", &self.token)]
    }
}

/// Something of everything, so that there is something to change.
async fn furnish(client: &Client) -> Known {
    let new = |more: Value| {
        let mut new = json!({ "kind": "demo.steps", "payload": {}, "tags": ["furniture"] });
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        new
    };
    let endpoint = json!({ "url": "http://127.0.0.1:9/nobody", "events": ["job:cancelled"] });
    let made = client.post("/api/v1/webhooks", &endpoint).await.unwrap().good("an endpoint");
    let webhook = made["webhook"]["id"].as_str().unwrap().to_owned();
    let tokens = client.get("/api/v1/tokens").await.unwrap().good("the tokens");
    let token = tokens["data"][0]["id"].as_str().unwrap().to_owned();
    let waits = json!({ "delayMs": 86_400_000, "uniqueKey": "waits" });
    client.post("/api/v1/jobs", &new(waits)).await.unwrap().good("a job that waits");
    client.post("/api/v1/jobs", &json!({ "kind": "unknown", "payload": 1 })).await.unwrap().good("a job");
    let mut ended = String::new();
    for payload in [json!({ "fails": true }), json!({})] {
        let made =
            client.post("/api/v1/jobs", &new(json!({ "payload": payload }))).await.unwrap().good("a job");
        made["id"].as_str().unwrap().clone_into(&mut ended);
        let path = format!("/api/v1/jobs/{ended}?waitMs=30000");
        let job = client.get(&path).await.unwrap().good("the job");
        assert!(job["state"] == "failed" || job["state"] == "completed", "{job}");
    }
    Known { job: ended, webhook, token }
}

/// What every `GET` answers that has no effect of its own.
async fn snapshot(client: &Client, known: &Known) -> BTreeMap<String, Value> {
    let description = client.get(DESCRIPTION).await.unwrap().json();
    let mut answers = BTreeMap::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        let mut path = path.replace("{name}", "default");
        for (resource, id) in known.aims() {
            path = path.replace(&format!("/{resource}/{{id}}"), &format!("/{resource}/{id}"));
        }
        // What is asked for is counted there, and a series moves on with the time.
        let moves = path == "/metrics" || path.ends_with("/stats/series");
        if operations.get("get").is_none() || moves || path.contains('{') {
            continue;
        }
        let path = if path.ends_with("/events") { format!("{path}?after=0&limit=1000") } else { path };
        let answer = client.get(&path).await.unwrap();
        let mut body = serde_json::from_str(&answer.body).unwrap_or(Value::String(answer.body));
        steady(&mut body);
        if path.ends_with("/stats") {
            // The time of the request.
            body.as_object_mut().and_then(|members| members.remove("at"));
        }
        answers.insert(path, body);
    }
    answers
}

/// Leaves out what each request changes by being one.
fn steady(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !matches!(name.as_str(), "lastUsedAt" | "requestId"));
            members.values_mut().for_each(steady);
        }
        Value::Array(items) => items.iter_mut().for_each(steady),
        _ => {}
    }
}

/// Lets Schemathesis ask, with these ids of resources if there are any, and fails if it finds anything.
async fn fuzz(
    python: &Python,
    place: &Path,
    program: &Program,
    (who, token): (&str, &str),
    aims: &[(&str, &str)],
) {
    let mut settings = SETTINGS.to_owned();
    if !token.is_empty() {
        settings.push_str(&format!("\n[auth.openapi.token]\nbearer = \"{token}\"\n"));
    }
    for (resource, id) in aims {
        let paths = format!("include-path-regex = '^/api/v1/{resource}/\\{{id\\}}'");
        settings.push_str(&format!("\n[[operations]]\n{paths}\nparameters = {{ \"path.id\" = \"{id}\" }}\n"));
    }
    let file = place.join("schemathesis.toml");
    std::fs::write(&file, settings).unwrap();
    let examples = setting("STEPWELL_FUZZED_EXAMPLES", 30).to_string();
    let seed = setting("STEPWELL_FUZZED_SEED", 1).to_string();
    println!("Schemathesis asks as {who}: {examples} requests for each operation, seed {seed}");
    let mut command = python.program("schemathesis");
    command.arg("--config-file").arg(&file).args(["run", &program.url(DESCRIPTION)]).current_dir(place);
    command.args(["--checks", "all", "--max-examples", &examples, "--seed", &seed, "--no-color"]);
    // Long polls may wait for half a minute.
    command.args(["--request-timeout", "40", "--max-response-time", "40"]);
    let run = tokio::process::Command::from(command).status();
    let status = tokio::time::timeout(Duration::from_secs(4 * 3_600), run).await.unwrap().unwrap();
    assert!(status.success(), "Schemathesis found something as {who} ({status}); what it was stands above");
}
