//! What is asked for, and from where on.

use std::sync::Arc;

use stepwell::{EventCursor, EventType, JobId, wire::Frame};

use crate::{access::Grant, front::Problem, hub::Hub};

/// What is wanted of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) job: Option<JobId>,
    pub(crate) kind: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) types: Vec<EventType>,
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Only what happens from now on.
    Now,
    /// After this place.
    After(u64),
    /// After a place in another log: from the beginning, and the reader is told.
    Reset,
}

impl Wanted {
    /// Checks the names, which would match nothing if they broke a rule.
    pub(crate) fn cursor(&self, hub: &Hub, after: Option<u64>) -> EventCursor {
        let mut events = hub.stepwell.events().of_types(self.types.iter().copied());
        if let Some(job) = self.job {
            events = events.of_job(job);
        }
        if let Some(kind) = &self.kind {
            events = events.of_kind_named(kind.as_str());
        }
        if let Some(queue) = &self.queue {
            events = events.of_queue(queue.as_str());
        }
        if let Some(tag) = &self.tag {
            events = events.of_tag(tag.as_str());
        }
        if let Some(after) = after {
            events = events.after(after);
        }
        events.cursor()
    }
    /// Whether an event is wanted that was not found through a cursor.
    pub(crate) fn matches(&self, frame: &Frame) -> bool {
        (self.types.is_empty() || self.types.contains(&frame.event_type()))
            && self.kind.as_ref().is_none_or(|kind| **kind == **frame.kind())
            && self.queue.as_ref().is_none_or(|queue| **queue == **frame.queue())
    }
}

/// Whether somebody may see an event.
pub(super) fn may_see(grant: &Grant, frame: &Frame) -> bool {
    grant.covers(frame.queue(), frame.kind())
}

/// Reads a place in the log: `<generation>-<pos>`, or a `pos` alone.
///
/// # Errors
/// That it is none.
pub(crate) fn place_of(hub: &Hub, pointer: &str, text: &str) -> Result<Start, Problem> {
    let wrong =
        || Problem::of(pointer, "is no place in the event log; send the id of the last event, or its pos");
    let number =
        |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    match text.rsplit_once('-') {
        None => number(text).map(Start::After).ok_or_else(wrong),
        Some((generation, pos)) => {
            let pos = number(pos).ok_or_else(wrong)?;
            let fit = (1..=64).contains(&generation.len())
                && generation.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            match fit {
                false => Err(wrong()),
                true if generation == hub.generation() => Ok(Start::After(pos)),
                true => Ok(Start::Reset),
            }
        }
    }
}

/// The frames of what somebody may see.
pub(super) fn seen(grant: &Grant, frames: Vec<Arc<Frame>>) -> Vec<Arc<Frame>> {
    match grant.is_limited() {
        true => frames.into_iter().filter(|frame| may_see(grant, frame)).collect(),
        false => frames,
    }
}

impl Hub {
    /// Whether events after the place are no longer kept, or it is of another log.
    pub(crate) async fn has_gap(&self, start: Start) -> Result<bool, Problem> {
        match start {
            Start::Now | Start::After(0) => Ok(false),
            Start::Reset => Ok(true),
            Start::After(pos) => {
                let found = Wanted::default().cursor(self, Some(pos)).look(1).await?;
                Ok(matches!(found, Some(stepwell::Found::Gap { .. } | stepwell::Found::Reset { .. })))
            }
        }
    }
}
