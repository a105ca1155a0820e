//! Events as JSON, for programs that ask again and again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use utoipa::ToSchema;

use super::follow::{Follow, Look, Told};
use crate::{
    front::Problem,
    hub::{Hub, place},
    shape::event::EventView,
};

/// How long a request looks through events that are not wanted, if it would not wait longer anyhow.
const SEARCH_MAX: Duration = Duration::from_secs(1);

/// What has happened.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is put together from encoded events")]
pub(crate) struct Polled {
    /// The events, in order.
    events: Vec<EventView>,
    /// The place that they lead up to: the `after` of the next request.
    next: String,
    /// Events before the first one here are no longer kept, or cannot be read, and were missed.
    gap: Option<Missed>,
    /// The place was of another log. This one is told from its beginning.
    reset: Option<Missed>,
}

/// Where the log goes on.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is put together by hand")]
pub(crate) struct Missed {
    /// The `pos` with which it goes on.
    oldest: u64,
}

/// What there is, or what comes within a time.
pub(crate) async fn poll(
    hub: &Arc<Hub>,
    mut follow: Follow,
    limit: usize,
    wait: Duration,
) -> Result<Bytes, Problem> {
    let (end, search_end) = (tokio::time::sleep(wait), tokio::time::sleep(wait.max(SEARCH_MAX)));
    tokio::pin!(end, search_end);
    let mut told = Vec::new();
    // Of the log that is told, which need not be the one that was found last.
    let mut generation = follow.generation();
    // What was acknowledged before the request is in its answer, also if the reader of the log is a moment behind.
    let head = hub.stepwell.head();
    loop {
        match follow.look(limit - told.len()).await? {
            Look::Told(mut found) => {
                // A gap stands before the first event of an answer. One that comes later is for the next answer.
                let is_gap =
                    |(nth, one): (usize, &Told)| nth + told.len() > 0 && !matches!(one, Told::Event(_));
                let end = found.iter().enumerate().position(is_gap);
                follow.put_back(found.drain(end.unwrap_or(found.len())..));
                for one in &found {
                    if let Told::Reset { generation: another, .. } = one {
                        generation = another.clone();
                    }
                }
                told.extend(found);
                if told.len() >= limit || end.is_some() {
                    break;
                }
            }
            Look::Nothing if told.is_empty() => {
                let is_behind = follow.pos() < head;
                tokio::select! {
                    more = follow.grown() => if !more { break },
                    () = &mut end, if !is_behind => break,
                    () = &mut search_end, if is_behind => break,
                    () = hub.draining.cancelled() => break,
                }
            }
            Look::Nothing => break,
            // An empty answer says how far it came, so that the next request goes on there.
            Look::More => tokio::select! {
                biased;
                () = &mut search_end => break,
                () = hub.draining.cancelled() => break,
                () = std::future::ready(()) => {}
            },
        }
    }
    // What was found and not yet told stands in the way of the place.
    let last = told.last().map(|told| match told {
        Told::Event(frame) => frame.pos(),
        Told::Gap { oldest, .. } | Told::Reset { oldest, .. } => oldest.saturating_sub(1),
    });
    let pos = match (follow.is_caught_up(), last) {
        (false, Some(last)) => last,
        _ => follow.pos(),
    };
    Ok(encode(&told, &place(&generation, pos)))
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
            Told::Reset { oldest, .. } => after.push_str(&format!(",\"reset\":{{\"oldest\":{oldest}}}")),
        }
    }
    text.extend_from_slice(format!("],\"next\":\"{next}\"{after}}}").as_bytes());
    text.into()
}
