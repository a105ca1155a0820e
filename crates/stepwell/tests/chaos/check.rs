//! What must hold of the whole log, and whether these checks catch what they are there for.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use stepwell::{Change, Event, EventType, JobId, Name};

use super::work::{NARROW, NARROW_LIMIT, SINGLE, queue};

/// The kind of the jobs that deliver webhooks, whose events are in the same log.
const DELIVERIES: &str = "stepwell.webhook";

/// The log, as far as it was read, and what follows from it.
#[derive(Default)]
pub(crate) struct Log {
    last_pos: u64,
    events: u64,
    live: BTreeMap<JobId, Live>,
    completed: HashSet<JobId>,
    /// Where in the log each end is.
    ends: Vec<u64>,
    /// The only live job of each queue that may have one only.
    singles: BTreeMap<Name, JobId>,
    /// The jobs that run in the queue that has a limit for all nodes together.
    narrow: BTreeSet<JobId>,
    /// The most that ever did.
    most_narrow: usize,
    /// What has been seen up to each end.
    digests: Vec<(u64, u64)>,
    digest: DefaultHasher,
    pub(crate) interrupted: u64,
}

/// A job that has not ended.
#[derive(Default)]
struct Live {
    seq: u64,
    recorded: BTreeSet<Name>,
    running: Option<Name>,
}

impl Log {
    /// Reads the log from its beginning to `until`, with nothing in the way.
    pub(crate) async fn read(url: &str, until: u64) -> Result<Self, String> {
        let stepwell = queue(url, "reader").open().await.map_err(|error| error.to_string())?;
        let mut of_jobs = stepwell.events().after(0).subscribe();
        let mut of_deliveries = stepwell.events().of_kind_named(DELIVERIES).after(0).subscribe();
        let mut log = Self::default();
        let mut other = 0;
        while log.last_pos < until {
            let event = soon(&mut of_jobs).await?;
            // Between two events of jobs are those of deliveries, and nothing is missing.
            while log.last_pos.max(other) + 1 < event.pos {
                let delivery = soon(&mut of_deliveries).await?;
                if delivery.pos != log.last_pos.max(other) + 1 {
                    return Err(format!("the log has a gap before {}: {delivery:?}", delivery.pos));
                }
                other = delivery.pos;
            }
            log.take(&event)?;
        }
        stepwell.close().await.map_err(|error| error.to_string())?;
        Ok(log)
    }

    /// Takes in the next event of a job.
    pub(crate) fn take(&mut self, event: &Event) -> Result<(), String> {
        if matches!(event.change, Change::StreamGap { .. } | Change::StreamReset { .. }) {
            return Err(format!("the stream lost its place: {event:?}"));
        }
        if event.pos <= self.last_pos {
            return Err(format!("{} came after {}: twice, or out of order", event.pos, self.last_pos));
        }
        self.last_pos = event.pos;
        self.events += 1;
        (event.pos, event.job.to_string(), event.job_seq, event.event_type).hash(&mut self.digest);
        self.take_in_its_job(event)?;
        self.count_narrow(event)?;
        if event.event_type.is_terminal() {
            self.ends.push(event.pos);
            self.digests.push((event.pos, self.digest.clone().finish()));
        }
        Ok(())
    }

    fn take_in_its_job(&mut self, event: &Event) -> Result<(), String> {
        if self.completed.contains(&event.job) {
            // Its webhook is all that may be said of it now.
            return match event.change {
                Change::WebhookDelivered => Ok(()),
                _ => Err(format!("something happened after the end: {event:?}")),
            };
        }
        let is_single = event.queue.starts_with(SINGLE);
        if matches!(event.change, Change::Enqueued) {
            let before = if is_single { self.singles.insert(event.queue.clone(), event.job) } else { None };
            if let Some(before) = before {
                return Err(format!("{before} is alive beside the only job of its queue: {event:?}"));
            }
        }
        let job = self.live.entry(event.job).or_default();
        job.take(event)?;
        match event.change {
            Change::Interrupted { .. } => self.interrupted += 1,
            Change::Completed => {
                self.live.remove(&event.job);
                self.completed.insert(event.job);
                if is_single {
                    self.singles.remove(&event.queue);
                }
            }
            Change::Failed { .. } | Change::Cancelled { .. } => {
                return Err(format!("nobody asked for this: {event:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Counts the jobs that run in the queue with a limit. A transaction that frees a place is in the log before the
    /// one that takes it.
    fn count_narrow(&mut self, event: &Event) -> Result<(), String> {
        match event.change {
            Change::Started | Change::Resumed if &*event.queue == NARROW => self.narrow.insert(event.job),
            Change::Completed
            | Change::Failed { .. }
            | Change::Cancelled { .. }
            | Change::Retrying { .. }
            | Change::Snoozed { .. }
            | Change::Released
            | Change::Interrupted { .. } => self.narrow.remove(&event.job),
            _ => false,
        };
        self.most_narrow = self.most_narrow.max(self.narrow.len());
        match self.narrow.len() {
            n if n > NARROW_LIMIT as usize => {
                Err(format!("{n} jobs of the queue {NARROW} run, and its limit is {NARROW_LIMIT}: {event:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the limit has ever been reached.
    pub(crate) fn has_reached_limit(&self) -> bool {
        self.most_narrow == NARROW_LIMIT as usize
    }

    pub(crate) fn last_pos(&self) -> u64 {
        self.last_pos
    }

    pub(crate) fn ends(&self) -> Vec<u64> {
        self.ends.clone()
    }

    pub(crate) fn has_completed(&self, job: JobId) -> bool {
        self.completed.contains(&job)
    }

    /// What was seen up to the last end at or before `pos`.
    pub(crate) fn digest_until(&self, pos: u64) -> Option<(u64, u64)> {
        let count = self.digests.partition_point(|(end, _)| *end <= pos);
        count.checked_sub(1).map(|last| self.digests[last])
    }
}

impl Live {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        if event.job_seq != self.seq + 1 {
            return Err(format!("after event {} of its job came {event:?}", self.seq));
        }
        self.seq = event.job_seq;
        match &event.change {
            Change::PhaseStarted { phase, .. } if self.recorded.contains(phase) => {
                return Err(format!("a recorded phase ran again: {event:?}"));
            }
            Change::PhaseStarted { phase, .. } => {
                if let Some(other) = self.running.replace(phase.clone()) {
                    return Err(format!("{other} was still running: {event:?}"));
                }
            }
            Change::PhaseCompleted { phase } => {
                if self.running.take().as_ref() != Some(phase) {
                    return Err(format!("it was not running: {event:?}"));
                }
                if !self.recorded.insert(phase.clone()) {
                    return Err(format!("a phase was recorded twice: {event:?}"));
                }
            }
            Change::Interrupted { .. } | Change::Released => self.running = None,
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, interrupted, ends, .. } = self;
        write!(f, "{events} events up to {}, {} ends, {interrupted} interruptions", self.last_pos, ends.len())
    }
}

async fn soon(events: &mut stepwell::EventStream) -> Result<Event, String> {
    match tokio::time::timeout(Duration::from_secs(30), events.next()).await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err("the queue was closed".to_owned()),
        Err(_) => Err("the next event never came, although it was there".to_owned()),
    }
}

/// What the database says of a job, for whoever has to find out why it has not ended.
pub(crate) async fn what_is_known(url: &str, job: JobId) -> String {
    let stepwell = queue(url, "reader").open().await.unwrap();
    format!("{:#?}\n{:#?}", stepwell.job(job).await, stepwell.history(job).await)
}

/// Waits until a process has done something.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    let (_never, tick) = std::sync::mpsc::channel::<()>();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(90), "waited for {what}, which never came");
        _ = tick.recv_timeout(Duration::from_millis(20));
    }
}

/// The checker catches what it is there for.
#[tokio::test]
async fn the_checker_catches_planted_faults() {
    let (one, two) = super::work::two_histories().await;
    let history: Vec<Event> = numbered([one, two].concat());
    let problem = |events: Vec<Event>| {
        let mut log = Log::default();
        events.iter().find_map(|event| log.take(event).err())
    };
    assert_eq!(problem(history.clone()), None);
    let at = |ty: EventType| history.iter().position(|event| event.event_type == ty).unwrap();
    let without = |place: usize| numbered([&history[..place], &history[place + 1..]].concat());
    let with = |event: &Event, place: usize| {
        let mut event = event.clone();
        event.job_seq = history[place - 1].job_seq + 1;
        let mut rest = history[place..].to_vec();
        let same = rest.iter_mut().filter(|later| later.job == event.job);
        same.for_each(|later| later.job_seq += 1);
        numbered([&history[..place], &[event], &rest].concat())
    };
    let (started, completed) = (at(EventType::PhaseStarted), at(EventType::PhaseCompleted));
    let end = at(EventType::Completed);
    for (name, events, expected) in [
        ("one is missing", without(completed), "came Event"),
        ("started twice", with(&history[started], started + 1), "was still running"),
        ("recorded twice", with(&history[completed], completed + 1), "was not running"),
        ("run again", with(&history[started], completed + 1), "ran again"),
        ("ended twice", with(&history[end], end + 1), "after the end"),
        ("out of order", [&history[1..], &history[..1]].concat(), "came Event"),
        ("read twice", [&history[..], &history[end..]].concat(), "twice, or out of order"),
    ] {
        let found = problem(events).unwrap_or_else(|| panic!("{name}: not caught"));
        assert!(found.contains(expected), "{name}: {found}");
    }
    // The second job comes to be before the first one has ended.
    let mut overlap = history.clone();
    let second = overlap.iter().position(|event| event.job != history[0].job).unwrap();
    let enqueued = overlap.remove(second);
    overlap.insert(1, enqueued);
    let mut overlap = numbered(overlap);
    assert_eq!(problem(overlap.clone()), None, "there is no limit to this queue");
    overlap.iter_mut().for_each(|event| event.queue = format!("{SINGLE}0").into());
    assert!(problem(overlap).unwrap().contains("is alive beside"));
    // One job more than may run in the queue with a limit.
    let started = history.iter().find(|event| event.event_type == EventType::Started).unwrap();
    let mut log = Log::default();
    let mut begin = |queue: &str| {
        let mut event = started.clone();
        (event.job, event.queue) = (JobId::from_bytes(rand::random()), queue.into());
        log.count_narrow(&event)
    };
    for _ in 0..NARROW_LIMIT {
        begin(NARROW).unwrap();
        begin("default").unwrap();
    }
    assert!(begin(NARROW).unwrap_err().contains("its limit is 3"));
    // Another log than the one that somebody else saw.
    let digest = |events: &[Event]| {
        let mut log = Log::default();
        events.iter().for_each(|event| log.take(event).unwrap());
        log.digest_until(u64::MAX)
    };
    let mut moved = history.clone();
    moved.last_mut().unwrap().pos += 1;
    assert_ne!(digest(&history), digest(&moved));
}

fn numbered(mut events: Vec<Event>) -> Vec<Event> {
    (1..).zip(&mut events).for_each(|(place, event)| event.pos = place);
    events
}
