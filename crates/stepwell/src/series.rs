//! How the queue has been doing over time, as the event log tells it.
//!
//! Nothing is written for it: the log has it all, whichever process did the work, and a restart forgets nothing. The
//! price is paid by whoever asks, and is bounded: at most [`EVENTS_MAX`] places of the log are looked at. On a busy
//! queue that is the recent part of what was asked for, and the answer says so.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use stepwell_core::{
    Error, Event, EventType, JobId, Name, Result, Timestamp,
    event::EventFilter,
    store::{Count, EventPage},
};

use crate::client::Stepwell;

/// Places of the log that one series looks at, at most.
pub const EVENTS_MAX: u64 = 200_000;
/// Points of one series, at most.
pub const POINTS_MAX: usize = 500;
/// The shortest step.
pub const STEP_MIN: Duration = Duration::from_secs(1);
/// Rows of the log in one reading.
const ROWS: usize = 1_000;

/// What a series is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// How many jobs were enqueued, and how many ended.
    Throughput,
    /// How long jobs were due before a worker took them.
    Wait,
    /// How long jobs ran, from when a worker last took them to their end.
    Run,
    /// How many jobs had not ended.
    Depth,
}

/// Which series.
#[derive(Clone, Debug)]
pub struct SeriesRequest {
    /// What it is about.
    pub metric: Metric,
    /// Only this queue.
    pub queue: Option<Name>,
    /// Only this kind.
    pub kind: Option<Name>,
    /// Only these queues, which whoever asks may see.
    pub only_queues: Option<BTreeSet<Name>>,
    /// Only these kinds, which whoever asks may see.
    pub only_kinds: Option<BTreeSet<Name>>,
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// How long the time of one point is.
    pub step: Duration,
}

/// A series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Whether all of the time that was asked for is in it. If not, its beginning is no longer in the log, or more has
    /// happened since than one series looks at; then it begins later. Or events in between cannot be read.
    pub is_complete: bool,
    /// The points, the earliest first.
    pub points: Vec<Point>,
}

/// What happened in the time of one point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Where its time begins.
    pub at: Timestamp,
    /// Jobs that were enqueued.
    pub enqueued: u64,
    /// Runs of jobs that completed.
    pub completed: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Runs that were cancelled.
    pub cancelled: u64,
    /// How long it took, each time. Empty unless the series is about that.
    pub spans: Spans,
    /// How many jobs had not ended at its end. None unless the series is about that.
    pub depth: u64,
}

/// How long something took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// How often it was measured.
    pub count: u64,
    /// The mean.
    pub mean: Duration,
    /// What 95 of 100 did not exceed.
    pub p95: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spans {
    fn of(mut measured: Vec<Duration>) -> Self {
        measured.sort_unstable();
        let Some(max) = measured.last().copied() else { return Self::default() };
        let count = measured.len();
        let sum: Duration = measured.iter().sum();
        let mean = sum / u32::try_from(count).unwrap_or(u32::MAX);
        Self { count: count as u64, mean, p95: measured[(count * 95).div_ceil(100) - 1], max }
    }
}

impl SeriesRequest {
    fn check(&self) -> Result<usize> {
        if self.to <= self.from {
            return Err(Error::invalid("from", "must be before `to`"));
        }
        if self.step < STEP_MIN {
            return Err(Error::invalid("step", "must be at least one second"));
        }
        let points = self.to.since(self.from).as_micros().div_ceil(self.step.as_micros());
        match usize::try_from(points) {
            Ok(points) if points <= POINTS_MAX => Ok(points),
            _ => {
                let problem = format!("makes {points} points, the limit is {POINTS_MAX}; take a longer one");
                Err(Error::invalid("step", problem))
            }
        }
    }
    fn is_wanted(&self, queue: &Name, kind: &Name) -> bool {
        self.only_queues.as_ref().is_none_or(|queues| queues.contains(queue))
            && self.only_kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }
    fn is_counted(&self, count: &Count) -> bool {
        !count.state.is_terminal()
            && self.queue.as_ref().is_none_or(|queue| *queue == count.queue)
            && self.kind.as_ref().is_none_or(|kind| *kind == count.kind)
            && self.is_wanted(&count.queue, &count.kind)
    }
    fn types(&self) -> Vec<EventType> {
        use EventType::{
            Cancelled, Completed, Enqueued, Failed, Interrupted, PhaseCompleted, Released, Resumed, Retried,
            Retrying, Snoozed, Started,
        };
        match self.metric {
            Metric::Throughput => vec![Enqueued, Completed, Failed, Cancelled],
            Metric::Depth => vec![Enqueued, Retried, Completed, Failed, Cancelled],
            Metric::Run => vec![Started, Resumed, Completed, Failed, Cancelled],
            Metric::Wait => vec![
                Enqueued,
                Retried,
                Retrying,
                Released,
                Snoozed,
                Interrupted,
                PhaseCompleted,
                Started,
                Resumed,
            ],
        }
    }
}

impl Stepwell {
    /// How the queue has been doing over time, as far back as the event log goes.
    ///
    /// # Errors
    /// If the request breaks a rule, or the store fails.
    pub async fn series(&self, request: SeriesRequest) -> Result<Series> {
        let points = request.check()?;
        let store = &self.engine.store;
        let look = async |after: u64, rows: usize, filter: &EventFilter| -> Result<EventPage> {
            store.events(after, rows, filter.clone()).await
        };
        let EventPage { floor, head, .. } = look(u64::MAX >> 1, 1, &EventFilter::default()).await?;
        // Counted before the log is read to its head: what is enqueued in between shows in the next series.
        let live: u64 = match request.metric {
            Metric::Depth => {
                let counts = self.counts().await?;
                counts.iter().filter(|count| request.is_counted(count)).map(|count| count.n).sum()
            }
            _ => 0,
        };
        let begin = self.place_of(request.from, floor, head).await?;
        let last = match request.metric {
            // What happened after the last point counts: depth is told backwards from now.
            Metric::Depth => head,
            _ => self.place_of(request.to, begin, head).await?.saturating_sub(1),
        };
        let first = begin.max(last.saturating_sub(EVENTS_MAX - 1));
        let filter = EventFilter {
            kind: request.kind.clone(),
            queue: request.queue.clone(),
            types: request.types(),
            ..EventFilter::default()
        };
        let mut tally = Tally::new(&request, points);
        let (mut after, mut is_damaged) = (first.saturating_sub(1), false);
        while after < last {
            let page = look(after, ROWS, &filter).await?;
            page.events.iter().filter(|event| event.pos <= last).for_each(|event| tally.take(event));
            is_damaged |= page.is_damaged;
            if page.next <= after {
                break;
            }
            after = page.next;
        }
        // The log began later than the time that was asked for, unless nothing was ever dropped of it.
        let cut = first > begin || (floor > 1 && begin == floor);
        let since = match cut {
            true => self.time_of(first).await?,
            false => None,
        };
        Ok(Series { is_complete: !cut && !is_damaged, points: tally.end(live, since) })
    }

    /// The first place in the log, between two, at which something happened at this time or later.
    async fn place_of(&self, at: Timestamp, floor: u64, head: u64) -> Result<u64> {
        let (mut low, mut high) = (floor, head + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.time_of(middle).await? {
                Some(found) if found < at => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
    async fn time_of(&self, pos: u64) -> Result<Option<Timestamp>> {
        let all = EventFilter { internal: true, ..EventFilter::default() };
        let mut after = pos.saturating_sub(1);
        loop {
            let page = self.engine.store.events(after, 1, all.clone()).await?;
            // Of what cannot be read, the time is about that of what follows.
            match page.is_damaged && page.next > after {
                true => after = page.next,
                false => return Ok(page.events.first().map(|event| event.at)),
            }
        }
    }
}

/// What has been seen so far.
struct Tally<'r> {
    request: &'r SeriesRequest,
    points: Vec<Point>,
    measured: Vec<Vec<Duration>>,
    /// How the number of live jobs changed in the time of each point, and after the last one.
    net: Vec<i64>,
    /// Since when each job has been due, or has been running.
    since: HashMap<JobId, Timestamp>,
}

impl<'r> Tally<'r> {
    fn new(request: &'r SeriesRequest, n: usize) -> Self {
        let at = |nth: usize| request.from + request.step * u32::try_from(nth).unwrap_or(u32::MAX);
        let points = (0..n).map(|nth| Point { at: at(nth), ..Point::default() }).collect();
        Self { request, points, measured: vec![Vec::new(); n], net: vec![0; n + 1], since: HashMap::new() }
    }
    fn take(&mut self, event: &Event) {
        if !self.request.is_wanted(&event.queue, &event.kind) {
            return;
        }
        let passed = event.at.since(self.request.from).as_micros() / self.request.step.as_micros();
        let nth = usize::try_from(passed).unwrap_or(usize::MAX).min(self.points.len());
        match self.request.metric {
            Metric::Throughput => self.count(nth, event.ty),
            Metric::Depth => {
                let is_new = matches!(event.ty, EventType::Enqueued | EventType::Retried);
                self.net[nth] += if is_new { 1 } else { -1 };
            }
            Metric::Wait if matches!(event.ty, EventType::Started | EventType::Resumed) => {
                self.measure(nth, event);
            }
            Metric::Wait => drop(self.since.insert(event.job, due_at(event))),
            Metric::Run if matches!(event.ty, EventType::Started | EventType::Resumed) => {
                self.since.insert(event.job, event.at);
            }
            Metric::Run => self.measure(nth, event),
        }
    }
    fn count(&mut self, nth: usize, ty: EventType) {
        let Some(point) = self.points.get_mut(nth) else { return };
        match ty {
            EventType::Enqueued => point.enqueued += 1,
            EventType::Completed => point.completed += 1,
            EventType::Failed => point.failed += 1,
            _ => point.cancelled += 1,
        }
    }
    /// What began before the part of the log that is looked at is not measured.
    fn measure(&mut self, nth: usize, event: &Event) {
        if let (Some(since), Some(measured)) = (self.since.remove(&event.job), self.measured.get_mut(nth)) {
            measured.push(event.at.since(since));
        }
    }
    fn end(self, live: u64, since: Option<Timestamp>) -> Vec<Point> {
        let Self { mut points, measured, net, request, .. } = self;
        let mut depth = i64::try_from(live).unwrap_or(i64::MAX);
        for (nth, point) in points.iter_mut().enumerate().rev() {
            depth -= net[nth + 1];
            if request.metric == Metric::Depth {
                point.depth = u64::try_from(depth).unwrap_or(0);
            }
        }
        for (point, measured) in points.iter_mut().zip(measured) {
            point.spans = Spans::of(measured);
        }
        let begun = |point: &Point| since.is_none_or(|since| point.at + request.step > since);
        points.retain(begun);
        points
    }
}

/// When a job is due that waits from now on.
fn due_at(event: &Event) -> Timestamp {
    let told = serde_json::from_str::<Due>(event.data.as_str()).ok().and_then(|due| due.available_at);
    told.map_or(event.at, |micros| Timestamp::from_micros(micros).max(event.at))
}

/// The part of an event's data that says so, as it is stored.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Due {
    available_at: Option<i64>,
}
