//! Events as an event stream (WHATWG HTML, 9.2).

use std::{collections::VecDeque, convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use tokio::{sync::OwnedSemaphorePermit, time::Sleep};

use super::follow::{Follow, Look, Told};
use crate::{
    front::{Code, Problem},
    hub::{Hub, place},
};

struct Live {
    hub: Arc<Hub>,
    follow: Follow,
    /// The id of the log that is told.
    generation: Arc<str>,
    waiting: VecDeque<Bytes>,
    /// When the client is asked to come again.
    end: Pin<Box<Sleep>>,
    /// When it is next told that the stream lives, whatever else it is told.
    beat: Pin<Box<Sleep>>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// Answers with an event stream, which says first from which place it begins, if that is new to the client.
pub(crate) fn live(hub: &Arc<Hub>, follow: Follow, place: Option<&str>) -> Result<Response, Problem> {
    let permit = hub.streams.clone().try_acquire_owned().map_err(|_| {
        let problem = Problem::new(Code::Overloaded, "too many event streams are open");
        problem.retry_after(Duration::from_millis(1_000 + u64::from(hub.stepwell.random::<1>()[0]) * 16))
    })?;
    let dice = hub.stepwell.random::<4>();
    let share = |byte: u8| f64::from(byte) / 255.0;
    // Whoever was cut off together comes back one by one.
    let retry_ms = 1_000 + u64::from(u16::from_le_bytes([dice[0], dice[1]])) * 4_000 / 65_535;
    let mut age = hub.options.stream_age_max.mul_f64(0.8 + 0.4 * share(dice[2]));
    if let Some(end) = follow.grant().expires_at {
        age = age.min(end.since(hub.stepwell.clock().now()));
    }
    let place = place.map_or_else(String::new, |place| format!("id: {place}\n"));
    let live = Live {
        hub: hub.clone(),
        generation: follow.generation(),
        follow,
        // The comment opens the stream at once, also through a proxy that waits for the first bytes.
        waiting: VecDeque::from([Bytes::from(format!(": stepwell\nretry: {retry_ms}\n{place}\n"))]),
        end: Box::pin(tokio::time::sleep(age)),
        beat: Box::pin(tokio::time::sleep(hub.options.heartbeat)),
        ended: false,
        _permit: permit,
    };
    let frames = futures_util::stream::unfold(live, |mut live| async move {
        let frame = live.next().await?;
        Some((Ok::<_, Infallible>(frame), live))
    });
    let mut response = Body::from_stream(frames).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // A proxy that stores, compresses or gathers would hold back what is meant for now.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

impl Live {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Some(frame);
            }
            if self.ended {
                return None;
            }
            // Also while there is always something to tell: its end does not wait for a quiet moment.
            self.attend(false).await;
            if self.ended || !self.waiting.is_empty() {
                continue;
            }
            match self.follow.look(usize::MAX).await {
                Ok(Look::Told(told)) => {
                    let frames: Vec<Bytes> = told.iter().map(|told| self.frame(told)).collect();
                    self.waiting.extend(frames);
                }
                Ok(Look::More) => {}
                Ok(Look::Nothing) => self.attend(true).await,
                Err(error) => {
                    // The client comes again with the last id that it saw, and nothing is lost.
                    if !error.is_closed() {
                        tracing::warn!(%error, "failed to read the event log for a stream");
                    }
                    self.ended = true;
                }
            }
        }
    }

    /// Does what is due; if asked to, waits until something is, or the log grows.
    async fn attend(&mut self, wait: bool) {
        let grown = async {
            match wait {
                true => self.follow.grown().await,
                false => true,
            }
        };
        tokio::select! {
            biased;
            () = self.end.as_mut() => self.ended = true,
            () = self.hub.draining.cancelled() => self.ended = true,
            () = self.beat.as_mut() => self.say_that_it_lives().await,
            more = grown => self.ended = !more,
        }
    }

    async fn say_that_it_lives(&mut self) {
        self.beat.set(tokio::time::sleep(self.hub.options.heartbeat));
        if !self.hub.is_still_good(self.follow.grant()).await {
            self.ended = true;
            return;
        }
        // An id without data moves the place from which the client will resume, and raises no event.
        let place = match self.follow.is_caught_up() {
            true => format!("id: {}\n", self.follow.place()),
            false => String::new(),
        };
        self.waiting.push_back(format!(":\n{place}\n").into());
    }

    fn frame(&mut self, told: &Told) -> Bytes {
        let (ty, oldest, from) = match told {
            Told::Event(frame) => return frame.stream_frame(&self.generation),
            Told::Gap { from, oldest } => ("stream:gap", *oldest, Some(*from)),
            Told::Reset { oldest, generation } => {
                self.generation = generation.clone();
                ("stream:reset", *oldest, None)
            }
        };
        let place = place(&self.generation, oldest.saturating_sub(1));
        let data = serde_json::json!({ "type": ty, "from": from, "oldest": oldest });
        format!("id: {place}\nevent: {ty}\ndata: {data}\n\n").into()
    }
}
