//! Deliveries, as an application or an API looks at them and sends them again.

use futures_util::future;
use stepwell_core::{
    Error, Job as JobRecord, JobId, JobState, Result, Timestamp,
    lease::Fence,
    machine::{Command, Edit, RetryFrom},
    schedule::When,
    store::{JobFilter, Order, Page, PageRequest, Request},
    webhook,
};

use super::{
    attempt::Attempt,
    delivery::{self, Delivery, DeliveryDetail, DeliveryFilter, DeliveryState, Payload},
    endpoints::Webhooks,
};

/// Deliveries that one call sends again.
const REPLAY_MAX: usize = 1_000;
/// Deliveries sent again in one commit.
const REPLAY_BATCH: usize = 100;

/// Which deliveries are to be sent again. Everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// To this endpoint.
    pub endpoint: Option<String>,
    /// About this job.
    pub job: Option<JobId>,
    /// Only these; then nothing else is looked at but the endpoint, which must be theirs.
    pub ids: Vec<JobId>,
    /// In this state: failed ones unless said otherwise. Those that wait are sent at once.
    pub state: Option<DeliveryState>,
    /// That came to be at this time or later.
    pub since: Option<Timestamp>,
    /// That came to be before this time.
    pub until: Option<Timestamp>,
    /// Where an earlier call ended.
    pub after: Option<i64>,
    /// How many at most: 1,000 unless less is said.
    pub limit: Option<usize>,
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many deliveries are sent again.
    pub replayed: usize,
    /// Where the next call goes on; none if there are no more.
    pub next: Option<i64>,
}

impl Webhooks<'_> {
    /// A page of deliveries. It may hold less than was asked for, or nothing, although there is a next one.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn deliveries(&self, filter: DeliveryFilter, page: PageRequest) -> Result<Page<Delivery>> {
        let order = page.order;
        let found = self.outbox().store.list(job_filter(&filter), page).await?;
        let over = found.items.iter().any(|job| filter.ends_at(job, order));
        let wanted = found.items.iter().filter(|job| filter.is_in_window(job));
        Ok(Page { items: wanted.map(Delivery::of).collect(), next: found.next.filter(|_| !over) })
    }
    /// A delivery, with what is sent and how each attempt went.
    ///
    /// # Errors
    /// If there is none with this id (any more), or the store fails.
    pub async fn delivery(&self, id: JobId) -> Result<DeliveryDetail> {
        let job = self.find_delivery(id).await?;
        let store = &self.outbox().store;
        let payload = store.payload(id).await?.ok_or_else(|| no_such(id))?;
        let body = stepwell_core::Json::of(&payload.decode::<Payload>()?.body)?;
        let attempt_log = Attempt::read(&store.log(id).await?);
        Ok(DeliveryDetail { delivery: Delivery::of(&job), body, attempt_log })
    }
    /// Sends a delivery again, under the same `webhook-id`: one that has ended gets a fresh set of attempts, one that
    /// waits does not wait any longer, and one that is under way goes on.
    ///
    /// # Errors
    /// If there is none with this id (any more), or the store fails.
    pub async fn redeliver(&self, id: JobId) -> Result<Delivery> {
        let job = self.find_delivery(id).await?;
        self.send_again(&job).await?;
        Ok(Delivery::of(&self.find_delivery(id).await?))
    }
    /// Gives a delivery up that waits. It is kept, and can be sent again.
    ///
    /// # Errors
    /// If there is none with this id (any more), or the store fails.
    pub async fn skip(&self, id: JobId) -> Result<Delivery> {
        self.find_delivery(id).await?;
        self.stepwell.cancel(id).await?;
        Ok(Delivery::of(&self.find_delivery(id).await?))
    }
    /// Sends a selection of deliveries again, at most 1,000 in one call.
    ///
    /// # Errors
    /// If the store fails. What was sent again before that stays so.
    pub async fn replay(&self, replay: Replay) -> Result<Replayed> {
        let limit = replay.limit.unwrap_or(REPLAY_MAX).clamp(1, REPLAY_MAX);
        if !replay.ids.is_empty() {
            return self.replay_ids(&replay, limit).await;
        }
        let filter = DeliveryFilter {
            endpoint: replay.endpoint.clone(),
            job: replay.job,
            state: Some(replay.state.unwrap_or(DeliveryState::Failed)),
            since: replay.since,
            until: replay.until,
        };
        let mut done = Replayed { replayed: 0, next: replay.after };
        loop {
            let at_once = REPLAY_BATCH.min(limit - done.replayed);
            let order = Order::NewestFirst;
            let page = PageRequest { order, limit: at_once, after: done.next };
            let found = self.outbox().store.list(job_filter(&filter), page).await?;
            let over = found.items.iter().any(|job| filter.ends_at(job, order));
            let wanted: Vec<&JobRecord> = found.items.iter().filter(|job| filter.is_in_window(job)).collect();
            done.replayed += self.send_all_again(&wanted).await?;
            done.next = found.next.filter(|_| !over);
            if done.next.is_none() || done.replayed >= limit {
                return Ok(done);
            }
        }
    }
    async fn replay_ids(&self, replay: &Replay, limit: usize) -> Result<Replayed> {
        if replay.ids.len() > limit {
            return Err(Error::invalid("ids", format!("are {}, the limit is {limit}", replay.ids.len())));
        }
        let mut found = Vec::with_capacity(replay.ids.len());
        for id in &replay.ids {
            let job = self.find_delivery(*id).await?;
            if replay.endpoint.as_deref().is_some_and(|endpoint| delivery::queue_of(endpoint) != job.queue) {
                return Err(no_such(*id));
            }
            found.push(job);
        }
        let wanted: Vec<&JobRecord> = found.iter().collect();
        Ok(Replayed { replayed: self.send_all_again(&wanted).await?, next: None })
    }
    /// Sends deliveries again, and counts those that were not changed by somebody else meanwhile.
    async fn send_all_again(&self, jobs: &[&JobRecord]) -> Result<usize> {
        let mut sent = 0;
        for batch in jobs.chunks(REPLAY_BATCH) {
            for answer in future::join_all(batch.iter().map(|job| self.send_again(job))).await {
                match answer {
                    Ok(()) => sent += 1,
                    Err(error) if error.is_wrong_state() || error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(sent)
    }
    async fn send_again(&self, job: &JobRecord) -> Result<()> {
        let command = match job.state {
            JobState::Running | JobState::Cancelling => return Ok(()),
            JobState::Pending => Command::Edit(Edit { when: Some(When::Now), ..Edit::default() }),
            JobState::Completed | JobState::Failed | JobState::Cancelled => {
                Command::Retry { from: RetryFrom::Start, rerun: true, payload: None }
            }
        };
        let request = Request { job: job.id, fence: Fence::None, commands: vec![command] };
        self.outbox().store.apply(request).await?;
        self.outbox().lanes.release(&job.queue);
        Ok(())
    }
    async fn find_delivery(&self, id: JobId) -> Result<JobRecord> {
        let job = self.outbox().store.job(id).await?;
        job.filter(|job| &*job.kind == webhook::KIND).ok_or_else(|| no_such(id))
    }
}

fn no_such(id: JobId) -> Error {
    Error::no_such("delivery", id.to_string())
}

fn job_filter(filter: &DeliveryFilter) -> JobFilter {
    JobFilter {
        kind: Some(webhook::KIND.into()),
        queue: filter.endpoint.as_deref().map(delivery::queue_of),
        tag: filter.job.map(webhook::about),
        state: filter.state.map(DeliveryState::job_state),
        ..JobFilter::default()
    }
}
