//! What can be read from a store.

use crate::{
    event::{Event, is_internal},
    job::{Job, JobState},
    json::Json,
    limits,
    name::Name,
};

/// Which jobs. Everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<Name>,
    /// In this queue.
    pub queue: Option<Name>,
    /// With this tag.
    pub tag: Option<Name>,
    /// With this search attribute.
    pub attribute: Option<(Name, String)>,
    /// With this unique key.
    pub unique_key: Option<String>,
    /// Also of the reserved kinds `stepwell.*`, which are left out unless `kind` names one.
    pub internal: bool,
}

impl JobFilter {
    /// Whether a job is wanted.
    #[must_use]
    pub fn matches(&self, job: &Job) -> bool {
        self.state.is_none_or(|state| state == job.state)
            && self.kind.as_ref().is_none_or(|kind| *kind == job.kind)
            && self.queue.as_ref().is_none_or(|queue| *queue == job.queue)
            && self.tag.as_ref().is_none_or(|tag| job.details.tags.contains(tag))
            && self
                .attribute
                .as_ref()
                .is_none_or(|(key, value)| job.details.attributes.get(key) == Some(value))
            && self.unique_key.is_none_or_eq(job.unique_key.as_ref())
            && (self.internal || self.kind.is_some() || !is_internal(&job.kind))
    }
}

trait NoneOrEq<T> {
    fn is_none_or_eq(&self, other: Option<&T>) -> bool;
}
impl<T: PartialEq> NoneOrEq<T> for Option<T> {
    fn is_none_or_eq(&self, other: Option<&T>) -> bool {
        self.as_ref().is_none_or(|wanted| Some(wanted) == other)
    }
}

/// In which order jobs are listed: by when they were stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The last one first.
    #[default]
    NewestFirst,
    /// The first one first.
    OldestFirst,
}

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The order.
    pub order: Order,
    /// How many; at most [`limits::PAGE_MAX`].
    pub limit: usize,
    /// Where the page before ended; none for the first.
    pub after: Option<i64>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { order: Order::NewestFirst, limit: 50, after: None }
    }
}

impl PageRequest {
    /// The limit, kept within its bounds.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit.clamp(1, limits::PAGE_MAX)
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it. It may hold less than was asked for, or nothing, although there is a next page: a page ends
    /// after [`limits::LIST_SCAN_MAX`] rows were looked at.
    pub items: Vec<T>,
    /// Where the next page begins; none if this was the last one.
    pub next: Option<i64>,
}

/// How many jobs there are of one queue, kind and state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The queue.
    pub queue: Name,
    /// The kind.
    pub kind: Name,
    /// The state.
    pub state: JobState,
    /// How many.
    pub n: u64,
}

/// A finished element of a fan-out phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Which element, from 0.
    pub index: u32,
    /// The hash of its input.
    pub input_hash: String,
    /// Its result.
    pub result: Json,
}

/// A page of the event log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventPage {
    /// The events that match.
    pub events: Vec<Event>,
    /// Go on after this `pos`: as far as the log was looked at, whether or not the last event matched.
    pub next: u64,
    /// The first `pos` that is still kept. A reader that wants to go on after a `pos` below `floor - 1` has a gap.
    pub floor: u64,
    /// The last `pos` that was given. A reader that is ahead of it has a cursor of another log.
    pub head: u64,
    /// Whether what is stored after the place that was asked for cannot be read, up to `next`: somebody edited it by
    /// hand, or a disk did. Then nothing else is in the page. Whoever reads on has a gap there, and nothing holds them
    /// up.
    pub is_damaged: bool,
}
