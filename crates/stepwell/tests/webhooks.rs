//! Webhooks from the event to the receiver.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "webhooks")]

mod notes;
mod sink;
mod support;

use std::time::Duration;

use notes::{Note, deliveries, endpoint, note, reaches, running, told};
use sink::{Reply, Sink, in_memory, local};
use stepwell::{
    Change, Clock, EventType, JobFilter, Json, PageRequest, Stepwell,
    webhook::{DeliveryFilter, DeliveryState, DisabledReason, JobWebhook, NewEndpoint},
};
use support::soon;

#[tokio::test]
async fn the_end_of_a_job_is_told_signed_and_recorded() {
    let sink = Sink::answering(204).await;
    let (stepwell, workers) = running(in_memory()).await;
    let made = endpoint(&stepwell, &sink).await;
    let job = note(&stepwell, "hello").await;
    let received = sink.reaches(1).await.remove(0);
    assert_eq!(received.signatures_with(made.secret.unwrap().reveal()), 1);
    assert_eq!(received.header("content-type"), "application/json");
    let body = received.json();
    assert_eq!(body["type"], "job:completed");
    assert_eq!(body["jobId"], job.id().to_string());
    let members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["at", "attempt", "data", "jobId", "jobSeq", "kind", "pos", "queue", "run", "type"]);

    told(&stepwell, job.id(), EventType::WebhookDelivered).await;
    assert!(job.record().await.unwrap().details.webhook_sent);
    let names = stepwell.history(job.id()).await.unwrap();
    let place = |ty| names.iter().position(|event| event.event_type == ty).unwrap();
    assert!(place(EventType::Completed) < place(EventType::WebhookDelivered));
    assert_eq!(names.iter().filter(|event| event.event_type == EventType::WebhookDelivered).count(), 1);

    let of_job =
        deliveries(&stepwell, DeliveryFilter { job: Some(job.id()), ..DeliveryFilter::default() }).await;
    assert_eq!(of_job.len(), 1);
    assert_eq!(of_job[0].id.to_string(), received.id());
    assert_eq!((of_job[0].state, &*of_job[0].event), (DeliveryState::Delivered, "job:completed"));
    let detail = stepwell.webhooks().delivery(of_job[0].id).await.unwrap();
    assert_eq!(detail.body.as_str(), received.body);
    assert_eq!(detail.attempt_log.len(), 1);
    assert_eq!(detail.attempt_log[0].status, Some(204));
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn deliveries_are_hidden_from_the_ordinary_views() {
    let sink = Sink::answering(200).await;
    let (stepwell, _workers) = running(in_memory()).await;
    endpoint(&stepwell, &sink).await;
    let job = note(&stepwell, "a").await;
    told(&stepwell, job.id(), EventType::WebhookDelivered).await;
    let listed = stepwell.list(JobFilter::default(), PageRequest::default()).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert!(stepwell.counts().await.unwrap().iter().all(|count| &*count.kind == "note"));
    let mut events = stepwell.events().after(0).subscribe();
    loop {
        let event = soon("an event", events.next()).await.unwrap();
        assert_eq!(&*event.kind, "note");
        if matches!(event.change, Change::WebhookDelivered) {
            break;
        }
    }
}

#[tokio::test]
async fn an_endpoint_is_told_of_what_it_wants_and_of_nothing_that_happened_before_it_was_made() {
    let sink = Sink::answering(200).await;
    let (stepwell, _workers) = running(in_memory()).await;
    let before = note(&stepwell, "before").await;
    before.result().await.unwrap();
    let mut failures = NewEndpoint::new(sink.url("/failures"));
    failures.events = vec![EventType::Failed];
    stepwell.webhooks().create(failures).await.unwrap();
    let mut tagged = NewEndpoint::new(sink.url("/tagged"));
    (tagged.tags, tagged.kinds) = (vec!["vip".into()], vec!["note".into()]);
    stepwell.webhooks().create(tagged).await.unwrap();
    let mut other = NewEndpoint::new(sink.url("/other"));
    other.queues = vec!["elsewhere".into()];
    stepwell.webhooks().create(other).await.unwrap();

    note(&stepwell, "plain").await.result().await.unwrap();
    note(&stepwell, "fail").await.result().await.unwrap_err();
    stepwell.enqueue(Note("vip".into())).tag("vip").await.unwrap().result().await.unwrap();
    let mut paths: Vec<(String, String)> =
        sink.reaches(2).await.iter().map(|received| (received.path.clone(), received.event())).collect();
    paths.sort();
    let expected = [("/failures", "job:failed"), ("/tagged", "job:completed")];
    assert_eq!(paths, expected.map(|(path, event)| (path.to_owned(), event.to_owned())));
    let all = deliveries(&stepwell, DeliveryFilter::default()).await;
    assert_eq!(all.len(), 2, "{all:?}");
}

/// Receivers hold the time against their own clocks, and refuse what is minutes away.
#[tokio::test]
async fn the_timestamp_is_the_wall_clock_at_sending_however_far_the_stores_clock_is_ahead() {
    let sink = Sink::answering(200).await;
    let clock = Clock::system();
    clock.not_before(clock.now() + Duration::from_hours(1));
    let (stepwell, _workers) = running(in_memory().clock(clock)).await;
    endpoint(&stepwell, &sink).await;
    note(&stepwell, "a").await;
    let received = sink.reaches(1).await.remove(0);
    let away = Clock::system().wall().as_micros() / 1_000_000 - received.timestamp();
    assert!((0..300).contains(&away), "{away} s");
}

#[tokio::test]
async fn a_job_has_a_webhook_of_its_own() {
    let sink = Sink::answering(200).await;
    let (stepwell, _workers) = running(in_memory()).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let of_job = |path: &str, secret: Option<&str>, events: &[EventType]| JobWebhook {
        url: sink.url(path),
        secret: secret.map(str::to_owned),
        events: events.to_vec(),
    };
    let ends = stepwell.enqueue(Note("a".into())).webhook(of_job("/ends", Some(secret), &[])).await.unwrap();
    told(&stepwell, ends.id(), EventType::WebhookDelivered).await;
    let received = sink.reaches(1).await.remove(0);
    assert_eq!((received.path.as_str(), received.event().as_str()), ("/ends", "job:completed"));
    assert_eq!(received.signatures_with(secret), 1);
    let record = ends.record().await.unwrap();
    assert!(record.details.webhook_sent && !format!("{record:?}").contains("whsec"));

    let events = [EventType::Started, EventType::Failed];
    stepwell.enqueue(Note("fail".into())).webhook(of_job("/some", None, &events)).await.unwrap();
    let mut seen: Vec<String> = sink.reaches(3).await[1..].iter().map(|received| received.event()).collect();
    seen.sort();
    assert_eq!(seen, ["job:failed", "job:started"]);
    assert!(sink.received()[1..].iter().all(|received| !received.headers.contains_key("webhook-signature")));
}

/// The schedule, attempt by attempt, with a clock that is moved by hand.
#[tokio::test]
async fn attempts_follow_the_schedule_and_then_the_delivery_is_given_up_and_kept() {
    let sink = Sink::answering(500).await;
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (stepwell, _workers) = running(in_memory().clock(clock.clone())).await;
    endpoint(&stepwell, &sink).await;
    let job = note(&stepwell, "a").await;
    let pauses = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for (nth, pause) in pauses.into_iter().enumerate() {
        sink.reaches(nth + 1).await;
        let id = sink.received()[0].id().parse().unwrap();
        let waiting = reaches(&stepwell, id, DeliveryState::Waiting).await.delivery;
        let wait = waiting.next_attempt_at.unwrap().since(clock.now()).as_secs_f64() / f64::from(pause);
        assert!((0.79..=1.21).contains(&wait), "pause {nth}: {wait} of what the schedule says");
        // As little as it takes: after five days of failures the endpoint would be disabled.
        clock.advance(waiting.next_attempt_at.unwrap().since(clock.now()));
    }
    let received = sink.reaches(10).await;
    assert!(received.iter().all(|each| each.id() == received[0].id() && each.body == received[0].body));
    let mut times: Vec<i64> = received.iter().map(|each| each.timestamp()).collect();
    times.dedup();
    assert_eq!(times.len(), 10, "each attempt is signed anew");
    let failed = told(&stepwell, job.id(), EventType::WebhookFailed).await;
    let data = format!("{failed:?}");
    assert!(data.contains("answered 500"), "{data}");
    let detail = reaches(&stepwell, received[0].id().parse().unwrap(), DeliveryState::Failed).await;
    assert_eq!(detail.attempt_log.len(), 10);
    assert!(!job.record().await.unwrap().details.webhook_sent);

    // It is kept, and can be sent again under the same id.
    let again = stepwell.webhooks().redeliver(detail.delivery.id).await.unwrap();
    assert_ne!(again.state, DeliveryState::Failed);
    assert_eq!(sink.reaches(11).await[10].id(), received[0].id());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let sink = Sink::answering(410).await;
    let (stepwell, _workers) = running(in_memory()).await;
    let id = endpoint(&stepwell, &sink).await.endpoint.id;
    let job = note(&stepwell, "a").await;
    let failed = told(&stepwell, job.id(), EventType::WebhookFailed).await;
    assert!(format!("{failed:?}").contains("410"), "{failed:?}");
    let disabled = stepwell.webhooks().get(&id).await.unwrap().disabled.unwrap();
    assert_eq!(disabled.reason, DisabledReason::Gone);
    note(&stepwell, "b").await.result().await.unwrap();
    let fails = note(&stepwell, "c").await;
    fails.result().await.unwrap();
    // What happens from now on raises no deliveries.
    stepwell.webhooks().enable(&id).await.unwrap();
    note(&stepwell, "d").await.result().await.unwrap();
    let received = sink.reaches(2).await;
    assert_eq!(received.len(), 2, "neither b nor c was told, before or afterwards");
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it_from_all_that_wait_for_it() {
    let sink = Sink::scripted(|_, nth| match nth {
        0 => Reply::Full { status: 429, headers: vec![("retry-after", "600".into())], body: String::new() },
        _ => Reply::Status(200),
    })
    .await;
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (stepwell, _workers) = running(in_memory().clock(clock.clone())).await;
    endpoint(&stepwell, &sink).await;
    let first = note(&stepwell, "a").await;
    let id = sink.reaches(1).await[0].id().parse().unwrap();
    let waiting = reaches(&stepwell, id, DeliveryState::Waiting).await.delivery;
    assert_eq!(waiting.next_attempt_at.unwrap().since(clock.now()), Duration::from_secs(600));
    let second = note(&stepwell, "b").await;
    second.result().await.unwrap();
    clock.advance(Duration::from_secs(599));
    // Long enough for many looks of the courier, whose clock is moved by hand.
    let held = tokio::time::timeout(
        Duration::from_millis(300),
        told(&stepwell, second.id(), EventType::WebhookDelivered),
    );
    assert!(held.await.is_err(), "it is spared by the others too");
    assert_eq!(sink.received().len(), 1);
    clock.advance(Duration::from_secs(2));
    told(&stepwell, first.id(), EventType::WebhookDelivered).await;
    told(&stepwell, second.id(), EventType::WebhookDelivered).await;
}

#[tokio::test]
async fn a_slow_endpoint_starves_nobody() {
    let slow = Sink::scripted(|_, _| Reply::WhenOpen(200)).await;
    let quick = Sink::answering(200).await;
    let (stepwell, workers) = running(in_memory()).await;
    endpoint(&stepwell, &slow).await;
    endpoint(&stepwell, &quick).await;
    for n in 0..50 {
        note(&stepwell, &n.to_string()).await;
    }
    quick.reaches(50).await;
    assert_eq!(slow.received().len(), 4, "four at once, and no more");
    slow.open_gate();
    slow.reaches(50).await;
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

#[tokio::test]
async fn answers_that_are_no_acceptance_are_failures_and_redirects_are_not_followed() {
    let elsewhere = Sink::answering(200).await;
    let to = elsewhere.url("/stolen");
    let sink = Sink::scripted(move |received, _| match &*received.path {
        "/redirect" => {
            Reply::Full { status: 307, headers: vec![("location", to.clone())], body: String::new() }
        }
        "/cut" => Reply::Cut,
        "/huge" => Reply::Full { status: 500, headers: Vec::new(), body: "x".repeat(100_000) },
        "/drip" => Reply::Drip(404),
        path => Reply::Status(path[1..].parse().unwrap()),
    })
    .await;
    let (stepwell, _workers) = running(in_memory()).await;
    for path in ["/redirect", "/cut", "/huge", "/404", "/300", "/304"] {
        stepwell.webhooks().create(NewEndpoint::new(sink.url(path))).await.unwrap();
    }
    let job = note(&stepwell, "a").await;
    sink.reaches(6).await;
    let of_job = DeliveryFilter { job: Some(job.id()), ..DeliveryFilter::default() };
    let all_failed = async {
        loop {
            let found = deliveries(&stepwell, of_job.clone()).await;
            if found.len() == 6 && found.iter().all(|each| each.error.is_some()) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for delivery in soon("each has failed once", all_failed).await {
        let detail = stepwell.webhooks().delivery(delivery.id).await.unwrap();
        assert!(detail.attempt_log[0].response.len() <= 16 << 10);
        assert!(delivery.next_attempt_at.is_some(), "{delivery:?}");
    }
    assert_eq!(elsewhere.connections(), 0, "nobody was led elsewhere");
}

#[tokio::test]
async fn an_answer_without_end_is_an_answer() {
    let sink =
        Sink::scripted(|_, _| Reply::Full { status: 200, headers: Vec::new(), body: "x".repeat(1 << 20) })
            .await;
    let (stepwell, _workers) = running(in_memory()).await;
    endpoint(&stepwell, &sink).await;
    let job = note(&stepwell, "a").await;
    told(&stepwell, job.id(), EventType::WebhookDelivered).await;
    let id = sink.received()[0].id().parse().unwrap();
    let detail = stepwell.webhooks().delivery(id).await.unwrap();
    assert_eq!(detail.attempt_log[0].response.len(), 16 << 10);
}

#[tokio::test]
async fn five_days_of_failures_disable_an_endpoint_and_say_so() {
    let sink = Sink::answering(503).await;
    let clock = Clock::manual(std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let (stepwell, _workers) = running(in_memory().clock(clock.clone())).await;
    let made = endpoint(&stepwell, &sink).await;
    let mut last = None;
    for day in 0..6 {
        let job = note(&stepwell, &day.to_string()).await;
        sink.reaches(day + 1).await;
        let of_job = DeliveryFilter { job: Some(job.id()), ..DeliveryFilter::default() };
        let id = soon("there is a delivery", async {
            loop {
                if let Some(found) = deliveries(&stepwell, of_job.clone()).await.first() {
                    return found.id;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let enabled = stepwell.webhooks().get(&made.endpoint.id).await.unwrap().enabled;
        assert!(enabled || day == 5, "not before five days are over: day {day}");
        // Skipped, so that only the first attempts count here.
        if day < 5 {
            reaches(&stepwell, id, DeliveryState::Waiting).await;
            stepwell.webhooks().skip(id).await.unwrap();
            clock.advance(Duration::from_hours(24));
        }
        last = Some(job);
    }
    let failed = told(&stepwell, last.unwrap().id(), EventType::WebhookFailed).await;
    assert!(format!("{failed:?}").contains("the endpoint is now disabled"), "{failed:?}");
    let shown = stepwell.webhooks().get(&made.endpoint.id).await.unwrap();
    assert_eq!(shown.disabled.unwrap().reason, DisabledReason::Failing);
    let health = stepwell.webhooks().health(&made.endpoint.id).await.unwrap();
    assert!(health.failing_since.is_some() && health.last_success_at.is_none());
}

/// What the predecessor got wrong: a webhook that finished after retention had removed its job brought it down.
#[tokio::test]
async fn webhook_outlives_its_job() {
    let sink = Sink::scripted(|_, _| Reply::WhenOpen(200)).await;
    let (stepwell, workers) = running(in_memory()).await;
    let made = endpoint(&stepwell, &sink).await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let own = JobWebhook { url: sink.url("/own"), secret: Some(secret.into()), events: Vec::new() };
    let job = stepwell.enqueue(Note("a".into())).webhook(own).await.unwrap();
    job.result().await.unwrap();
    sink.reaches(2).await;
    stepwell.delete(job.id()).await.unwrap();
    sink.open_gate();
    for received in sink.received() {
        let secret = if received.path == "/own" { secret } else { made.secret.as_ref().unwrap().reveal() };
        assert_eq!(received.signatures_with(secret), 1);
        reaches(&stepwell, received.id().parse().unwrap(), DeliveryState::Delivered).await;
    }
    // Also one that is sent for the first time when the job has gone.
    let id = sink.received().iter().find(|received| received.path == "/own").unwrap().id().parse().unwrap();
    stepwell.webhooks().redeliver(id).await.unwrap();
    assert_eq!(sink.reaches(3).await[2].signatures_with(secret), 1);
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
}

/// What the predecessor got wrong: storage was closed before what is known of a webhook was written down.
#[tokio::test]
async fn shutdown_waits_for_inflight_webhooks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let sink = Sink::scripted(|_, _| Reply::WhenOpen(200)).await;
    let (stepwell, workers) = running(Stepwell::sqlite(&path).webhooks(local())).await;
    endpoint(&stepwell, &sink).await;
    let job = note(&stepwell, "a").await;
    sink.reaches(1).await;
    let ending = tokio::spawn(async move { workers.shutdown(Duration::from_secs(20)).await });
    let draining = async {
        // Nothing is claimed any more once it drains: a job that is enqueued then stays.
        while !ending.is_finished() {
            let late = stepwell.enqueue(Note("late".into())).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
            if late.state().await.unwrap() == stepwell::JobState::Pending {
                return;
            }
        }
        panic!("the shutdown did not wait for the webhook");
    };
    soon("the drain has begun", draining).await;
    sink.open_gate();
    soon("the shutdown ends", ending).await.unwrap().unwrap();

    let stepwell = Stepwell::sqlite(&path).webhooks(local().idle()).open().await.unwrap();
    let delivery = deliveries(&stepwell, DeliveryFilter::default()).await.remove(0);
    assert_eq!(delivery.state, DeliveryState::Delivered, "the attempt was recorded");
    let record = stepwell.job(job.id()).await.unwrap();
    assert!(record.details.webhook_sent, "and so was what it says about the job");
    stepwell.close().await.unwrap();
}

#[tokio::test]
async fn a_webhook_that_hangs_does_not_hold_up_a_shutdown_and_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    let sink = Sink::scripted(|_, nth| if nth == 0 { Reply::Hang } else { Reply::Status(200) }).await;
    let (stepwell, workers) = running(Stepwell::sqlite(&path).webhooks(local())).await;
    endpoint(&stepwell, &sink).await;
    let job = note(&stepwell, "a").await;
    sink.reaches(1).await;
    let begun = std::time::Instant::now();
    workers.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(stepwell);

    let (stepwell, workers) = running(Stepwell::sqlite(&path).webhooks(local())).await;
    told(&stepwell, job.id(), EventType::WebhookDelivered).await;
    let received = sink.received();
    assert_eq!((received.len(), received[0].id()), (2, received[1].id()));
    let detail = stepwell.webhooks().delivery(received[0].id().parse().unwrap()).await.unwrap();
    assert_eq!(detail.delivery.attempts, 1, "what a shutdown cut off is not charged");
    workers.shutdown(Duration::from_secs(5)).await.unwrap();
}

/// No output holds a secret, whoever repeats it.
#[tokio::test]
async fn no_secret_shows_anywhere() {
    // It answers with everything that it was sent.
    let sink = Sink::scripted(|received, _| Reply::Full {
        status: 500,
        headers: vec![("x-echo", received.header("authorization").to_owned())],
        body: format!("{:?}", received.headers),
    })
    .await;
    let (stepwell, _workers) = running(in_memory()).await;
    let (canary, key) =
        ("Bearer canary-4f1c-authorization", "whsec_Y2FuYXJ5LWtleS1jYW5hcnkta2V5LWNhbmFyeS1r");
    let mut new = NewEndpoint::new(sink.url("/hook"));
    new.headers.insert("Authorization".into(), canary.into());
    new.secret = Some(stepwell::webhook::Secret::parse(key).unwrap());
    let made = stepwell.webhooks().create(new).await.unwrap();
    let own = JobWebhook { url: sink.url("/own"), secret: Some(key.into()), events: Vec::new() };
    let job = stepwell.enqueue(Note("a".into())).webhook(own.clone()).await.unwrap();
    let received = sink.reaches(2).await;
    assert!(received.iter().any(|each| each.header("authorization") == canary), "it was sent");
    assert!(received.iter().all(|each| each.signatures_with(key) == 1));

    let mut said = format!("{made:?} {own:?} {:?}", stepwell.webhooks().list(None, 10).await.unwrap());
    for each in &received {
        let id = each.id().parse().unwrap();
        let detail = reaches(&stepwell, id, DeliveryState::Waiting).await;
        assert!(!detail.attempt_log[0].response.is_empty());
        said.push_str(&format!("{detail:?} {}", serde_json::to_string(&detail).unwrap()));
        said.push_str(&format!("{:?}", stepwell.job(id).await.unwrap()));
        said.push_str(stepwell.payload(id).await.unwrap().as_str());
        said.push_str(&format!("{:?}", stepwell.log(id).await.unwrap()));
        said.push_str(&format!("{:?}", stepwell.history(id).await.unwrap()));
    }
    said.push_str(&format!(
        "{:?} {:?}",
        job.record().await.unwrap(),
        stepwell.history(job.id()).await.unwrap()
    ));
    said.push_str(&format!("{:?}", stepwell.webhooks().health(&made.endpoint.id).await.unwrap()));
    said.push_str(&serde_json::to_string(&made.endpoint).unwrap());
    for secret in ["canary-4f1c", "Y2FuYXJ5", "canary-key"] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(said.contains("[hidden]") && said.contains("authorization"), "the search would have found it");
    let _ = Json::null();
}

/// Jobs go before deliveries, but do not keep them from being sent.
#[tokio::test]
async fn under_a_load_that_never_ends_ends_are_told_all_the_same() {
    let sink = Sink::answering(204).await;
    let (stepwell, _workers) = running(in_memory()).await;
    endpoint(&stepwell, &sink).await;
    let feed = async {
        loop {
            let notes = (0..200).map(|n| Note(n.to_string()));
            let fed = stepwell.enqueue_many(notes).await.unwrap();
            // The next ones come before these have all been claimed.
            fed[100].as_ref().unwrap().result().await.unwrap();
        }
    };
    tokio::select! {
        () = feed => {}
        received = sink.reaches(100) => assert!(received.len() >= 100),
    }
}
