//! What happened to a job: the durable log.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{error::Error, id::JobId, json::Json, name::Name, time::Timestamp};

macro_rules! event_types {
    ($($(#[doc = $doc:literal])* $Type:ident = $bit:literal $text:literal;)+) => {
        /// The type of an event. Its text, such as `job:phase:completed`, is a contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum EventType {
            $($(#[doc = $doc])* $Type = $bit,)+
        }
        impl EventType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$Type),+];
            /// The contract's name for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Type => $text),+ }
            }
        }
        impl FromStr for EventType {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                match text {
                    $($text => Ok(Self::$Type),)+
                    _ => Err(Error::invalid("event type", format!("is unknown: {text:?}"))),
                }
            }
        }
    };
}
// The numbers are bits in a stored mask, and are never reused.
event_types! {
    /// A job came to be.
    Enqueued = 0 "job:enqueued";
    /// A worker claimed it, and nothing of it had run in this run.
    Started = 1 "job:started";
    /// A worker claimed it, and a phase had completed or been interrupted before.
    Resumed = 2 "job:resumed";
    /// A phase began.
    PhaseStarted = 3 "job:phase:started";
    /// A phase's result was recorded.
    PhaseCompleted = 4 "job:phase:completed";
    /// A phase of a new plan does not run, because the job was past it.
    PhaseSkipped = 5 "job:phase:skipped";
    /// A try of a phase failed.
    PhaseFailed = 6 "job:phase:failed";
    /// The phase says how far it has got. At most one a second for a job.
    Progress = 7 "job:progress";
    /// The job waits for the next try of a phase.
    Retrying = 8 "job:retrying";
    /// The phase asked to run later, which is no failure.
    Snoozed = 9 "job:snoozed";
    /// The worker gave the job back, because it shuts down.
    Released = 10 "job:released";
    /// The worker died, or lost its lease.
    Interrupted = 11 "job:interrupted";
    /// A running job was asked to stop.
    Cancelling = 12 "job:cancelling";
    /// The job ended: its last phase completed.
    Completed = 13 "job:completed";
    /// The job ended: a phase failed for good, it crashed too often, or it expired.
    Failed = 14 "job:failed";
    /// The job ended: it was cancelled.
    Cancelled = 15 "job:cancelled";
    /// An operator set the job going again.
    Retried = 16 "job:retried";
    /// A waiting job was changed.
    Edited = 17 "job:edited";
    /// The job is no more. Carries only `deletedJobId`.
    Deleted = 18 "job:deleted";
    /// The end of the job was delivered to a webhook.
    WebhookDelivered = 19 "job:webhook:delivered";
    /// A webhook's attempts are spent.
    WebhookFailed = 20 "job:webhook:failed";
}

impl EventType {
    /// The type's bit in a mask.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
    /// Whether a run ends with it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl Serialize for EventType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One event as it is read from the log. It carries what a filter needs, so that it outlives its job.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The place in the global order: dense, from 1.
    pub pos: u64,
    /// The job. For [`EventType::Deleted`] it stands only in `data`, as `deletedJobId`.
    pub job: JobId,
    /// The place in the job's own order: 1, 2, 3, … without a gap.
    pub job_seq: u64,
    /// The run of the job: 1, and one more with each operator's retry.
    pub run: u32,
    /// What happened.
    pub ty: EventType,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The job's kind.
    pub kind: Name,
    /// The job's queue at that time.
    pub queue: Name,
    /// The phase it is about.
    pub phase: Option<Name>,
    /// How often the job had been claimed in this run.
    pub attempt: u32,
    /// The rest, an object; its members depend on the type.
    pub data: Json,
    /// The job's tags at that time.
    pub tags: Vec<Name>,
    /// Whether the job has a webhook of its own.
    pub hooked: bool,
}

/// What one transition says about one event. The store adds the place in the log, and what the job's row holds.
///
/// This is also how an event is packed: all that one transition says goes into one stored row, as a JSON list of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// What happened.
    #[serde(rename = "type")]
    pub ty: EventType,
    /// The phase it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Name>,
    /// The job's attempt.
    pub attempt: u32,
    /// The rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Json>,
    /// The job's tags. They stand in the first event of a row, for all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Name>,
    /// Whether the job has a webhook of its own. It stands in the first event of a row, for all of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hooked: bool,
}

impl Draft {
    /// The data, `{}` if there is none.
    #[must_use]
    pub fn data(&self) -> Json {
        self.data
            .clone()
            .unwrap_or_else(|| Json::of(&serde_json::Map::new()).unwrap_or_else(|_| Json::null()))
    }
}

/// The bit that tells, beside those of the types, that the job has a webhook of its own.
const HOOKED: u32 = 1 << 31;

/// The mask of all types in `drafts`.
#[must_use]
pub fn mask(drafts: &[Draft]) -> u32 {
    let hooked = drafts.first().is_some_and(|draft| draft.hooked);
    drafts.iter().fold(if hooked { HOOKED } else { 0 }, |mask, draft| mask | draft.ty.bit())
}

/// One stored row of the log: everything that one transition said.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// The `pos` of its last event.
    pub last_pos: u64,
    /// The job.
    pub job: JobId,
    /// The `job_seq` of its last event.
    pub last_job_seq: u64,
    /// The run.
    pub run: u32,
    /// When.
    pub at: Timestamp,
    /// The kind.
    pub kind: Name,
    /// The queue.
    pub queue: Name,
    /// The events.
    pub drafts: Vec<Draft>,
}

impl Packed {
    /// The events one by one, in order.
    pub fn expand(self) -> impl Iterator<Item = Event> {
        let n = self.drafts.len() as u64;
        let (first_pos, first_seq) = (self.last_pos + 1 - n, self.last_job_seq + 1 - n);
        let Self { job, run, at, kind, queue, mut drafts, .. } = self;
        let first = drafts.first_mut();
        let (tags, hooked) =
            first.map_or_else(Default::default, |first| (std::mem::take(&mut first.tags), first.hooked));
        (0..).zip(drafts).map(move |(nth, draft)| Event {
            pos: first_pos + nth,
            job,
            job_seq: first_seq + nth,
            run,
            ty: draft.ty,
            at,
            kind: kind.clone(),
            queue: queue.clone(),
            data: draft.data(),
            phase: draft.phase,
            attempt: draft.attempt,
            tags: tags.clone(),
            hooked,
        })
    }
}

/// Which events a reader wants. Everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// Of this job.
    pub job: Option<JobId>,
    /// Of this kind.
    pub kind: Option<Name>,
    /// Of this queue.
    pub queue: Option<Name>,
    /// Of jobs with this tag.
    pub tag: Option<Name>,
    /// Of these types; empty means all.
    pub types: Vec<EventType>,
    /// Of whatever type, if the job has a webhook of its own.
    pub hooked: bool,
    /// Also of the reserved kinds `stepwell.*`, which are left out unless `kind` names one.
    pub internal: bool,
}

impl EventFilter {
    /// The types as a mask.
    #[must_use]
    pub fn mask(&self) -> u32 {
        match self.types.is_empty() {
            true => u32::MAX,
            false => self.types.iter().fold(if self.hooked { HOOKED } else { 0 }, |mask, ty| mask | ty.bit()),
        }
    }
    /// Whether an event is wanted.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.job.is_none_or(|job| job == event.job && event.ty != EventType::Deleted)
            && self.kind.as_ref().is_none_or(|kind| *kind == event.kind)
            && self.queue.as_ref().is_none_or(|queue| *queue == event.queue)
            && self.tag.as_ref().is_none_or(|tag| event.tags.contains(tag))
            && (self.mask() & event.ty.bit() != 0 || (self.hooked && event.hooked))
            && (self.internal || self.kind.is_some() || !is_internal(&event.kind))
    }
}

/// Whether a kind is reserved for Stepwell's own jobs, such as webhook deliveries.
#[must_use]
pub fn is_internal(kind: &str) -> bool {
    kind.starts_with("stepwell.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_are_unique() {
        let mut mask = 0;
        for ty in EventType::ALL {
            assert_eq!(ty.as_str().parse::<EventType>().unwrap(), *ty);
            assert_eq!(mask & ty.bit(), 0);
            mask |= ty.bit();
        }
    }

    #[test]
    fn a_packed_row_expands_in_order() {
        let draft = |ty| Draft { ty, phase: None, attempt: 1, data: None, tags: Vec::new(), hooked: false };
        let packed = Packed {
            last_pos: 12,
            job: JobId::from_bytes([1; 16]),
            last_job_seq: 3,
            run: 1,
            at: Timestamp::from_micros(5),
            kind: "k".into(),
            queue: "q".into(),
            drafts: vec![draft(EventType::Started), draft(EventType::PhaseStarted)],
        };
        let events: Vec<Event> = packed.expand().collect();
        assert_eq!(
            events.iter().map(|event| (event.pos, event.job_seq)).collect::<Vec<_>>(),
            [(11, 2), (12, 3)]
        );
        assert_eq!(events[0].data.as_str(), "{}");
    }
}
