//! One enqueued job.

use std::{fmt, marker::PhantomData};

use stepwell_core::{
    Error, Job as JobRecord, JobId, JobState, Json, PhaseState, Result,
    store::{Enqueued, inbox::InboxOutcome},
};

use crate::{client::Stepwell, job::Job};

/// One enqueued job, with its output type.
pub struct JobHandle<J> {
    stepwell: Stepwell,
    id: JobId,
    duplicate: bool,
    replayed: bool,
    /// Whether not to find the job may mean that its row is still in the inbox.
    from_inbox: bool,
    job: PhantomData<fn() -> J>,
}

impl<J> Clone for JobHandle<J> {
    fn clone(&self) -> Self {
        Self { stepwell: self.stepwell.clone(), ..*self }
    }
}
impl<J> fmt::Debug for JobHandle<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id).field("duplicate", &self.duplicate).finish()
    }
}

impl<J> JobHandle<J> {
    pub(crate) fn new(stepwell: Stepwell, id: JobId, duplicate: bool) -> Self {
        Self { stepwell, id, duplicate, replayed: false, from_inbox: false, job: PhantomData }
    }
    pub(crate) fn of(stepwell: Stepwell, enqueued: Enqueued) -> Self {
        let Enqueued { id, duplicate, replayed } = enqueued;
        Self { stepwell, id, duplicate, replayed, from_inbox: false, job: PhantomData }
    }
    #[cfg(feature = "rusqlite")]
    pub(crate) fn from_inbox(stepwell: Stepwell, id: JobId) -> Self {
        Self { from_inbox: true, ..Self::new(stepwell, id, false) }
    }
    /// The job's id.
    pub fn id(&self) -> JobId {
        self.id
    }
    /// Whether `unique` matched a job that already existed, which this handle then refers to.
    pub fn is_duplicate(&self) -> bool {
        self.duplicate
    }
    /// Whether the request had come before, and this is the answer that it got then ([`Enqueue::once`]).
    ///
    /// [`Enqueue::once`]: crate::Enqueue::once
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }
    /// As [`Stepwell::cancel`].
    ///
    /// # Errors
    /// As there.
    pub async fn cancel(&self) -> Result<JobState> {
        self.stepwell.cancel(self.real_id().await?).await
    }
    /// As [`Stepwell::retry`].
    ///
    /// # Errors
    /// As there.
    pub async fn retry(&self) -> Result<()> {
        self.stepwell.retry(self.real_id().await?).await
    }
    /// Where the job stands.
    ///
    /// # Errors
    /// If it does not exist, or the store fails.
    pub async fn state(&self) -> Result<JobState> {
        Ok(self.record().await?.state)
    }
    /// The job as it stands.
    ///
    /// A job that was written into the inbox exists from when it is taken in, within milliseconds of the commit. If its
    /// row turned out to stand for a job that already existed, this is that job.
    ///
    /// # Errors
    /// If it does not exist (yet), was refused in the inbox, or the store fails.
    pub async fn record(&self) -> Result<JobRecord> {
        let store = &self.stepwell.engine.store;
        if let Some(job) = store.job(self.id).await? {
            return Ok(job);
        }
        match store.inbox_outcome(self.id).await? {
            Some(InboxOutcome::Refused(problem)) => Err(Error::invalid("inbox row", problem)),
            // Taken in between the two looks, if it is not another job.
            Some(InboxOutcome::Job(job)) => self.stepwell.job(job).await,
            None => Err(Error::no_such_job(self.id)),
        }
    }
    /// The id of the job that this handle stands for: another one than its own if it was written into the inbox, and
    /// stood for a job that already existed.
    async fn real_id(&self) -> Result<JobId> {
        match self.from_inbox {
            false => Ok(self.id),
            true => Ok(self.record().await?.id),
        }
    }
    /// Waits until the job has ended, and answers with it.
    ///
    /// A job that was written into the inbox is waited for from there; one that was refused there is an error that says
    /// why.
    ///
    /// # Errors
    /// If it does not exist, is deleted while it is waited for, or the store fails.
    pub async fn ended(&self) -> Result<JobRecord> {
        let engine = &self.stepwell.engine;
        let (mut id, mut was_taken_in) = (self.id, false);
        loop {
            // Asked for before the look, so that no end falls in between.
            let end = engine.tail.end_of(id);
            match engine.store.job(id).await? {
                Some(job) if job.state.is_terminal() => return Ok(job),
                Some(_) => end.await?,
                None => match engine.store.inbox_outcome(id).await? {
                    Some(InboxOutcome::Refused(problem)) => return Err(Error::invalid("inbox row", problem)),
                    Some(InboxOutcome::Job(alias)) if alias != id => id = alias,
                    // Taken in between the two looks; if it is not there at the next look either, it was deleted.
                    Some(InboxOutcome::Job(_)) if !was_taken_in => was_taken_in = true,
                    // What becomes of the row may be another job, or none, and then no event tells of this one.
                    None if self.from_inbox && id == self.id => tokio::select! {
                        ended = end => ended?,
                        () = engine.moment() => {}
                    },
                    _ => return Err(Error::no_such_job(id)),
                },
            }
        }
    }
    /// Waits until the job has ended, and answers with the text that its last phase returned.
    ///
    /// # Errors
    /// As [`result`](JobHandle::result).
    pub async fn result_json(&self) -> Result<Json> {
        let job = self.ended().await?;
        match job.state {
            JobState::Completed => {
                let output =
                    output_phase(&job).ok_or_else(|| Error::no_such("result of job", job.id.to_string()))?;
                if let Some(inline) = output.result.as_ref().and_then(|recorded| recorded.inline.clone()) {
                    return Ok(inline);
                }
                let stored = self.stepwell.engine.store.result(job.id, output.stored_name().clone()).await?;
                stored.ok_or_else(|| Error::no_such("result of job", job.id.to_string()))
            }
            JobState::Cancelled => Err(Error::job_cancelled()),
            _ => {
                let failure = job.details.failure;
                let (phase, message) = match failure {
                    Some(failure) => (failure.phase.map(|phase| phase.to_string()), failure.message),
                    None => (None, "no reason was recorded".to_owned()),
                };
                Err(Error::job_failed(phase, message))
            }
        }
    }
}

impl<J: Job> JobHandle<J> {
    /// Waits until the job has ended, and returns what its last phase returned.
    ///
    /// # Errors
    /// If the job failed ([`Error::is_job_failed`]), was cancelled, or was deleted; if its result is not what
    /// `J::Output` expects; or if the store fails.
    pub async fn result(&self) -> Result<J::Output> {
        self.result_json().await?.decode()
    }
}

/// The phase whose result is the job's: the last that completed, in the order of the phases.
fn output_phase(job: &JobRecord) -> Option<&stepwell_core::Phase> {
    job.phases.iter().rev().find(|phase| phase.state == PhaseState::Completed)
}
