//! What operators do with webhooks: change, try, replace a secret, send again.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "webhooks")]

mod notes;
mod sink;
mod support;

use std::time::Duration;

use notes::{deliveries, endpoint, note, reaches, running, told};
use sink::{Reply, Sink, in_memory};
use stepwell::{
    Clock, EventType, JobId,
    webhook::{DeliveryFilter, DeliveryState, EndpointChange, Replay},
};

#[tokio::test]
async fn what_an_operator_sends_again_does_not_wait_for_a_pause_that_the_receiver_asked_for() {
    let sink = Sink::scripted(|_, nth| match nth {
        0 => Reply::Full { status: 429, headers: vec![("retry-after", "600".into())], body: String::new() },
        _ => Reply::Status(200),
    })
    .await;
    let (stepwell, _workers) = running(in_memory()).await;
    endpoint(&stepwell, &sink).await;
    note(&stepwell, "a").await;
    let id = sink.reaches(1).await[0].id().parse().unwrap();
    reaches(&stepwell, id, DeliveryState::Waiting).await;
    stepwell.webhooks().redeliver(id).await.unwrap();
    reaches(&stepwell, id, DeliveryState::Delivered).await;
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign() {
    let sink = Sink::answering(200).await;
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (stepwell, _workers) = running(in_memory().clock(clock.clone())).await;
    let made = endpoint(&stepwell, &sink).await;
    let old = made.secret.unwrap();
    let new = stepwell.webhooks().rotate_secret(&made.endpoint.id, None, None).await.unwrap().secret.unwrap();
    note(&stepwell, "a").await;
    let received = sink.reaches(1).await.remove(0);
    assert_eq!((received.signatures_with(old.reveal()), received.signatures_with(new.reveal())), (1, 1));
    assert!(received.header("webhook-signature").starts_with("v1,"));
    clock.advance(Duration::from_hours(25));
    note(&stepwell, "b").await;
    let received = sink.reaches(2).await.remove(1);
    assert_eq!((received.signatures_with(old.reveal()), received.signatures_with(new.reveal())), (0, 1));
}

#[tokio::test]
async fn deliveries_to_a_deleted_or_disabled_endpoint_end_and_can_be_sent_later() {
    let sink = Sink::answering(500).await;
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (stepwell, _workers) = running(in_memory().clock(clock.clone())).await;
    let (deleted, disabled) = (endpoint(&stepwell, &sink).await, endpoint(&stepwell, &sink).await);
    let job = note(&stepwell, "a").await;
    sink.reaches(2).await;
    let webhooks = stepwell.webhooks();
    let of = |id: &str| DeliveryFilter { endpoint: Some(id.to_owned()), ..DeliveryFilter::default() };
    let mut waiting = Vec::new();
    for (made, problem) in [(&deleted, "was deleted"), (&disabled, "was disabled by an operator")] {
        let id = deliveries(&stepwell, of(&made.endpoint.id)).await[0].id;
        reaches(&stepwell, id, DeliveryState::Waiting).await;
        waiting.push((id, problem));
    }
    webhooks.delete(&deleted.endpoint.id, None).await.unwrap();
    webhooks.disable(&disabled.endpoint.id).await.unwrap();
    clock.advance(Duration::from_secs(7));
    for (id, problem) in waiting {
        let failed = reaches(&stepwell, id, DeliveryState::Failed).await.delivery;
        assert!(failed.error.as_ref().unwrap().contains(problem), "{failed:?}");
    }
    told(&stepwell, job.id(), EventType::WebhookFailed).await;
    assert_eq!(sink.received().len(), 2, "nothing more was sent");

    webhooks.enable(&disabled.endpoint.id).await.unwrap();
    let replay = Replay { endpoint: Some(disabled.endpoint.id.clone()), ..Replay::default() };
    assert_eq!(webhooks.replay(replay).await.unwrap().replayed, 1);
    let received = sink.reaches(3).await;
    assert!(received[..2].iter().any(|before| before.id() == received[2].id()), "the same webhook-id");
}

#[tokio::test]
async fn replays_take_what_they_are_told_to_and_keep_the_ids() {
    let sink = Sink::answering(200).await;
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (stepwell, _workers) = running(in_memory().clock(clock.clone())).await;
    endpoint(&stepwell, &sink).await;
    let mut hours = Vec::new();
    for n in 0..6 {
        hours.push(clock.now());
        let job = note(&stepwell, &n.to_string()).await;
        told(&stepwell, job.id(), EventType::WebhookDelivered).await;
        clock.advance(Duration::from_hours(1));
    }
    let ids: Vec<String> = sink.received().iter().map(|received| received.id().to_owned()).collect();
    let webhooks = stepwell.webhooks();
    let none = webhooks.replay(Replay::default()).await.unwrap();
    assert_eq!((none.replayed, none.next), (0, None), "only failed ones, unless said otherwise");
    let window = Replay {
        state: Some(DeliveryState::Delivered),
        since: Some(hours[1]),
        until: Some(hours[4]),
        ..Replay::default()
    };
    assert_eq!(webhooks.replay(window).await.unwrap().replayed, 3);
    let received = sink.reaches(9).await;
    let mut again: Vec<&str> = received[6..].iter().map(|received| received.id()).collect();
    again.sort_unstable();
    let mut expected: Vec<&str> = ids[1..4].iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(again, expected);

    let selection = Replay { ids: vec![ids[0].parse().unwrap()], ..Replay::default() };
    assert_eq!(webhooks.replay(selection).await.unwrap().replayed, 1);
    assert_eq!(sink.reaches(10).await[9].id(), ids[0]);
    let detail = reaches(&stepwell, ids[0].parse().unwrap(), DeliveryState::Delivered).await;
    assert_eq!(detail.attempt_log.iter().map(|attempt| attempt.run).collect::<Vec<_>>(), [1, 2]);
    let unknown = Replay { ids: vec![JobId::from_bytes([9; 16])], ..Replay::default() };
    assert!(webhooks.replay(unknown).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_test_is_sent_and_reported_on_no_job() {
    let sink = Sink::answering(200).await;
    let (stepwell, _workers) = running(in_memory()).await;
    let made = endpoint(&stepwell, &sink).await;
    let id = stepwell.webhooks().test(&made.endpoint.id).await.unwrap();
    let received = sink.reaches(1).await.remove(0);
    assert_eq!((received.id(), &*received.event()), (&*id.to_string(), "webhook:test"));
    assert_eq!(received.signatures_with(made.secret.unwrap().reveal()), 1);
    let detail = reaches(&stepwell, id, DeliveryState::Delivered).await;
    assert_eq!(detail.delivery.job_id, None);
    let health = stepwell.webhooks().health(&made.endpoint.id).await.unwrap();
    assert_eq!((health.delivered, health.waiting), (1, 0));
    assert!(health.last_success_at.is_some() && health.failing_since.is_none());
}

#[tokio::test]
async fn a_changed_filter_and_url_count_from_then_on() {
    let (one, other) = (Sink::answering(200).await, Sink::answering(200).await);
    let (stepwell, _workers) = running(in_memory()).await;
    let made = endpoint(&stepwell, &one).await;
    let first = note(&stepwell, "a").await;
    told(&stepwell, first.id(), EventType::WebhookDelivered).await;
    let change = EndpointChange {
        url: Some(other.url("/new")),
        events: Some(vec![EventType::Started]),
        ..EndpointChange::default()
    };
    stepwell.webhooks().update(&made.endpoint.id, None, change).await.unwrap();
    note(&stepwell, "b").await.result().await.unwrap();
    let received = other.reaches(1).await;
    assert_eq!((received[0].event().as_str(), one.received().len()), ("job:started", 1));
}
