//! Reads the log, and turns events into deliveries.
//!
//! The cursor is durable, and moves in the very commit that stores the deliveries and what their ends say about the
//! jobs: a crash leaves both done or neither, and of several processes that read one log only one gets anything done.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use stepwell_core::{
    Event, EventType, JobId, Json, Name, Result,
    event::EventFilter,
    limits,
    machine::{Command, NewJob},
    setting::SettingsRequest,
    store,
    time::Stopwatch,
    webhook::{self, CURSOR, ENDPOINTS, JobWebhook, OF_JOBS, Wanted},
};

use crate::crash_point;

use super::{
    delivery::{self, Receiver},
    endpoint::Stored,
    outbox::Outbox,
    sender::DISABLED,
};

/// Stored rows read at once.
const PAGE: usize = 500;
/// Deliveries and reports in one commit, but for the last event's: the commit must stay short for everybody else.
const COMMIT: usize = 256;
/// Where nothing is to be done the place is kept in memory, and written when it has moved so far,
const LAZY_EVENTS: u64 = 10_000;
/// or after so long. What retention may remove waits for it.
const LAZY_TIME: Duration = Duration::from_secs(2);

/// The reader of the log for webhooks.
pub(crate) struct FanOut {
    outbox: Arc<Outbox>,
    /// Of the log that is read.
    generation: Arc<str>,
    /// Where the durable cursor is, as far as is known here; none until it was read.
    durable: Option<u64>,
    /// How far was read here: nothing between the two called for anything.
    position: u64,
    endpoints: Vec<(String, Stored)>,
    /// The revision that the endpoints were read at.
    revision: Option<u64>,
    since_move: Stopwatch,
    behind: Duration,
}

/// What is to be committed together.
#[derive(Default)]
struct Batch {
    jobs: Vec<NewJob>,
    reports: Vec<(JobId, Command)>,
}

impl Batch {
    fn len(&self) -> usize {
        self.jobs.len() + self.reports.len()
    }
}

impl FanOut {
    pub(crate) fn new(outbox: Arc<Outbox>) -> Self {
        let generation = outbox.store.generation();
        Self {
            outbox,
            generation,
            durable: None,
            position: 0,
            endpoints: Vec::new(),
            revision: None,
            since_move: Stopwatch::start(),
            behind: Duration::ZERO,
        }
    }

    /// For how long the oldest of what was read last had waited to be read.
    pub(crate) fn behind(&self) -> Duration {
        self.behind
    }

    /// Reads what is new, a page of it. Answers whether there may be more.
    pub(crate) async fn pass(&mut self) -> Result<bool> {
        let generation = self.outbox.store.generation();
        if generation != self.generation {
            // What was read of another log says nothing about this one, and the cursor may be before it.
            (self.generation, self.durable) = (generation, None);
        }
        let Some(durable) = self.durable().await? else { return Ok(false) };
        if self.revision.is_none() {
            self.read_endpoints().await?;
        }
        let page = self.outbox.store.events(self.position, PAGE, self.filter()).await?;
        if durable > page.head || self.position + 1 < page.floor {
            return self.jump(page.head, page.floor).await;
        }
        // An endpoint that wants an event was stored before it, and so is seen by whoever looks after reading it.
        if self.read_endpoints().await? {
            return Ok(true);
        }
        let now = self.outbox.store.clock().now();
        self.behind = page.events.first().map_or(Duration::ZERO, |event| now.since(event.at));
        if page.is_damaged {
            let (from, to) = (self.position + 1, page.next);
            tracing::error!(from, to, "webhooks are not sent for events that cannot be read");
        }
        let mut batch = Batch::default();
        for event in &page.events {
            self.judge(event, &mut batch).await?;
            if batch.len() >= COMMIT && !self.commit(event.pos, std::mem::take(&mut batch)).await? {
                return Ok(true);
            }
        }
        let reached = page.next.max(self.position);
        let due = reached >= durable + LAZY_EVENTS
            || (reached > self.durable.unwrap_or(reached) && self.since_move.elapsed() >= LAZY_TIME);
        if batch.len() > 0 || due {
            self.commit(reached, batch).await?;
        } else {
            self.position = reached;
        }
        Ok(page.next < page.head)
    }

    /// Writes the place down, if it has moved.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        while self.pass().await? {}
        match self.durable {
            Some(durable) if self.position > durable => {
                self.commit(self.position, Batch::default()).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn durable(&mut self) -> Result<Option<u64>> {
        if self.durable.is_none() {
            self.durable = self.outbox.store.cursor(CURSOR.into()).await?;
            self.position = self.durable.unwrap_or(0);
        }
        Ok(self.durable)
    }

    /// The log is another one than the cursor knows: it was restored, say. It goes on where there is something.
    async fn jump(&mut self, head: u64, floor: u64) -> Result<bool> {
        let to = self.position.clamp(floor.saturating_sub(1), head);
        tracing::warn!(from = self.position, to, "events that webhooks had yet to be told of are gone");
        self.commit(to, Batch::default()).await
    }

    fn filter(&self) -> EventFilter {
        // The ends of deliveries are reported on their jobs, so that ends are always read.
        let mut types = Wanted::default().types().to_vec();
        for (_, stored) in self.endpoints.iter().filter(|(_, stored)| stored.is_enabled()) {
            types.extend(stored.wanted.types());
        }
        types.sort_unstable();
        types.dedup();
        EventFilter { types, hooked: true, internal: true, ..EventFilter::default() }
    }

    /// Reads the endpoints, if they have changed since the last time. Answers whether they have.
    async fn read_endpoints(&mut self) -> Result<bool> {
        let store = &self.outbox.store;
        let one = SettingsRequest { limit: 1, ..SettingsRequest::of(ENDPOINTS) };
        if self.revision == Some(store.settings(one).await?.revision) {
            return Ok(false);
        }
        let (mut endpoints, mut after, mut revision) = (Vec::new(), None, None);
        loop {
            let request = SettingsRequest { after: after.take(), ..SettingsRequest::of(ENDPOINTS) };
            let page = store.settings(request).await?;
            // Pages of different revisions may together miss one.
            if revision.is_some_and(|before| before != page.revision) {
                endpoints.clear();
                revision = None;
                continue;
            }
            revision = Some(page.revision);
            let full = page.items.len() >= limits::PAGE_MAX;
            after = page.items.last().map(|last| last.key.clone());
            for setting in page.items {
                match Stored::read(&setting.value) {
                    Ok(stored) => endpoints.push((setting.key, stored)),
                    Err(error) => {
                        tracing::error!(endpoint = %setting.key, %error, "failed to read an endpoint");
                    }
                }
            }
            if !full {
                break;
            }
        }
        (self.endpoints, self.revision) = (endpoints, revision);
        Ok(true)
    }

    /// What an event calls for.
    async fn judge(&self, event: &Event, batch: &mut Batch) -> Result<()> {
        if &*event.kind == webhook::KIND {
            if event.ty.is_terminal() {
                self.report(event, batch);
            }
            return Ok(());
        }
        for (id, stored) in &self.endpoints {
            if stored.is_enabled() && stored.wanted.matches(event) {
                self.deliver(event, Receiver::Endpoint(id), batch);
            }
        }
        if event.hooked && webhook::is_sent(event.ty) {
            let setting = self.outbox.store.setting(OF_JOBS.into(), event.job.to_string()).await?;
            let of_job: Option<JobWebhook> = setting.map(|setting| setting.value.decode()).transpose()?;
            if let Some(of_job) = of_job.filter(|of_job| of_job.shown().events.contains(&event.ty)) {
                self.deliver(event, Receiver::OfJob(&of_job.url), batch);
            }
        }
        Ok(())
    }
    fn deliver(&self, event: &Event, receiver: Receiver<'_>, batch: &mut Batch) {
        match delivery::of_event(event, receiver, &self.generation) {
            Ok(new) => batch.jobs.push(new),
            // It can never be stored, and must not keep all others from being sent.
            Err(error) => tracing::error!(pos = event.pos, %error, "an event cannot be sent to a webhook"),
        }
    }

    /// What the end of a delivery says about the job that it is about.
    fn report(&self, event: &Event, batch: &mut Batch) {
        let (job, about) = delivery::read_tags(&event.tags);
        let delivered = event.ty == EventType::Completed;
        let mut data = json!({ "deliveryId": event.job, "event": about, "attempts": event.attempt });
        if let Some(endpoint) = delivery::endpoint_of(&event.queue) {
            data["endpointId"] = endpoint.into();
        }
        let mut disabled = false;
        if !delivered {
            let said: serde_json::Value = event.data.decode().unwrap_or_default();
            let error = match (event.ty, said["error"].as_str()) {
                (EventType::Cancelled, _) => "it was skipped by an operator",
                (_, Some(error)) => error,
                (_, None) => "it was given up",
            };
            disabled = error.contains(DISABLED);
            data["error"] = error.into();
            if disabled {
                data["endpointDisabled"] = true.into();
            }
        }
        // Objects of strings and numbers always encode.
        let Ok(data) = Json::of(&data) else { return };
        let command = Command::RecordWebhook { delivered, data };
        if disabled {
            // Also where it is found when the job has gone.
            batch.reports.push((event.job, command.clone()));
        }
        batch.reports.extend(job.map(|job| (job, command)));
    }

    /// Moves the cursor, and does what the events up to there call for. Answers false if another process was faster, or
    /// an endpoint has changed: then everything is looked at again.
    async fn commit(&mut self, to: u64, batch: Batch) -> Result<bool> {
        let (Some(from), Some(revision)) = (self.durable, self.revision) else { return Ok(false) };
        let queues: Vec<Name> = batch.jobs.iter().filter_map(|new| new.queue.clone()).collect();
        let Batch { jobs, reports } = batch;
        let work = !jobs.is_empty();
        let (cursor, scope) = (CURSOR.into(), ENDPOINTS.into());
        let generation = Some(self.generation.clone());
        let request = store::FanOut { generation, cursor, from, to, scope, revision, jobs, reports };
        if work {
            crash_point::pass("before-delivery");
        }
        match self.outbox.store.fan_out(request).await {
            Ok(()) => {
                (self.durable, self.position) = (Some(to), to);
                self.since_move = Stopwatch::start();
                if work {
                    crash_point::pass("after-delivery");
                    self.outbox.lanes.open(&queues);
                }
                Ok(true)
            }
            Err(error) if error.is_version_mismatch() => {
                (self.durable, self.revision) = (None, None);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
