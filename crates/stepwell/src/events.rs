//! What happened: the durable log, as a stream.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    client::Stepwell,
    event_cursor::{EventCursor, Found},
    job::Job,
};
use futures_core::Stream;
use serde::Deserialize;
use stepwell_core::{
    Clock, EventType, JobId, Json, Name, Timestamp,
    event::{Event as Stored, EventFilter},
};

/// One thing that happened to a job.
///
/// Events are stored with the change that they report. A subscriber that remembers the last `pos` it saw misses nothing
/// over a restart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// The place in the one order of all events: 1, 2, 3, … without a gap.
    pub pos: u64,
    /// The job.
    pub job: JobId,
    /// The place in the job's own order: 1, 2, 3, … without a gap.
    pub job_seq: u64,
    /// The run of the job: 1, and one more with each operator's retry.
    pub run: u32,
    /// How often the job had been claimed in this run.
    pub attempt: u32,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The job's kind.
    pub kind: Name,
    /// The job's queue at that time.
    pub queue: Name,
    /// What happened, with the contract's name.
    pub event_type: EventType,
    /// The phase it is about.
    pub phase: Option<Name>,
    /// Everything that was said, as it is stored.
    pub data: Json,
    /// What happened, typed.
    pub change: Change,
}

/// What happened, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are what the variants' names say; `docs/lifecycle.md` has them all"
)]
pub enum Change {
    Enqueued,
    Started,
    Resumed,
    PhaseStarted {
        phase: Name,
        attempt: u32,
    },
    PhaseCompleted {
        phase: Name,
    },
    PhaseSkipped {
        phase: Name,
    },
    PhaseFailed {
        phase: Name,
        error: String,
        retry_at: Option<Timestamp>,
    },
    Progress {
        phase: Option<Name>,
        done: u64,
        total: u64,
    },
    Retrying {
        at: Timestamp,
    },
    Snoozed {
        at: Timestamp,
    },
    Released,
    Interrupted {
        phase: Option<Name>,
        node: String,
    },
    Cancelling,
    Completed,
    Failed {
        phase: Option<Name>,
        error: String,
    },
    Cancelled {
        forced: bool,
    },
    Retried,
    Edited,
    Deleted {
        job: JobId,
    },
    WebhookDelivered,
    WebhookFailed,
    /// The stream itself: events before this `pos` are no longer kept, or cannot be read, and were missed.
    StreamGap {
        oldest: u64,
    },
    /// The stream itself: the `pos` to go on from is ahead of the log, so it is of another log. The stream begins with
    /// the oldest event that is kept.
    StreamReset {
        oldest: u64,
    },
}

/// The members of all events' data that [`Change`] shows. Each is there only in some.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data {
    r#try: Option<u32>,
    error: Option<String>,
    retry_at: Option<Timestamp>,
    available_at: Option<Timestamp>,
    done: u64,
    total: u64,
    node: Option<String>,
    forced: bool,
    deleted_job_id: Option<JobId>,
}

impl Change {
    fn of(event: &Stored) -> Self {
        // The data was written by Stepwell; what a later version leaves out shows as empty.
        let data: Data = event.data.decode().unwrap_or_default();
        let phase = || event.phase.clone().unwrap_or_else(|| "".into());
        let at = || data.available_at.unwrap_or(event.at);
        match event.ty {
            EventType::Enqueued => Self::Enqueued,
            EventType::Started => Self::Started,
            EventType::Resumed => Self::Resumed,
            EventType::PhaseStarted => {
                Self::PhaseStarted { phase: phase(), attempt: data.r#try.unwrap_or_default() }
            }
            EventType::PhaseCompleted => Self::PhaseCompleted { phase: phase() },
            EventType::PhaseSkipped => Self::PhaseSkipped { phase: phase() },
            EventType::PhaseFailed => Self::PhaseFailed {
                phase: phase(),
                error: data.error.unwrap_or_default(),
                retry_at: data.retry_at,
            },
            EventType::Progress => {
                Self::Progress { phase: event.phase.clone(), done: data.done, total: data.total }
            }
            EventType::Retrying => Self::Retrying { at: at() },
            EventType::Snoozed => Self::Snoozed { at: at() },
            EventType::Released => Self::Released,
            EventType::Interrupted => {
                Self::Interrupted { phase: event.phase.clone(), node: data.node.unwrap_or_default() }
            }
            EventType::Cancelling => Self::Cancelling,
            EventType::Completed => Self::Completed,
            EventType::Failed => {
                Self::Failed { phase: event.phase.clone(), error: data.error.unwrap_or_default() }
            }
            EventType::Cancelled => Self::Cancelled { forced: data.forced },
            EventType::Retried => Self::Retried,
            EventType::Deleted => Self::Deleted { job: data.deleted_job_id.unwrap_or(event.job) },
            EventType::WebhookDelivered => Self::WebhookDelivered,
            EventType::WebhookFailed => Self::WebhookFailed,
            _ => Self::Edited,
        }
    }
}

impl From<Stored> for Event {
    fn from(stored: Stored) -> Self {
        Self {
            pos: stored.pos,
            job: stored.job,
            job_seq: stored.job_seq,
            run: stored.run,
            attempt: stored.attempt,
            at: stored.at,
            kind: stored.kind.clone(),
            queue: stored.queue.clone(),
            event_type: stored.ty,
            phase: stored.phase.clone(),
            data: stored.data.clone(),
            change: Change::of(&stored),
        }
    }
}

impl Event {
    /// Says something about the stream itself, at the place after which it goes on.
    pub(crate) fn about_the_stream(pos: u64, at: Timestamp, change: Change) -> Self {
        Self {
            pos,
            job: JobId::from_bytes([0; 16]),
            job_seq: 0,
            run: 0,
            attempt: 0,
            at,
            kind: "".into(),
            queue: "".into(),
            event_type: EventType::Edited,
            phase: None,
            data: Json::null(),
            change,
        }
    }
}

/// Which events to receive; begun with [`Stepwell::events`].
#[must_use = "nothing is received until `.subscribe()` is called"]
pub struct Events<'s> {
    stepwell: &'s Stepwell,
    filter: EventFilter,
    after: Option<u64>,
}

impl<'s> Events<'s> {
    pub(crate) fn new(stepwell: &'s Stepwell) -> Self {
        Self { stepwell, filter: EventFilter::default(), after: None }
    }
    /// Only of this kind.
    pub fn of_kind<J: Job>(self) -> Self {
        self.of_kind_named(J::KIND)
    }
    /// Only of this kind.
    pub fn of_kind_named(mut self, kind: impl Into<Name>) -> Self {
        self.filter.kind = Some(kind.into());
        self
    }
    /// Only of this queue.
    pub fn of_queue(mut self, queue: impl Into<Name>) -> Self {
        self.filter.queue = Some(queue.into());
        self
    }
    /// Only of this job.
    pub fn of_job(mut self, id: JobId) -> Self {
        self.filter.job = Some(id);
        self
    }
    /// Only of these types.
    pub fn of_types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.filter.types.extend(types);
        self
    }
    /// Starts after an event already seen; 0 replays everything that is kept. Without it, the stream starts now.
    pub fn after(mut self, pos: u64) -> Self {
        self.after = Some(pos);
        self
    }
    /// Starts to receive. The stream ends when the queue is closed.
    pub fn subscribe(self) -> EventStream {
        let clock = self.stepwell.clock().clone();
        EventStream { events: Box::pin(stream(self.cursor(), clock)) }
    }
    /// Of jobs with this tag.
    pub fn of_tag(mut self, tag: impl Into<Name>) -> Self {
        self.filter.tag = Some(tag.into());
        self
    }
    /// A place in the log to read from at one's own pace: for whoever passes events on to many others.
    pub fn cursor(self) -> EventCursor {
        let engine = &self.stepwell.engine;
        let after = self.after.unwrap_or_else(|| engine.store.head());
        EventCursor::new(engine.tail.follow(after, self.filter))
    }
}

/// Events that are read at once.
const BATCH: usize = 256;

fn stream(cursor: EventCursor, clock: Clock) -> impl Stream<Item = Event> + Send {
    futures_util::stream::unfold((cursor, VecDeque::new()), move |(mut cursor, mut waiting)| {
        let clock = clock.clone();
        async move {
            loop {
                if let Some(event) = waiting.pop_front() {
                    return Some((event, (cursor, waiting)));
                }
                let about = |pos, change| Event::about_the_stream(pos, clock.now(), change);
                match cursor.look(BATCH).await {
                    Ok(Some(Found::Events(frames))) => {
                        waiting.extend(frames.iter().map(|frame| frame.event()));
                    }
                    Ok(Some(Found::Gap { oldest })) => {
                        waiting.push_back(about(cursor.pos(), Change::StreamGap { oldest }));
                    }
                    Ok(Some(Found::Reset { oldest })) => {
                        waiting.push_back(about(cursor.pos(), Change::StreamReset { oldest }));
                    }
                    Ok(None) => {
                        if !cursor.grown().await {
                            return None;
                        }
                    }
                    Err(error) if error.is_closed() => return None,
                    Err(error) => {
                        // Read again at the next change, or soon. Nobody misses anything: the place stays.
                        tracing::warn!(%error, "failed to read the event log");
                        if !cursor.grown().await {
                            return None;
                        }
                    }
                }
            }
        }
    })
}

/// Events, in order. A `futures` stream; [`next`](Self::next) does without that crate.
pub struct EventStream {
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl EventStream {
    /// The next event, or none when the queue was closed.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.events.as_mut().poll_next(cx)).await
    }
}

impl Stream for EventStream {
    type Item = Event;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.as_mut().poll_next(cx)
    }
}
