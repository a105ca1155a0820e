//! Endpoints and their secrets, as they are managed.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "webhooks")]

mod support;

use std::time::Duration;

use stepwell::{
    EventType, Json, Stepwell,
    webhook::{DisabledReason, EndpointChange, JobWebhook, NewEndpoint, Secret, WebhookOptions},
};

async fn queue() -> Stepwell {
    Stepwell::in_memory().open().await.unwrap()
}

#[tokio::test]
async fn an_endpoint_is_made_changed_disabled_and_deleted() {
    let stepwell = queue().await;
    let webhooks = stepwell.webhooks();
    let made = webhooks.create(NewEndpoint::new("https://hooks.example/a")).await.unwrap();
    let id = made.endpoint.id.clone();
    assert!(made.endpoint.enabled && made.secret.is_some(), "a secret was made, and is told once");
    assert_eq!(made.endpoint.events, [EventType::Completed, EventType::Failed, EventType::Cancelled]);
    assert_eq!(webhooks.get(&id).await.unwrap().version, made.endpoint.version);

    let change = EndpointChange { events: Some(vec![EventType::Started]), ..EndpointChange::default() };
    let changed = webhooks.update(&id, Some(made.endpoint.version), change.clone()).await.unwrap();
    assert_eq!(changed.events, [EventType::Started]);
    assert_eq!(changed.url, made.endpoint.url, "what is not named stays");
    let late = webhooks.update(&id, Some(made.endpoint.version), change).await.unwrap_err();
    assert!(late.is_version_mismatch(), "{late}");

    let disabled = webhooks.disable(&id).await.unwrap();
    assert_eq!(disabled.disabled.map(|disabled| disabled.reason), Some(DisabledReason::Operator));
    assert!(webhooks.enable(&id).await.unwrap().enabled);
    webhooks.delete(&id, None).await.unwrap();
    assert!(webhooks.get(&id).await.unwrap_err().is_not_found());
    assert!(webhooks.delete(&id, None).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn endpoints_are_listed_page_by_page() {
    let stepwell = queue().await;
    let webhooks = stepwell.webhooks();
    for n in 0..5 {
        webhooks.create(NewEndpoint::new(format!("https://h{n}.example/"))).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = webhooks.list(after, 2).await.unwrap();
        seen.extend(page.items.into_iter().map(|endpoint| endpoint.url));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen.len(), 5);
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_by_name() {
    let stepwell = queue().await;
    let refused = async |new: NewEndpoint| {
        let error = stepwell.webhooks().create(new).await.unwrap_err();
        error.field().unwrap_or_default().to_owned()
    };
    assert_eq!(refused(NewEndpoint::new("http://127.0.0.1/")).await, "url");
    assert_eq!(refused(NewEndpoint::new("")).await, "url");
    let mut with_host = NewEndpoint::new("https://a.example/");
    with_host.headers.insert("Host".into(), "b.example".into());
    assert_eq!(refused(with_host).await, "headers.Host");
    let mut endless = NewEndpoint::new("https://a.example/");
    endless.events = vec![EventType::WebhookDelivered];
    assert_eq!(refused(endless).await, "webhook.events");

    let webhook = |url: &str, secret: Option<&str>| JobWebhook {
        url: url.into(),
        secret: secret.map(str::to_owned),
        events: Vec::new(),
    };
    for (webhook, field) in [
        (webhook("https://10.0.0.1/", None), "webhook.url"),
        (webhook("https://a.example/", Some("canary")), "webhook.secret"),
    ] {
        let error = stepwell.enqueue_untyped("k", Json::null()).webhook(webhook).await.unwrap_err();
        assert_eq!(error.field(), Some(field));
        assert!(!error.to_string().contains("canary"));
    }
    let wrong = Stepwell::in_memory().webhooks(WebhookOptions::new().allow("nonsense")).open().await;
    assert!(wrong.is_err(), "a mistake in the options is told when the queue is opened");
}

#[tokio::test]
async fn secrets_rotate_within_a_bound_and_old_ones_end() {
    let stepwell = queue().await;
    let webhooks = stepwell.webhooks();
    let id = webhooks.create(NewEndpoint::new("https://a.example/")).await.unwrap().endpoint.id;
    let given = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let rotated = webhooks.rotate_secret(&id, Some(given), None).await.unwrap();
    assert!(rotated.secret.is_none(), "one that was given is not repeated");
    let end = rotated.endpoint.old_secrets_end_at[0];
    let left = end.since(stepwell.clock().now());
    assert!(left > Duration::from_hours(23) && left <= Duration::from_hours(24), "{left:?}");

    for _ in 0..3 {
        assert!(webhooks.rotate_secret(&id, None, None).await.unwrap().secret.is_some());
    }
    let full = webhooks.rotate_secret(&id, None, None).await.unwrap_err();
    assert_eq!(full.field(), Some("secrets"));
    let at_once = webhooks.rotate_secret(&id, None, Some(Duration::ZERO)).await.unwrap();
    assert!(at_once.endpoint.old_secrets_end_at.is_empty(), "a secret that leaked ends at once");
    let long = webhooks.rotate_secret(&id, None, Some(Duration::from_hours(31 * 24))).await.unwrap_err();
    assert_eq!(long.field(), Some("overlap"));
}
