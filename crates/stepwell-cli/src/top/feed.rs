//! Where what is known comes from: counters and lists every second, events as they come.

use std::time::Duration;

use serde_json::{Value, value::RawValue};
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{MissedTickBehavior, interval},
};

use super::{board::Known, run::Told};
use crate::{
    client::Client,
    failure::{FailedTo, Failure},
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Jobs that are listed.
const JOBS_MAX: usize = 100;

/// Looks again and again, for ever. What cannot be read now may be the next time.
pub(super) async fn look(client: &Client, told: &UnboundedSender<Told>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let message = match known(client).await {
            Ok(known) => Told::Known(Box::new(known)),
            Err(failure) => Told::Words(failure.to_string()),
        };
        // Nobody listens any more only once this is dropped, too.
        told.send(message).ok();
    }
}

async fn known(client: &Client) -> Result<Known, Failure> {
    let jobs = async |state: &[(&str, &str)]| {
        values(client.list("list the jobs", "/api/v1/jobs", state, JOBS_MAX, None).await?.items)
    };
    Ok(Known {
        stats: client.get("read the counters", "/api/v1/stats").await?.value()?,
        queues: values(client.whole("list the queues", "/api/v1/queues").await?)?,
        jobs: jobs(&[]).await?,
        failed: jobs(&[("state", "failed")]).await?,
    })
}

fn values(items: Vec<Box<RawValue>>) -> Result<Vec<Value>, Failure> {
    let value = |item: Box<RawValue>| serde_json::from_str(item.get()).failed_to("understand the answer");
    items.into_iter().map(value).collect()
}

/// Follows the events, for ever, over restarts of the server.
pub(super) async fn follow(client: &Client, told: &UnboundedSender<Told>) {
    let mut frames = client.follow("follow the events", "/api/v1/events".to_owned()).silently();
    loop {
        match frames.next().await {
            Ok(frame) if frame.event.starts_with("stream:") => {}
            Ok(frame) => {
                if let Ok(event) = serde_json::from_str(&frame.data) {
                    told.send(Told::Event(event)).ok();
                }
            }
            Err(failure) => {
                told.send(Told::Words(failure.to_string())).ok();
                tokio::time::sleep(EVERY).await;
            }
        }
    }
}
