//! Who may do what: every operation of the description, with every kind of caller.

use std::time::Duration;

use http::{Method, Request};
use serde_json::{Value, json};
use stepwell::Stepwell;
use stepwell_http::{Access, Grant, NewToken, Refusal, Scope, Tokens};

use crate::{
    client::{Client, Reply},
    server::{Setup, until},
};

/// An operation of the description.
struct Operation {
    method: Method,
    path: String,
    scope: String,
}

async fn operations(client: &Client) -> Vec<Operation> {
    let description = client.get("/api/v1/openapi.json").await.expect(200);
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            // A path that exists: what is refused must be refused for its caller, not for its address.
            let path = path
                .replace("{id}", "00000000-0000-7000-8000-000000000000")
                .replace("{name}", "mail")
                .replace("{phase}", "check");
            let scope = operation["x-scope"].as_str();
            found.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.replace("{code}", "validation"),
                scope: scope.unwrap_or_else(|| panic!("{method} {path} has no scope")).to_owned(),
            });
        }
    }
    assert!(found.len() > 30, "the description has all operations");
    found
}

async fn try_it(client: &Client, operation: &Operation) -> Reply {
    client.send(client.json(operation.method.clone(), &operation.path, "{}")).await
}

#[tokio::test]
async fn no_operation_goes_without_its_scope() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let nobody = Client { token: None, ..client.clone() };
    let made_up = client.with("sw_0123456789abcdef_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for operation in operations(&client).await {
        let what = format!("{} {}", operation.method, operation.path);
        if operation.scope == "none" {
            assert_ne!(try_it(&nobody, &operation).await.status, 401, "{what}");
            continue;
        }
        assert_eq!(try_it(&nobody, &operation).await.status, 401, "{what}");
        assert_eq!(try_it(&made_up, &operation).await.status, 401, "{what}");
        if operation.scope == "any" {
            continue;
        }
        let scope: Scope = operation.scope.parse().unwrap();
        let others = Scope::ALL.iter().copied().filter(|other| *other != scope && *other != Scope::Admin);
        let without = client.with(&server.token(others, &[]).await);
        try_it(&without, &operation).await.refused(403, "forbidden-scope");
        let with = client.with(&server.token([scope], &[]).await);
        let reply = try_it(&with, &operation).await;
        assert!(!matches!(reply.status.as_u16(), 401 | 403 | 405 | 500..), "{what}: {reply:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_read_only_token_changes_nothing() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    client.enqueue("sum", json!({})).await;
    let reader = client.with(&server.token(Scope::READ_ONLY, &[]).await);
    let before = client.get("/api/v1/events?after=0").await.expect(200)["events"].clone();
    let audited = async || client.get("/api/v1/audit").await.expect(200)["data"].as_array().unwrap().len();
    let n = audited().await;
    for operation in operations(&client).await {
        // A ticket only lets its owner follow events, which this token may.
        let changes = operation.method != Method::GET && !operation.path.ends_with("/tickets");
        if changes {
            assert_eq!(
                try_it(&reader, &operation).await.status,
                403,
                "{} {}",
                operation.method,
                operation.path
            );
        }
    }
    assert_eq!(client.get("/api/v1/events?after=0").await.expect(200)["events"], before);
    assert_eq!(audited().await, n, "what is refused at the door is no change");
    server.stop().await;
}

#[tokio::test]
async fn a_token_for_a_queue_sees_and_changes_nothing_else() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let job = async |queue: &str| {
        let new = json!({ "kind": "sum", "payload": "hush", "queue": queue });
        client.post("/api/v1/jobs", new).await.expect(201)["id"].as_str().unwrap().to_owned()
    };
    let (mine, other) = (job("mail").await, job("other").await);
    let scopes = Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin);
    let limited = client.with(&server.token(scopes, &["mail"]).await);

    // Every operation on a job of another queue.
    let before = client.get(&format!("/api/v1/jobs/{other}")).await.expect(200);
    for operation in operations(&client).await {
        if !operation.path.starts_with("/api/v1/jobs/0") {
            continue;
        }
        let path = operation.path.replace("00000000-0000-7000-8000-000000000000", &other);
        let reply =
            limited.send(limited.json(operation.method.clone(), &path, r#"{"fromPhase":"check"}"#)).await;
        assert_eq!(reply.status, 404, "{} {path}: {reply:?}", operation.method);
    }
    assert_eq!(client.get(&format!("/api/v1/jobs/{other}")).await.expect(200), before);

    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&limited.get("/api/v1/jobs").await.expect(200)), [mine.as_str()]);
    assert!(ids(&limited.get("/api/v1/jobs?queue=other").await.expect(200)).is_empty());
    let queues = limited.get("/api/v1/queues").await.expect(200);
    assert_eq!(queues["data"].as_array().unwrap().len(), 1);
    limited.get("/api/v1/queues/other").await.refused(404, "not-found");
    limited.bare(Method::POST, "/api/v1/queues/other/pause").await.refused(403, "forbidden-scope");
    limited.bare(Method::POST, "/api/v1/queues/mail/pause").await.expect(200);
    limited
        .post("/api/v1/jobs", json!({ "kind": "sum", "payload": 1 }))
        .await
        .refused(403, "forbidden-scope");
    limited.post("/api/v1/jobs", json!({ "kind": "sum", "payload": 1, "queue": "mail" })).await.expect(201);
    let batch = json!({ "jobs": [{ "kind": "sum", "payload": 1, "queue": "other" }] });
    let batched = limited.post("/api/v1/jobs/batch", batch).await.expect(200);
    assert_eq!(batched["data"][0]["error"]["code"], "forbidden-scope");
    let moved =
        limited.call(Method::PATCH, &format!("/api/v1/jobs/{mine}"), json!({ "queue": "other" })).await;
    moved.refused(403, "forbidden-scope");
    let polled = limited.get("/api/v1/events?after=0").await.expect(200);
    let queues: Vec<&str> =
        polled["events"].as_array().unwrap().iter().map(|event| event["queue"].as_str().unwrap()).collect();
    assert_eq!(queues, ["mail", "mail"]);
    let metrics = limited.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("queue=\"mail\"") && !text.contains("queue=\"other\""), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn who_holds_a_unique_key_is_named_to_those_only_who_may_see_it() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let new = |queue: &str| json!({ "kind": "sum", "payload": {}, "queue": queue, "uniqueKey": "k" });
    let made = async |queue: &str| {
        let made = client.post("/api/v1/jobs", new(queue)).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let mine = made("mail").await;
    client.bare(Method::POST, &format!("/api/v1/jobs/{mine}/cancel")).await.expect(200);
    let holder = made("other").await;

    let scopes = Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin);
    let limited = client.with(&server.token(scopes, &["mail"]).await);
    let again = [
        ("retry", json!({})),
        ("retry", json!({ "fromStart": true })),
        ("rerun", json!({ "fromPhase": "check" })),
    ];
    for (verb, body) in again {
        let path = format!("/api/v1/jobs/{mine}/{verb}");
        let told = client.post(&path, body.clone()).await.refused(409, "conflict-unique");
        assert_eq!(told["jobId"], holder.as_str());
        let told = limited.post(&path, body).await.refused(409, "conflict-unique");
        assert!(!told.to_string().contains(&holder), "{told}");
    }
    let rejects =
        json!({ "kind": "sum", "payload": {}, "queue": "mail", "uniqueKey": "k", "onConflict": "reject" });
    let told = limited.post("/api/v1/jobs", rejects).await.refused(409, "conflict-unique");
    assert!(!told.to_string().contains(&holder), "{told}");
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let asked = json!({ "name": "ci", "scopes": ["jobs:read"], "kinds": ["sum"], "expiresInMs": 3_600_000 });
    let made = client.post("/api/v1/tokens", asked).await.expect(201);
    let secret = made["secret"].as_str().unwrap();
    let ci = client.with(secret);
    assert_eq!(ci.get("/api/v1/whoami").await.expect(200)["kinds"], json!(["sum"]));
    let listed = client.get("/api/v1/tokens").await;
    let text = String::from_utf8(listed.body.to_vec()).unwrap();
    let tail = secret.rsplit_once('_').unwrap().1;
    assert!(text.contains("\"ci\"") && !text.contains(tail) && !text.contains("hash"), "{text}");

    let path = format!("/api/v1/tokens/{}", made["token"]["id"].as_str().unwrap());
    client.bare(Method::DELETE, &path).await.expect(204);
    ci.get("/api/v1/whoami").await.refused(401, "unauthenticated");
    client.bare(Method::DELETE, &path).await.refused(404, "not-found");
    for (asked, pointer) in [
        (json!({ "name": "", "scopes": ["jobs:read"] }), "#/name"),
        (json!({ "name": "a", "scopes": [] }), "#/scopes"),
        (json!({ "name": "a", "scopes": ["jobs:all"] }), "#/scopes/0"),
        (json!({ "name": "a", "scopes": ["admin"], "queues": ["q"] }), "#/scopes"),
        (json!({ "name": "a", "scopes": ["jobs:read"], "queues": [] }), "#/queues"),
        (json!({ "name": "a", "scopes": ["jobs:read"], "expiresInMs": 0 }), "#/expiresInMs"),
    ] {
        let problem = client.post("/api/v1/tokens", asked.clone()).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{asked}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_is_replaced_at_once_or_with_an_overlap() {
    let (server, client) = Setup { work: false, ..Setup::default() }.serve().await;
    let asked = json!({ "name": "ci", "scopes": ["jobs:read"], "kinds": ["sum"], "expiresInMs": 3_600_000 });
    let first = client.post("/api/v1/tokens", asked).await.expect(201);
    let path = |token: &Value| format!("/api/v1/tokens/{}/rotate", token["token"]["id"].as_str().unwrap());
    let with = |token: &Value| client.with(token["secret"].as_str().unwrap());
    let second = client.bare(Method::POST, &path(&first)).await.expect(201);
    assert_ne!(second["token"]["id"], first["token"]["id"]);
    for member in ["name", "scopes", "kinds"] {
        assert_eq!(second["token"][member], first["token"][member], "{member}");
    }
    assert!(second["token"]["expiresAt"].as_str() >= first["token"]["expiresAt"].as_str(), "{second}");
    with(&first).get("/api/v1/whoami").await.refused(401, "unauthenticated");
    with(&second).get("/api/v1/jobs").await.expect(200);
    client.bare(Method::POST, &path(&first)).await.refused(404, "not-found");

    let asked = json!({ "overlapMs": 60_000, "expiresInMs": 7_200_000 });
    let third = client.post(&path(&second), asked).await.expect(201);
    for token in [&second, &third] {
        with(token).get("/api/v1/jobs").await.expect(200);
    }
    let listed = client.get("/api/v1/tokens").await.expect(200);
    let end = |token: &Value| {
        let listed = listed["data"].as_array().unwrap();
        listed.iter().find(|known| known["id"] == token["token"]["id"]).unwrap()["expiresAt"].clone()
    };
    assert!(end(&second).as_str() < second["token"]["expiresAt"].as_str(), "it ends when the overlap does");
    assert!(end(&third).as_str() > second["token"]["expiresAt"].as_str(), "{listed}");
    for (asked, pointer) in [
        (json!({ "overlapMs": 2_592_000_001_u64 }), "#/overlapMs"),
        (json!({ "expiresInMs": 0 }), "#/expiresInMs"),
    ] {
        let problem = client.post(&path(&third), asked.clone()).await.refused(400, "validation");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{asked}");
    }
    with(&third).get("/api/v1/jobs").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_token_ends_and_one_that_is_revoked_elsewhere_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let builder = || Stepwell::sqlite(place.path().join("a.db"));
    let (server, client) = Setup { builder: builder(), work: false, ..Setup::default() }.serve().await;
    let elsewhere = builder().open().await.unwrap();
    let tokens = Tokens::new(&elsewhere);
    let scopes = || [Scope::JobsRead].into();
    let new = NewToken {
        name: "a".into(),
        scopes: scopes(),
        expires_in: Some(Duration::from_millis(1)),
        ..NewToken::default()
    };
    let ended = client.with(&tokens.create(new).await.unwrap().1);
    until("it ends", async || ended.get("/api/v1/whoami").await.status == 401).await;

    let new = NewToken { name: "b".into(), scopes: scopes(), ..NewToken::default() };
    let (record, secret) = tokens.create(new).await.unwrap();
    let revoked = client.with(&secret);
    revoked.get("/api/v1/jobs").await.expect(200);
    tokens.revoke(&record.id).await.unwrap();
    until("it is noticed", async || revoked.get("/api/v1/jobs").await.status == 401).await;
    elsewhere.close().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_application_may_decide_for_itself() {
    let access = Access::by(|parts| match parts.headers.get("x-user").map(|user| user.as_bytes()) {
        Some(b"ana") => Ok(Grant::of("ana", [Scope::JobsRead])),
        Some(_) => Err(Refusal::Forbidden),
        None => Err(Refusal::Unknown),
    });
    let (server, client) = Setup { access, ..Setup::default() }.serve().await;
    let as_user = async |user: &str, path: &str| {
        let request = client.request(Method::GET, path).header("x-user", user);
        client.send(request.body(http_body_util::Full::default()).unwrap()).await
    };
    as_user("ana", "/api/v1/jobs").await.expect(200);
    as_user("ana", "/api/v1/queues").await.refused(403, "forbidden-scope");
    as_user("bob", "/api/v1/jobs").await.refused(403, "forbidden-scope");
    client.get("/api/v1/jobs").await.refused(401, "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn another_name_and_another_sites_page_are_refused_everywhere() {
    let (server, client) = Setup { access: Access::unrestricted(), ..Setup::default() }.serve().await;
    let anybody = Client { token: None, ..client.clone() };
    for operation in operations(&client).await {
        let what = format!("{} {}", operation.method, operation.path);
        let send = async |headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(operation.method.clone()).uri(&operation.path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            anybody.send(request.body("{}".to_owned().into()).unwrap()).await
        };
        let own = client.address.to_string();
        let reply = send(&[("host", "evil.test")]).await;
        assert_eq!(reply.status, 421, "{what}");
        let json = ("content-type", "application/json");
        for foreign in [
            vec![("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")],
            vec![("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
            vec![("origin", "http://evil.test")],
            vec![("origin", "null")],
        ] {
            let mut headers = vec![("host", own.as_str()), json];
            headers.extend(foreign);
            let reply = send(&headers).await;
            assert_eq!(reply.status, 403, "{what} {headers:?}");
            assert_eq!(reply.header("access-control-allow-origin"), "");
        }
    }
    assert!(client.get("/api/v1/jobs").await.expect(200)["data"].as_array().unwrap().is_empty());
    let own = format!("http://{}", client.address);
    let mut request = anybody.json(Method::POST, "/api/v1/jobs", r#"{"kind":"sum","payload":1}"#);
    request.headers_mut().insert("origin", own.parse().unwrap());
    request.headers_mut().insert("sec-fetch-site", "same-origin".parse().unwrap());
    anybody.send(request).await.expect(201);
    server.stop().await;
}
