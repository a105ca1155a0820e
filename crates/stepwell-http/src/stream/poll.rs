//! Events as JSON, for programs that ask again and again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use utoipa::ToSchema;

use super::follow::{Follow, Told};
use crate::{front::Problem, hub::Hub, shape::event::EventView};

/// What has happened.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is put together from encoded events")]
pub(crate) struct Polled {
    /// The events, in order.
    events: Vec<EventView>,
    /// The place that they lead up to: the `after` of the next request.
    next: String,
    /// Events before the first one here are no longer kept, and were missed.
    gap: Option<Missed>,
    /// The place was of another log. This one is told from its beginning.
    reset: Option<Missed>,
}

/// Where the log goes on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is put together by hand")]
pub(crate) struct Missed {
    /// The oldest `pos` that is kept.
    oldest: u64,
}

/// What there is, or what comes within a time.
pub(crate) async fn poll(
    hub: &Arc<Hub>,
    mut follow: Follow,
    limit: usize,
    wait: Duration,
) -> Result<Bytes, Problem> {
    let end = tokio::time::sleep(wait);
    tokio::pin!(end);
    let mut told = Vec::new();
    loop {
        let found = follow.look(limit - told.len()).await?;
        let nothing_new = found.is_empty();
        told.extend(found);
        if told.len() >= limit || (nothing_new && !told.is_empty()) {
            break;
        }
        if nothing_new {
            tokio::select! {
                more = follow.grown() => if !more { break },
                () = &mut end => break,
                () = hub.draining.cancelled() => break,
            }
        }
    }
    // What was found and not yet told stands in the way of the place.
    let last = told.last().map(|told| match told {
        Told::Event(frame) => frame.pos(),
        Told::Gap { oldest, .. } | Told::Reset { oldest } => oldest.saturating_sub(1),
    });
    let pos = match (follow.is_caught_up(), last) {
        (false, Some(last)) => last,
        _ => follow.pos(),
    };
    Ok(encode(&told, &hub.place(pos)))
}

fn encode(told: &[Told], next: &str) -> Bytes {
    let mut text = Vec::from(b"{\"events\":[");
    let mut after = String::new();
    let mut first = true;
    for told in told {
        match told {
            Told::Event(frame) => {
                if !std::mem::take(&mut first) {
                    text.push(b',');
                }
                text.extend_from_slice(&frame.json());
            }
            Told::Gap { oldest, .. } => after.push_str(&format!(",\"gap\":{{\"oldest\":{oldest}}}")),
            Told::Reset { oldest } => after.push_str(&format!(",\"reset\":{{\"oldest\":{oldest}}}")),
        }
    }
    text.extend_from_slice(format!("],\"next\":\"{next}\"{after}}}").as_bytes());
    text.into()
}
