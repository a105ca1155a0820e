//! Does what a bulk operation says, batch by batch.
//!
//! Which jobs a batch is about is written down before anything is done to them, together with what came of the batch
//! before. After a crash the batch is done again: what was done already is found to be so, and counted once.

use std::{sync::Arc, time::Duration};

use futures_util::future;
use serde::{Deserialize, Serialize};
use stepwell_core::{
    Error, Job as JobRecord, JobId, JobState, Retry, Timestamp,
    lease::Fence,
    store::{Order, PageRequest, Request, Store},
};

use crate::{
    ctx::Ctx,
    job::Worker,
    phase_error::{PhaseError, PhaseResult},
    plan::{Phase, Plan},
};

use super::{BulkAction, operation::Payload};

/// The kind of the jobs that are bulk operations.
pub(crate) const KIND: &str = "stepwell.bulk";
/// Their queue: they take no slots from others.
pub(crate) const QUEUE: &str = "stepwell.bulk";
/// How many of them one process works at once.
pub(crate) const AT_ONCE: usize = 2;
/// Their one phase.
pub(super) const PHASE: &str = "apply";
/// Jobs in one batch: they share a commit.
const BATCH: usize = 100;
/// Tries of the whole, when the store is in trouble.
const TRIES: u32 = 50;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often, and for how long in between, a job is tried again that a reader of the log holds.
const HELD_TRIES: u32 = 50;
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// What has come of an operation so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counts {
    pub(super) done: u64,
    pub(super) skipped: u64,
    pub(super) failed: u64,
}

impl Counts {
    pub(super) fn sum(&self) -> u64 {
        self.done + self.skipped + self.failed
    }
    /// As they stand in the progress of an operation that has not completed.
    pub(super) fn of(job: &JobRecord) -> Self {
        let note = job.details.progress.as_ref().and_then(|progress| progress.note.as_deref());
        note.and_then(|note| serde_json::from_str(note).ok()).unwrap_or_default()
    }
}

/// A line of an operation's log.
#[derive(Serialize, Deserialize)]
pub(super) struct FailureLine {
    pub(super) job: JobId,
    pub(super) error: String,
}

/// How far an operation has got.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Place {
    /// Which of the states it is at.
    pass: usize,
    /// Where the next page begins.
    after: Option<i64>,
    /// What came of the batches before this one.
    counts: Counts,
    /// The jobs of this one,
    batch: Vec<JobId>,
    /// and the runs that they were in.
    runs: Vec<u32>,
}

/// What came of one job.
enum Outcome {
    Done,
    Skipped,
    Failed(String),
}

pub(crate) struct BulkWorker {
    store: Arc<dyn Store>,
    cancel_grace: Duration,
}

impl Worker for BulkWorker {
    type Job = Payload;
    fn plan(plan: &Plan<Self>) -> Phase<'_, Counts> {
        let retry = Retry::exponential(TRIES).starting_at(FIRST_PAUSE).capped_at(LONGEST_PAUSE);
        plan.phase(PHASE, (), Self::apply).retry(retry)
    }
}

impl BulkWorker {
    pub(crate) fn new(store: Arc<dyn Store>, cancel_grace: Duration) -> Self {
        Self { store, cancel_grace }
    }

    async fn apply(&self, cx: &Ctx<Payload>) -> PhaseResult<Counts> {
        let Some(own) = self.store.job(cx.id()).await? else {
            return Err(PhaseError::permanent("it was deleted"));
        };
        let mut place: Place = cx.cursor()?.unwrap_or_default();
        // A batch that was begun is done again, from its beginning.
        self.batch(cx, &mut place, true).await?;
        while let Some(batch) = self.next(cx, &mut place, own.enqueued_at).await? {
            if cx.is_cancelled() {
                return Err("it was asked to stop".into());
            }
            if batch.is_empty() {
                continue;
            }
            (place.batch, place.runs) = batch.into_iter().unzip();
            cx.save_cursor(&place).await?;
            self.batch(cx, &mut place, false).await?;
        }
        Ok(place.counts)
    }

    /// The jobs of the next page that are to be touched; none if there is no next page.
    async fn next(
        &self,
        cx: &Ctx<Payload>,
        place: &mut Place,
        asked_at: Timestamp,
    ) -> PhaseResult<Option<Vec<(JobId, u32)>>> {
        let Payload { action, selection, .. } = cx.job();
        let Some(state) = action.passes().get(place.pass) else { return Ok(None) };
        let Some(filter) = selection.filter(*state) else {
            (place.pass, place.after) = (place.pass + 1, None);
            return Ok(Some(Vec::new()));
        };
        let page = PageRequest { order: Order::NewestFirst, limit: BATCH, after: place.after };
        let found = self.store.list(filter, page).await?;
        place.after = found.next;
        if found.next.is_none() {
            place.pass += 1;
        }
        let wanted =
            |job: &&JobRecord| selection.covers(job) && super::Selection::is_old_enough(job, asked_at);
        Ok(Some(found.items.iter().filter(wanted).map(|job| (job.id, job.run)).collect()))
    }

    async fn batch(&self, cx: &Ctx<Payload>, place: &mut Place, again: bool) -> PhaseResult<()> {
        let each = place.batch.iter().enumerate().map(|(nth, id)| {
            let before = place.runs.get(nth).copied().filter(|_| again);
            self.one(&cx.job().action, *id, again, before)
        });
        let mut counts = place.counts;
        let mut failed = Vec::new();
        for (id, outcome) in place.batch.iter().zip(future::join_all(each).await) {
            match outcome? {
                Outcome::Done => counts.done += 1,
                Outcome::Skipped => counts.skipped += 1,
                Outcome::Failed(error) => {
                    counts.failed += 1;
                    failed.push(FailureLine { job: *id, error });
                }
            }
        }
        if place.batch.is_empty() {
            return Ok(());
        }
        for line in failed {
            cx.log(serde_json::to_string(&line).map_err(PhaseError::permanent)?);
        }
        place.counts = counts;
        place.batch.clear();
        place.runs.clear();
        let note = serde_json::to_string(&counts).map_err(PhaseError::permanent)?;
        cx.progress_note(counts.sum(), cx.job().total.max(counts.sum()), note);
        Ok(())
    }

    /// Does it to one job. `again`: it may have been done already, before a crash, when the job was in this run.
    async fn one(
        &self,
        action: &BulkAction,
        id: JobId,
        again: bool,
        run: Option<u32>,
    ) -> PhaseResult<Outcome> {
        for nth in 1.. {
            let mut fence = Fence::None;
            if let (BulkAction::Retry { .. }, Some(run)) = (action, run) {
                // A job that was retried may have failed again since, and looks as if it had not been.
                let Some(job) = self.store.job(id).await? else { return Ok(Outcome::Done) };
                if job.run > run {
                    return Ok(Outcome::Done);
                }
                fence = Fence::Version(job.version);
            }
            let commands = vec![action.command(self.cancel_grace)];
            let error = match self.store.apply(Request { job: id, fence, commands }).await {
                Ok(applied) => {
                    let ended_otherwise = *action == BulkAction::Cancel
                        && !matches!(applied.job.state, JobState::Cancelled | JobState::Cancelling);
                    return Ok(if ended_otherwise { Outcome::Skipped } else { Outcome::Done });
                }
                Err(error) => error,
            };
            match () {
                () if error.is_wrong_state() || error.is_not_found() => {
                    return Ok(if again { Outcome::Done } else { Outcome::Skipped });
                }
                // It has changed since it was looked at.
                () if error.is_version_mismatch() => {}
                () if error.is_held() && nth < HELD_TRIES => tokio::time::sleep(HELD_PAUSE).await,
                () if error.is_held() || is_about_the_job(&error) => {
                    return Ok(Outcome::Failed(error.to_string()));
                }
                () => return Err(error.into()),
            }
        }
        Ok(Outcome::Skipped)
    }
}

/// Whether this one job is the reason, so that the others may be gone on with.
fn is_about_the_job(error: &Error) -> bool {
    error.unique_holder().is_some() || error.is_invalid() || error.is_codec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bulk::Selection, client::Stepwell};

    fn operation(action: BulkAction) -> Ctx<Payload> {
        Ctx::for_test(Payload { action, selection: Selection::default(), by: String::new(), total: 2 })
    }

    #[tokio::test]
    async fn a_batch_that_is_done_again_is_found_done_and_counted_once() {
        let stepwell = Stepwell::in_memory().open().await.unwrap();
        let worker = BulkWorker::new(stepwell.engine.store.clone(), Duration::ZERO);
        let mut batch = Vec::new();
        for _ in 0..2 {
            batch.push(stepwell.enqueue_untyped("note", stepwell_core::Json::null()).await.unwrap().id());
        }
        let begun = Place { batch: batch.clone(), runs: vec![1; 2], ..Place::default() };
        for action in [
            BulkAction::Cancel,
            BulkAction::Retry { from_start: false },
            BulkAction::RunNow,
            BulkAction::SetPriority { priority: 1 },
            BulkAction::Cancel,
            BulkAction::Delete,
        ] {
            let cx = operation(action.clone());
            for again in [false, true] {
                let mut place = begun.clone();
                worker.batch(&cx, &mut place, again).await.unwrap();
                let done = Counts { done: 2, ..Counts::default() };
                assert_eq!((place.counts, place.batch.len()), (done, 0), "{action:?}, again: {again}");
            }
            if let BulkAction::Retry { .. } = action {
                assert_eq!(stepwell.job(batch[0]).await.unwrap().run, 2, "it was retried once");
                // Also if it has ended again when the batch is done again.
                stepwell.cancel(batch[0]).await.unwrap();
                let mut place = begun.clone();
                worker.batch(&cx, &mut place, true).await.unwrap();
                assert_eq!(place.counts, Counts { done: 2, ..Counts::default() });
                let job = stepwell.job(batch[0]).await.unwrap();
                assert_eq!((job.run, job.state), (2, JobState::Cancelled));
                stepwell.retry(batch[0]).await.unwrap();
            }
        }
        // What is gone before it was touched was not deleted by this operation.
        let mut place = begun;
        worker.batch(&operation(BulkAction::Delete), &mut place, false).await.unwrap();
        assert_eq!(place.counts, Counts { skipped: 2, ..Counts::default() });
    }
}
