//! Bulk operations, as an application or an API asks for them and follows them.

use std::fmt;

use serde::{Deserialize, Serialize};
use stepwell_core::{
    Error, Job as JobRecord, JobId, JobState, Json, Result, Timestamp,
    machine::{NewJob, Once},
    store::{JobFilter, Order, PageRequest},
};

use crate::{client::Stepwell, job::Job};

use super::{
    BulkAction, Selection,
    worker::{Counts, FailureLine, KIND, PHASE, QUEUE},
};

/// Jobs that a preview looks at, at most, if counters do not tell.
const LOOKED_AT_MAX: usize = 10_000;
/// Jobs on one page of what a preview looks at.
const LOOK_PAGE: usize = 1_000;
/// Bulk operations that have not ended, at most.
const OPEN_MAX: usize = 100;
/// A crash of its process is not the operation's doing.
const CRASHES_MAX: u32 = 1_000;

/// The bulk operations of a queue. See [`Stepwell::bulk`].
pub struct Bulk<'s> {
    stepwell: &'s Stepwell,
}

impl Stepwell {
    /// The same for every job that a filter finds.
    ///
    /// ```
    /// # async fn example(stepwell: stepwell::Stepwell) -> stepwell::Result<()> {
    /// use stepwell::bulk::{BulkAction, NewBulk, Selection};
    ///
    /// let failed = Selection { kind: Some("invoice".into()), ..Selection::default() };
    /// let new = NewBulk::new(BulkAction::Retry { from_start: false }, failed);
    /// println!("{} jobs", stepwell.bulk().preview(&new, 10).await?.matched);
    /// let operation = stepwell.bulk().create(new).await?;
    /// # Ok(()) }
    /// ```
    pub fn bulk(&self) -> Bulk<'_> {
        Bulk { stepwell: self }
    }
}

/// A bulk operation in the making.
#[derive(Clone, Debug)]
pub struct NewBulk {
    /// What is done.
    pub action: BulkAction,
    /// To which jobs.
    pub selection: Selection,
    /// Who asks for it, in words.
    pub by: String,
    /// Makes the request count once: a key, and what tells requests with the same key apart.
    pub once: Option<(String, String)>,
}

impl NewBulk {
    /// Does something to every job that is selected.
    #[must_use]
    pub fn new(action: BulkAction, selection: Selection) -> Self {
        Self { action, selection, by: String::new(), once: None }
    }
    fn check(&self) -> Result<()> {
        self.action.check()?;
        self.selection.check(&self.action)
    }
}

/// What a bulk operation would do.
#[derive(Clone, Debug)]
pub struct BulkPreview {
    /// How many jobs it is about.
    pub matched: u64,
    /// Whether that is all of them; otherwise there are more.
    pub is_exact: bool,
    /// Some of them, the newest first.
    pub sample: Vec<JobRecord>,
}

/// A bulk operation as it stands.
#[derive(Clone, Debug)]
pub struct BulkOperation {
    /// Its id.
    pub id: JobId,
    /// What is done.
    pub action: BulkAction,
    /// To which jobs.
    pub selection: Selection,
    /// Who asked for it.
    pub by: String,
    /// Where it stands, as a job.
    pub state: JobState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many jobs it is about, as far as is known: exact once it has completed.
    pub total: u64,
    /// Jobs to which it was done.
    pub done: u64,
    /// Jobs that were in another state when their turn came.
    pub skipped: u64,
    /// Jobs to which it could not be done.
    pub failed: u64,
    /// Why it failed as a whole.
    pub error: Option<String>,
    /// Changes with every change of it.
    pub version: u64,
    /// Whether it was asked for before, with the same key.
    pub is_replayed: bool,
}

/// A job to which something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkFailure {
    /// The job.
    pub job: JobId,
    /// Why not.
    pub error: String,
    /// When it was tried.
    pub at: Timestamp,
}

/// A page of bulk operations.
#[derive(Clone, Debug, Default)]
pub struct BulkPage {
    /// The operations, the newest first.
    pub items: Vec<BulkOperation>,
    /// Where the next page begins; none if this was the last one.
    pub next: Option<i64>,
}

/// A bulk operation as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payload {
    pub(super) action: BulkAction,
    #[serde(default)]
    pub(super) selection: Selection,
    #[serde(default)]
    pub(super) by: String,
    /// How many jobs there were to do when it was asked for.
    #[serde(default)]
    pub(super) total: u64,
}

impl Job for Payload {
    const KIND: &'static str = KIND;
    type Output = Counts;
}

impl fmt::Debug for Bulk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bulk")
    }
}

impl Bulk<'_> {
    /// What an operation would do, with up to `samples` of the jobs. Nothing is changed.
    ///
    /// # Errors
    /// If the operation breaks a rule, or the store fails.
    pub async fn preview(&self, new: &NewBulk, samples: usize) -> Result<BulkPreview> {
        new.check()?;
        let NewBulk { action, selection, .. } = new;
        let mut preview = BulkPreview { matched: 0, is_exact: true, sample: Vec::new() };
        let counted = selection.is_counted();
        if counted {
            preview.matched = self.counted(action, selection).await?;
        }
        let store = &self.stepwell.engine.store;
        let mut looked_at = 0;
        for state in action.states() {
            let Some(filter) = selection.filter(*state) else { continue };
            let mut after = None;
            loop {
                let missing = samples.saturating_sub(preview.sample.len());
                let limit = if counted { missing } else { LOOK_PAGE };
                if limit == 0 {
                    break;
                }
                let page = PageRequest { order: Order::NewestFirst, limit, after };
                let found = store.list(filter.clone(), page).await?;
                looked_at += found.items.len();
                after = found.next;
                for job in found.items.into_iter().filter(|job| selection.covers(job)) {
                    preview.matched += u64::from(!counted);
                    if preview.sample.len() < samples {
                        preview.sample.push(job);
                    }
                }
                if after.is_none() {
                    break;
                }
                if !counted && looked_at >= LOOKED_AT_MAX {
                    preview.is_exact = false;
                    return Ok(preview);
                }
            }
        }
        Ok(preview)
    }
    async fn counted(&self, action: &BulkAction, selection: &Selection) -> Result<u64> {
        let counts = self.stepwell.counts().await?;
        let states =
            action.states().iter().filter(|state| selection.state.is_none_or(|only| only == **state));
        let states: Vec<&JobState> = states.collect();
        let is_selected = |count: &&stepwell_core::store::Count| {
            states.contains(&&count.state)
                && selection.kind.as_ref().is_none_or(|kind| *kind == count.kind)
                && selection.queue.as_ref().is_none_or(|queue| *queue == count.queue)
        };
        Ok(counts.iter().filter(is_selected).map(|count| count.n).sum())
    }

    /// Asks for an operation. It is durable when the answer comes, and begins soon. It is about the jobs that there are
    /// now, as they stand now: what is enqueued, or ends, after this is left alone.
    ///
    /// # Errors
    /// If the operation breaks a rule; if too many have not ended; or if the store fails.
    pub async fn create(&self, new: NewBulk) -> Result<BulkOperation> {
        let total = self.preview(&new, 0).await?.matched;
        let engine = &self.stepwell.engine;
        let open = async |state| {
            let page = PageRequest { limit: OPEN_MAX, ..PageRequest::default() };
            Ok::<_, Error>(engine.store.list(of_kind(Some(state)), page).await?.items.len())
        };
        if open(JobState::Pending).await? + open(JobState::Running).await? >= OPEN_MAX {
            let problem = format!("are {OPEN_MAX} already that have not ended; wait for one, or cancel one");
            return Err(Error::invalid("bulk operations", problem));
        }
        let NewBulk { action, selection, by, once } = new;
        let payload = Json::of(&Payload { action, selection, by, total })?;
        let id = engine.entropy.job_id(self.stepwell.clock().now());
        let mut job = NewJob::new(id, KIND, payload);
        job.queue = Some(QUEUE.into());
        job.max_crashes = Some(CRASHES_MAX);
        job.once = once.map(|(key, fingerprint)| Once { key, fingerprint });
        job.check()?;
        let mut enqueued = engine.store.enqueue(vec![job]).await?;
        let Some(enqueued) = enqueued.pop() else { return Err(Error::closed()) };
        let enqueued = enqueued?;
        let operation = self.get(enqueued.id).await?;
        Ok(BulkOperation { is_replayed: enqueued.replayed, ..operation })
    }
    /// An operation as it stands.
    ///
    /// # Errors
    /// If there is none with this id (any more), or the store fails.
    pub async fn get(&self, id: JobId) -> Result<BulkOperation> {
        let job = self.find(id).await?;
        self.show(&job).await
    }
    /// A page of operations, the newest first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, after: Option<i64>, limit: usize) -> Result<BulkPage> {
        let page = PageRequest { order: Order::NewestFirst, limit, after };
        let found = self.stepwell.engine.store.list(of_kind(None), page).await?;
        let mut items = Vec::with_capacity(found.items.len());
        for job in &found.items {
            match self.show(job).await {
                Ok(operation) => items.push(operation),
                // Retention has taken it since the page was read.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(BulkPage { items, next: found.next })
    }
    /// Stops an operation. What it has done stays done.
    ///
    /// # Errors
    /// If there is none with this id (any more), or the store fails.
    pub async fn cancel(&self, id: JobId) -> Result<BulkOperation> {
        self.find(id).await?;
        self.stepwell.cancel(id).await?;
        self.get(id).await
    }
    /// The jobs to which it could not be done, and why: at most the last 1,000.
    ///
    /// # Errors
    /// If there is none with this id (any more), or the store fails.
    pub async fn failures(&self, id: JobId) -> Result<Vec<BulkFailure>> {
        self.find(id).await?;
        let lines = self.stepwell.log(id).await?;
        let failure = |line: &stepwell_core::machine::LogLine| {
            let FailureLine { job, error } = serde_json::from_str(&line.text).ok()?;
            Some(BulkFailure { job, error, at: line.at })
        };
        Ok(lines.iter().filter_map(failure).collect())
    }

    async fn find(&self, id: JobId) -> Result<JobRecord> {
        let job = self.stepwell.engine.store.job(id).await?;
        job.filter(|job| &*job.kind == KIND).ok_or_else(|| Error::no_such("bulk operation", id.to_string()))
    }
    async fn show(&self, job: &JobRecord) -> Result<BulkOperation> {
        let payload: Payload = self.stepwell.payload(job.id).await?.decode()?;
        let counts = match job.state {
            JobState::Completed => match self.stepwell.phase_result(job.id, PHASE).await? {
                Some(result) => result.decode()?,
                None => Counts::default(),
            },
            _ => Counts::of(job),
        };
        let total = match job.state {
            JobState::Completed => counts.sum(),
            _ => payload.total.max(counts.sum()),
        };
        Ok(BulkOperation {
            id: job.id,
            action: payload.action,
            selection: payload.selection,
            by: payload.by,
            state: job.state,
            created_at: job.enqueued_at,
            finished_at: job.finished_at,
            total,
            done: counts.done,
            skipped: counts.skipped,
            failed: counts.failed,
            error: job.details.failure.as_ref().map(|failure| failure.message.clone()),
            version: job.version,
            is_replayed: false,
        })
    }
}

fn of_kind(state: Option<JobState>) -> JobFilter {
    JobFilter { kind: Some(KIND.into()), state, ..JobFilter::default() }
}
