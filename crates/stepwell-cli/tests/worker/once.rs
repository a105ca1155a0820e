//! Workers that end when nothing is left to do.

use std::process::Output;

use serde_json::json;

use crate::{
    serving::{Serving, body},
    working::{Place, command, enqueue, finished},
};

/// Two phases in two queues, of which the second fails once, and a kind that fails for good.
const KINDS: &str = r#"
[[kinds.k.phases]]
name = "one"
run = ["true"]
[[kinds.k.phases]]
name = "two"
queue = "second"
run = ["sh", "-c", "[ $STEPWELL_ATTEMPT = 2 ]"]
retry = { delays = ["50ms"] }
[[kinds.fails.phases]]
name = "p"
run = ["false"]
retry = { attempts = 1 }
"#;

fn once(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        command(place, &[&["--once"], arguments].concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

fn ends_with_the_work(serving: &Serving, arguments: &[&str]) {
    let place = Place::with(KINDS);
    let (code, said, told) = once(&place, arguments);
    assert!(code == Some(0) && said.contains("nothing is left to do"), "{code:?} {said} {told}");

    let ids: Vec<String> = (0..3).map(|n| enqueue(serving, "k", &json!(n), "")).collect();
    let later = json!({ "kind": "k", "payload": {}, "delayMs": 3_600_000 }).to_string();
    let later = body(&serving.ask("POST", "/api/v1/jobs", "", &later))["id"].as_str().unwrap().to_owned();
    let (code, said, told) = once(&place, arguments);
    assert!(code == Some(0) && said.contains("the next job is due in 3"), "{code:?} {said} {told}");
    let state = |id: &str| body(&serving.ask("GET", &format!("/api/v1/jobs/{id}"), "", ""))["state"].clone();
    assert!(ids.iter().all(|id| state(id) == "completed") && state(&later) == "pending");

    // Of queues that are not named nothing is taken.
    let id = enqueue(serving, "k", &json!({}), "");
    let (code, said, _) = once(&place, &[arguments, &["--queue", "second", "--json"]].concat());
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (code, &lines[0]["type"], &lines[0]["queues"]),
        (Some(0), &json!("worker:working"), &json!(["second"]))
    );
    assert_eq!((&lines[1]["type"], state(&id)), (&json!("worker:idle"), json!("pending")), "{said}");
    assert_eq!(once(&place, arguments).0, Some(0));
    assert_eq!(state(&id), "completed");

    let id = enqueue(serving, "fails", &json!({}), "");
    let (code, said, told) = once(&place, arguments);
    assert_eq!(code, Some(10), "{said} {told}");
    assert_eq!(finished(serving, &id, "")["state"], "failed");
}

#[test]
fn it_ends_when_nothing_is_left_for_it_to_do_and_says_whether_a_job_failed() {
    let server = Place::new();
    let serving = Serving::start(server.path(), &["--insecure-no-auth"]);
    ends_with_the_work(&serving, &["--server", &serving.url()]);
    let store = format!("sqlite:{}", server.path().join("app.db").display());
    ends_with_the_work(&serving, &["--store", &store]);
    assert_eq!(serving.end("-TERM").0, Some(0));
}
