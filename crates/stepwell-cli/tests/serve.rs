//! `stepwell serve` and `stepwell tokens` as a user runs them: the real binary, a real file.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod serving;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use serving::{SLOW_BODY, Serving, body, ended, stepwell, until};
use tempfile::TempDir;

fn place() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_token_is_made_used_and_revoked_and_sigterm_ends_it_in_order() {
    let place = place();
    let serving = Serving::start(place.path(), &[]);
    let (code, token, _) =
        ended(place.path(), &["tokens", "create", "ci", "--store", "sqlite:app.db", "--admin"]);
    assert!(code == 0 && token.starts_with("sw_"), "{token}");
    let token = token.trim();
    let new = r#"{"kind":"mail","payload":{"to":"ana"}}"#;
    let answer = serving.ask("POST", "/api/v1/jobs", token, new);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert!(serving.ask("POST", "/api/v1/jobs", "", new).starts_with("HTTP/1.1 401 "));

    let (_, list, _) = ended(place.path(), &["tokens", "list", "--store", "sqlite:app.db"]);
    // The secret itself may hold an underscore.
    let secret = token.splitn(3, '_').nth(2).unwrap();
    assert!(list.contains("\tci\tadmin\tall\t") && !list.contains(secret), "{list}");
    let (_, list, _) = ended(place.path(), &["tokens", "list", "--store", "sqlite:app.db", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let id = list[0]["id"].as_str().unwrap();
    assert_eq!(ended(place.path(), &["tokens", "revoke", id, "--store", "sqlite:app.db"]).0, 0);
    let (code, _, told) = ended(place.path(), &["tokens", "revoke", id, "--store", "sqlite:app.db"]);
    assert!(code == 3 && told.contains("not-found"), "{told}");
    let (code, told) = serving.end("-TERM");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("nobody has a token yet") && told.contains("ending"), "{told}");
    assert!(!told.contains(secret));
}

#[test]
fn a_program_prints_the_token_for_the_server_beside_it_and_for_no_other() {
    let place = place();
    let place = place.path();
    let serving = Serving::start(place, &[]);
    let (_, token, _) = ended(place, &["tokens", "create", "ci", "--store", "sqlite:app.db", "--admin"]);
    fs::write(place.join("token"), token).unwrap();
    fs::create_dir(place.join("stepwell")).unwrap();
    let config = |program: &str| {
        let server = format!("server = \"http://{}\"", serving.address);
        let text = format!("[profiles.here]\n{server}\ntoken_cmd = {program}\n");
        fs::write(place.join("stepwell/config.toml"), text).unwrap();
    };
    config(r#"["cat", "token"]"#);
    assert_eq!(ended(place, &["tokens", "list", "--profile", "here"]).0, 0);
    let other = format!("http://localhost:{}", serving.address.rsplit(':').next().unwrap());
    let (code, _, told) = ended(place, &["tokens", "list", "--profile", "here", "--server", &other]);
    assert!(code == 4 && told.contains("unauthenticated"), "{told}");
    for (program, words) in [
        (r#"["cat", "none"]"#, "exit status"),
        (r#"["true"]"#, "there is none"),
        (r#"["stepwell-no-such-program"]"#, "No such file"),
    ] {
        config(program);
        let (code, _, told) = ended(place, &["tokens", "list", "--profile", "here"]);
        assert!(code == 1 && told.contains("token_cmd") && told.contains(words), "{told}");
    }
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn several_servers_on_one_postgres_database_share_their_jobs_and_tokens() {
    let (place, database) = (place(), stepwell_postgres_rig::Database::create().unwrap());
    let url = database.url();
    let worker = Serving::start_on(&url, place.path(), &["--demo"]);
    let front = Serving::start_on(&url, place.path(), &[]);
    let (code, token, told) = ended(place.path(), &["tokens", "create", "ci", "--store", &url, "--admin"]);
    assert_eq!(code, 0, "{told}");
    let answer = front.ask("POST", "/api/v1/jobs", token.trim(), r#"{"kind":"demo.steps","payload":{}}"#);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let path = format!("/api/v1/jobs/{}", body(&answer)["id"].as_str().unwrap());
    let since = Instant::now();
    loop {
        let job = body(&front.ask("GET", &path, token.trim(), ""));
        if job["state"] == "completed" {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "{job}");
    }
    for serving in [worker, front] {
        let (code, told) = serving.end("-TERM");
        assert_eq!(code, Some(0), "{told}");
    }
}

#[test]
fn a_configured_limit_is_set_when_the_server_starts() {
    let place = place();
    let configure = |limit: u32| {
        std::fs::write(place.path().join("stepwell.toml"), format!("[queues.media]\nlimit = {limit}\n"))
            .unwrap();
    };
    let limit = || {
        let (code, said, told) =
            ended(place.path(), &["queues", "get", "media", "--store", "sqlite:app.db", "--json"]);
        assert_eq!(code, 0, "{told}");
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["limit"].clone()
    };
    configure(2);
    let serving = Serving::start(place.path(), &["--insecure-no-auth"]);
    assert_eq!(limit(), 2);
    let set = ["queues", "set", "media", "--limit", "5", "--store", "sqlite:app.db"];
    assert_eq!(ended(place.path(), &set).0, 0);
    assert_eq!(limit(), 5, "an operator may set another");
    assert_eq!(serving.end("-TERM").0, Some(0));
    let serving = Serving::start(place.path(), &["--insecure-no-auth"]);
    assert_eq!(limit(), 2, "until the next start");
    assert_eq!(serving.end("-TERM").0, Some(0));
    configure(0);
    let (code, _, told) = ended(place.path(), &["serve", "--store", "sqlite:app.db", "--insecure-no-auth"]);
    assert!(code == 1 && told.contains("limit") && told.contains("pause the queue"), "{told}");
}

fn workers(place: &Path, store: &str, arguments: &[&str]) -> serde_json::Value {
    let all = [&["workers"], arguments, &["--store", store, "--json"]].concat();
    let (code, said, told) = ended(place, &all);
    assert_eq!(code, 0, "{told}");
    serde_json::from_str(&said).unwrap()
}

/// Operates a server from another process, which opens the store by itself.
fn a_server_is_quieted_and_ended_from_elsewhere(store: &str, place: &Path) {
    let serving = Serving::start_on(store, place, &["--demo", "--insecure-no-auth"]);
    let pid = serving.child.id();
    until("the server is on the list", || !workers(place, store, &["list"]).as_array().unwrap().is_empty());
    let list = workers(place, store, &["list"]);
    assert_eq!(
        (&list[0]["type"], &list[0]["pid"], &list[0]["state"]),
        (&"node".into(), &pid.into(), &"running".into())
    );
    let id = list[0]["id"].as_str().unwrap();
    let digits = &id[id.len() - 8..];

    assert_eq!(workers(place, store, &["quiet", digits])["desired"], "quiet");
    until("it is quiet", || workers(place, store, &["get", digits])["state"] == "quiet");
    let answer = serving.ask("POST", "/api/v1/jobs", "", r#"{"kind":"demo.steps","payload":{}}"#);
    let path = format!("/api/v1/jobs/{}", body(&answer)["id"].as_str().unwrap());
    assert_eq!(body(&serving.ask("GET", &path, "", ""))["state"], "pending");
    assert_eq!(workers(place, store, &["resume", id])["desired"], "run");
    until("the job ends", || body(&serving.ask("GET", &path, "", ""))["state"] == "completed");

    assert_eq!(workers(place, store, &["terminate", id])["desired"], "terminate");
    let (code, told) = serving.left();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("ending, because an operator wants it"), "{told}");
    assert_eq!(workers(place, store, &["list"]), serde_json::json!([]));
    let (code, _, told) = ended(place, &["workers", "terminate", id, "--store", store]);
    assert!(code == 3 && told.contains("no such worker"), "{code}: {told}");
    let (code, _, told) = ended(place, &["workers", "get", "123", "--store", store]);
    assert!(code == 2 && told.contains("too short"), "{code}: {told}");
}

#[test]
fn a_server_on_a_file_is_quieted_and_ended_from_elsewhere() {
    let place = place();
    a_server_is_quieted_and_ended_from_elsewhere("sqlite:app.db", place.path());
}

#[test]
fn a_server_on_postgres_is_quieted_and_ended_from_elsewhere() {
    let (place, database) = (place(), stepwell_postgres_rig::Database::create().unwrap());
    a_server_is_quieted_and_ended_from_elsewhere(&database.url(), place.path());
}

#[test]
fn without_a_token_it_is_for_loopback_only_and_without_tls_behind_a_proxy_only() {
    let place = place();
    let refused = |arguments: &[&str]| {
        let all = [&["serve", "--store", "sqlite:app.db"], arguments].concat();
        let (code, _, told) = ended(place.path(), &all);
        assert_eq!(code, 1, "{told}");
        told
    };
    assert!(refused(&["--listen", "0.0.0.0:0", "--insecure-no-auth"]).contains("loopback"));
    assert!(refused(&["--listen", "0.0.0.0:0"]).contains("--behind-proxy"));
    let serving = Serving::start(place.path(), &["--insecure-no-auth"]);
    assert!(serving.ask("GET", "/api/v1/jobs", "", "").starts_with("HTTP/1.1 200 "));
    let port_taken = refused(&["--listen", &serving.address]);
    assert!(port_taken.contains("another server has the port"), "{port_taken}");
    assert_eq!(serving.end("-INT").0, Some(0));
    let (code, _, told) = ended(place.path(), &["serve", "--store", "app.db"]);
    assert!(code == 2 && told.contains("sqlite:"), "{told}");
}

#[test]
fn a_second_signal_shortens_it() {
    let place = place();
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--grace", "10h"]);
    let _stuck = serving.begin_request();
    serving.signal("-TERM");
    let (code, told) = serving.end("-TERM");
    assert_eq!(code, Some(0), "{told}");
}

#[test]
fn slow_requests_and_slow_handlers_end_within_one_grace() {
    const GRACE: Duration = Duration::from_secs(3);
    let place = place();
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--demo", "--grace", "3s"]);
    let slow = r#"{"kind":"demo.steps","payload":{"pauseMs":600000}}"#;
    let created = body(&serving.ask("POST", "/api/v1/jobs", "", slow));
    let path = format!("/api/v1/jobs/{}", created["id"].as_str().unwrap());
    until("it runs", || body(&serving.ask("GET", &path, "", ""))["state"] == "running");
    let mut stuck = serving.begin_request();

    let begun = Instant::now();
    let (code, told) = serving.end("-TERM");
    let took = begun.elapsed();
    assert!(took >= GRACE && took <= GRACE + Duration::from_secs(2), "{took:?}: {told}");
    assert!(code == Some(1) && told.contains("these jobs go on at the next start"), "{told}");
    let mut rest = String::new();
    assert!(stuck.read_to_string(&mut rest).is_err() || rest.is_empty(), "{rest:?}");
}

#[test]
fn a_request_under_way_is_answered_although_nothing_runs_any_more() {
    let place = place();
    let mut serving = Serving::start(place.path(), &["--insecure-no-auth", "--demo", "--grace", "60s"]);
    let mut slow = serving.begin_request();
    serving.signal("-TERM");
    // Nobody is let in any more: it is ending.
    until("it takes nothing more", || TcpStream::connect(&serving.address).is_err());
    slow.write_all(SLOW_BODY.as_bytes()).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_demo_job_does_as_it_is_told() {
    let place = place();
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--demo"]);
    let run = |payload: &str| {
        let new = format!(r#"{{"kind":"demo.steps","payload":{payload}}}"#);
        let created = body(&serving.ask("POST", "/api/v1/jobs", "", &new));
        let id = created["id"].as_str().unwrap().to_owned();
        body(&serving.ask("GET", &format!("/api/v1/jobs/{id}?waitMs=30000"), "", ""))
    };
    let job = run(r#"{"failures":2,"pauseMs":10}"#);
    assert_eq!((&job["state"], &job["result"]["workTries"]), (&"completed".into(), &3.into()), "{job}");
    let names: Vec<_> = job["phases"].as_array().unwrap().iter().map(|phase| phase["name"].clone()).collect();
    assert_eq!(names, ["prepare", "work", "finish"]);
    let job = run(r#"{"fails":true}"#);
    assert_eq!((&job["state"], &job["failure"]["phase"]), (&"failed".into(), &"work".into()), "{job}");
    let job = run(r#"{"fail":true}"#);
    assert!(
        job["state"] == "failed" && job["failure"]["message"].as_str().unwrap().contains("fail"),
        "{job}"
    );
    assert_eq!(serving.end("-TERM").0, Some(0));
}

#[test]
fn what_is_older_than_the_time_to_keep_is_deleted_soon() {
    let place = place();
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--demo", "--keep", "2s"]);
    let created = body(&serving.ask("POST", "/api/v1/jobs", "", r#"{"kind":"demo.steps","payload":{}}"#));
    let path = format!("/api/v1/jobs/{}", created["id"].as_str().unwrap());
    until("it is deleted", || serving.ask("GET", &path, "", "").starts_with("HTTP/1.1 404 "));
    assert_eq!(serving.end("-TERM").0, Some(0));
    let (code, _, told) = ended(place.path(), &["serve", "--store", "sqlite:app.db", "--keep", "0s"]);
    assert!(code == 2 && told.contains("at least 1s"), "{told}");
}

#[test]
fn webhooks_are_sent_to_networks_that_are_allowed() {
    let place = place();
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!(r#"{{"url":"http://{}/hook"}}"#, receiver.local_addr().unwrap());
    let serving = Serving::start(place.path(), &["--insecure-no-auth", "--demo"]);
    let refused = serving.ask("POST", "/api/v1/webhooks", "", &hook);
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.contains("no allowed network"), "{refused}");
    assert_eq!(serving.end("-TERM").0, Some(0));

    let allowed =
        ["--insecure-no-auth", "--demo", "--webhook-allow", "127.0.0.1", "--webhook-allow", "::1/128"];
    let serving = Serving::start(place.path(), &allowed);
    assert!(serving.ask("POST", "/api/v1/webhooks", "", &hook).starts_with("HTTP/1.1 201 "));
    serving.ask("POST", "/api/v1/jobs", "", r#"{"kind":"demo.steps","payload":{}}"#);
    let (mut stream, _) = receiver.accept().unwrap();
    let (mut received, mut piece) = (String::new(), [0; 4096]);
    while !received.contains("job:completed") {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "{received}");
        received.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
    assert!(received.contains("webhook-signature: v1,"), "{received}");
    let list = "/api/v1/deliveries?state=delivered";
    until("it is recorded", || body(&serving.ask("GET", list, "", ""))["data"][0]["state"] == "delivered");
    assert_eq!(serving.end("-TERM").0, Some(0));
    for command in ["serve", "dev"] {
        let (code, _, told) = ended(place.path(), &[command, "--webhook-allow", "localhost"]);
        assert!(code == 2 && told.contains("10.20.0.0/16"), "{told}");
    }
}

#[test]
fn dev_serves_the_same_without_a_token_and_takes_another_port_if_that_one_is_taken() {
    let place = place();
    std::fs::write(place.path().join("a.txt"), "one file").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut child = stepwell(place.path(), &["dev", "--json", "--listen", &address]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told: serde_json::Value = lines
        .by_ref()
        .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap())
        .find(|line| line["type"] == "dev:serving")
        .unwrap();
    let url = told["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    assert_ne!(url, address);
    lines.by_ref().find(|line| line.contains("dev:idle")).unwrap();
    let serving = Serving { child, address: url };
    let jobs = serving.ask("GET", "/api/v1/jobs?state=completed", "", "");
    assert!(jobs.starts_with("HTTP/1.1 200 ") && jobs.contains("dev.file"), "{jobs}");
    drop(lines);
    assert_eq!(serving.end("-INT").0, Some(130));
    assert_eq!(ended(place.path(), &["dev", "--listen", "0.0.0.0:7717"]).0, 2);
}
