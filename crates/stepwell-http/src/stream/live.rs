//! Events as an event stream (WHATWG HTML, 9.2).

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use tokio::{sync::OwnedSemaphorePermit, time::Sleep};

use super::follow::{Follow, Told};
use crate::{
    front::{Code, Problem},
    hub::Hub,
};

struct Live {
    hub: Arc<Hub>,
    follow: Follow,
    waiting: VecDeque<Bytes>,
    /// When the client is asked to come again.
    end: std::pin::Pin<Box<Sleep>>,
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
        follow,
        // The comment opens the stream at once, also through a proxy that waits for the first bytes.
        waiting: VecDeque::from([Bytes::from(format!(": stepwell\nretry: {retry_ms}\n{place}\n"))]),
        end: Box::pin(tokio::time::sleep(age)),
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
            match self.follow.look(usize::MAX).await {
                Ok(told) if told.is_empty() => self.wait().await,
                Ok(told) => {
                    for told in &told {
                        let frame = self.frame(told);
                        self.waiting.push_back(frame);
                    }
                }
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

    /// Waits for more, and says now and then that the stream lives.
    async fn wait(&mut self) {
        let heartbeat = self.hub.options.heartbeat;
        tokio::select! {
            more = self.follow.grown() => self.ended = !more,
            () = tokio::time::sleep(heartbeat) => {
                if self.hub.is_still_good(self.follow.grant()).await {
                    // An id without data moves the place from which the client will resume, and raises no event.
                    let place = self.hub.place(self.follow.pos());
                    self.waiting.push_back(format!(":\nid: {place}\n\n").into());
                } else {
                    self.ended = true;
                }
            }
            () = self.end.as_mut() => self.ended = true,
            () = self.hub.draining.cancelled() => self.ended = true,
        }
    }

    fn frame(&self, told: &Told) -> Bytes {
        let (ty, oldest, from) = match told {
            Told::Event(frame) => return frame.stream_frame(&self.hub.generation),
            Told::Gap { from, oldest } => ("stream:gap", *oldest, Some(*from)),
            Told::Reset { oldest } => ("stream:reset", *oldest, None),
        };
        let place = self.hub.place(oldest.saturating_sub(1));
        let data = serde_json::json!({ "type": ty, "from": from, "oldest": oldest });
        format!("id: {place}\nevent: {ty}\ndata: {data}\n\n").into()
    }
}
