//! An event that cannot be read: whoever reads the log is told of a gap, and goes on.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "webhooks")]

mod notes;
mod sink;
mod support;

use std::time::Duration;

use notes::{Note, note, write};
use sink::{Sink, local};
use stepwell::{
    Change, EventType, Stepwell,
    series::{Metric, SeriesRequest},
    webhook::NewEndpoint,
};
use support::soon;

#[tokio::test]
async fn followers_webhooks_and_series_go_on_after_an_event_that_cannot_be_read() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("jobs.db");
    let sink = Sink::answering(200).await;
    let stepwell =
        Stepwell::sqlite(&path).webhooks(local()).worker_fn::<Note, _, _>(write).open().await.unwrap();
    let endpoint = NewEndpoint { events: vec![EventType::Enqueued], ..NewEndpoint::new(sink.url("/hook")) };
    stepwell.webhooks().create(endpoint).await.unwrap();
    let mut jobs = Vec::new();
    for text in ["a", "b", "c"] {
        jobs.push(note(&stepwell, text).await);
    }
    let conn = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(conn.execute("UPDATE sw_event SET data = '[' WHERE last_pos = 2", []).unwrap(), 1);

    let mut events = stepwell.events().after(0).of_types([EventType::Enqueued]).subscribe();
    let mut found = Vec::new();
    for _ in 0..3 {
        let event = soon("an event", events.next()).await.unwrap();
        found.push((event.pos, event.change));
    }
    assert_eq!(found, [(1, Change::Enqueued), (2, Change::StreamGap { oldest: 3 }), (3, Change::Enqueued)]);

    let _workers = stepwell.start();
    let mut told: Vec<String> = sink
        .reaches(2)
        .await
        .iter()
        .map(|received| received.json()["jobId"].as_str().unwrap().to_owned())
        .collect();
    told.sort_unstable();
    assert_eq!(told, [jobs[0].id().to_string(), jobs[2].id().to_string()]);
    for job in jobs {
        soon("the end", job.result()).await.unwrap();
    }

    // What cannot be counted is not passed over in silence.
    let now = stepwell.clock().now();
    let (from, to, step) = (now - Duration::from_secs(600), now, Duration::from_secs(60));
    let series = SeriesRequest {
        metric: Metric::Depth,
        queue: None,
        kind: None,
        only_queues: None,
        only_kinds: None,
        from,
        to,
        step,
    };
    assert!(!stepwell.series(series).await.unwrap().is_complete);
}
