//! What operators do: cancel, retry, delete, pause, list, count, explain.

use std::sync::Arc;

use stepwell_core::{
    Error, Job as JobRecord, JobId, JobState, Json, Name, Result, SessionId,
    explain::{self, Explanation},
    lease::Fence,
    limits,
    machine::{Command, Edit, LogLine, RetryFrom},
    plan::PlanSpec,
    queue::{Queue, QueueChange},
    retention::Retention,
    session::{Desired, Node, Session},
    store::{Applied, Count, Health, JobFilter, Page, PageRequest, Request},
};

use crate::{client::Stepwell, wire::Frame};

/// A page of jobs.
pub type JobList = Page<JobRecord>;
/// How many jobs there are, by queue, kind and state.
pub type Counts = Vec<Count>;

impl Stepwell {
    async fn command(&self, id: JobId, command: Command) -> Result<Applied> {
        let request = Request { job: id, fence: Fence::None, commands: vec![command] };
        self.engine.store.apply(request).await
    }

    /// Stops a job: at once if it waits; if it runs, its phase is asked to stop
    /// ([`Ctx::cancelled`](crate::Ctx::cancelled))
    /// and has a grace period for it. If the last phase completes all the same, the completion wins.
    ///
    /// Answers with the state that the job is in afterwards; on a job that has ended or is already cancelling, nothing
    /// happens, and the answer is its state.
    ///
    /// # Errors
    /// If the job does not exist, or the store fails.
    pub async fn cancel(&self, id: JobId) -> Result<JobState> {
        let grace = self.engine.config.cancel_deadline();
        let applied = self.command(id, Command::Cancel { grace }).await?;
        if applied.job.state == JobState::Cancelling {
            self.engine.flights.cancel(id, applied.job.epoch);
        }
        Ok(applied.job.state)
    }
    /// Gives a failed or cancelled job a fresh set of tries. Completed phases keep their results.
    ///
    /// # Errors
    /// If the job does not exist or has neither failed nor been cancelled; if another live job holds its unique key
    /// ([`Error::unique_holder`]); or if the store fails.
    pub async fn retry(&self, id: JobId) -> Result<()> {
        self.again(id, RetryFrom::Unfinished, false, None).await
    }
    /// As [`retry`](Self::retry), but every phase runs again. Discarded results are kept in the archive.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn retry_from_start(&self, id: JobId) -> Result<()> {
        self.again(id, RetryFrom::Start, false, None).await
    }
    /// As [`retry`](Self::retry), but `phase` and every later phase run again.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), and if the job has no such phase.
    pub async fn retry_from(&self, id: JobId, phase: impl Into<Name>) -> Result<()> {
        self.again(id, RetryFrom::Phase(phase.into()), false, None).await
    }
    /// Runs a job that has ended again, a completed one too, with a new payload if one is given.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), and if the payload breaks a rule.
    pub async fn rerun(&self, id: JobId, from: RetryFrom, payload: Option<Json>) -> Result<()> {
        self.again(id, from, true, payload).await
    }
    async fn again(&self, id: JobId, from: RetryFrom, rerun: bool, payload: Option<Json>) -> Result<()> {
        self.command(id, Command::Retry { from, rerun, payload }).await.map(drop)
    }
    /// Changes a waiting job.
    ///
    /// # Errors
    /// If the job does not exist or does not wait, a value breaks a rule, or the store fails.
    pub async fn edit(&self, id: JobId, edit: Edit) -> Result<()> {
        edit.check()?;
        self.command(id, Command::Edit(edit)).await.map(drop)
    }
    /// As [`edit`](Self::edit), if the job is still at this version.
    ///
    /// # Errors
    /// As there, and if it has changed since ([`Error::is_version_mismatch`]).
    pub async fn edit_at(&self, id: JobId, version: u64, edit: Edit) -> Result<JobRecord> {
        edit.check()?;
        let commands = vec![Command::Edit(edit)];
        let request = Request { job: id, fence: Fence::Version(version), commands };
        Ok(self.engine.store.apply(request).await?.job)
    }
    /// Removes a job that has ended, with everything of it but its events.
    ///
    /// # Errors
    /// If the job does not exist or has not ended, a durable reader has yet to pass its last event
    /// ([`Error::is_held`]), or the store fails.
    pub async fn delete(&self, id: JobId) -> Result<()> {
        self.command(id, Command::Delete).await.map(drop)
    }

    /// Removes ended jobs and events that a retention does not keep, now and once. Answers with how many jobs it was.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn prune(&self, retention: Retention) -> Result<usize> {
        let mut jobs = 0;
        loop {
            let pruned = self.engine.store.prune(retention.clone()).await?;
            jobs += pruned.jobs;
            if !pruned.more {
                return Ok(jobs);
            }
            // It takes its turn among the others' commits.
            tokio::task::yield_now().await;
        }
    }

    /// Keeps workers from taking jobs of a queue. What runs goes on.
    ///
    /// # Errors
    /// If the name breaks a rule, or the store fails.
    pub async fn pause(&self, queue: impl Into<Name>, reason: Option<&str>) -> Result<()> {
        let reason = reason.map(str::to_owned);
        self.change_queue(queue.into(), QueueChange::Pause { reason }).await
    }
    /// Lets workers take jobs of a queue again.
    ///
    /// # Errors
    /// If the name breaks a rule, or the store fails.
    pub async fn resume(&self, queue: impl Into<Name>) -> Result<()> {
        self.change_queue(queue.into(), QueueChange::Resume).await
    }
    /// Lets so many jobs of a queue run at once in all processes on this store together, or any number.
    ///
    /// A place is taken from the claim of a job until its end, its next wait or its move to another queue, and a
    /// process that dies gives its places back with its jobs. If more jobs run already, all of them go on, and none
    /// begins until there is room. How many run in one process is another matter: see
    /// [`Builder::queue`](crate::Builder::queue).
    ///
    /// # Errors
    /// If the name breaks a rule; if the limit is 0, for which there is [`pause`](Self::pause), or more than
    /// [`limits::QUEUE_LIMIT_MAX`]; or if the store fails.
    pub async fn set_limit(&self, queue: impl Into<Name>, limit: Option<u32>) -> Result<()> {
        self.change_queue(queue.into(), QueueChange::Limit(limit)).await
    }
    async fn change_queue(&self, queue: Name, change: QueueChange) -> Result<()> {
        self.engine.store.change_queue(queue, change).await.map(drop)
    }
    /// The queues that an operator has set something for.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn queues(&self) -> Result<Vec<Queue>> {
        self.engine.store.queues().await
    }

    /// A page of jobs.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, filter: JobFilter, page: PageRequest) -> Result<JobList> {
        self.engine.store.list(filter, page).await
    }
    /// How many jobs there are, by queue, kind and state. What is not listed is zero. Stepwell's own jobs, such as
    /// deliveries to webhooks, are not counted.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn counts(&self) -> Result<Counts> {
        let mut counts = self.engine.store.counts().await?;
        counts.retain(|count| !stepwell_core::event::is_internal(&count.kind));
        Ok(counts)
    }
    /// Why a job is not running now.
    ///
    /// # Errors
    /// If the job does not exist, or the store fails.
    pub async fn explain(&self, id: JobId) -> Result<Explanation> {
        let job = self.job(id).await?;
        let facts = self.engine.store.facts(job.clone()).await?;
        Ok(explain::explain(&job, &facts, self.clock().now()))
    }
    /// The live processes that work this queue.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        self.engine.store.sessions().await
    }
    /// The processes that work this queue, and the programs that do so through one of them: where they are, how they
    /// are, and how much they run. Those that are lost are among them until their jobs are taken back.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.engine.store.nodes().await
    }
    /// Tells a process, wherever it runs, to claim nothing more, to claim again, or to end. It hears of it within a
    /// second, and says how it is in [`nodes`](Self::nodes): quiet, running, or stopping. A process that is to end
    /// claims nothing more, and resolves [`Workers::terminated`](crate::Workers::terminated).
    ///
    /// Answers with what is wanted of it from now on: an end is not taken back.
    ///
    /// # Errors
    /// If there is no such live process, or the store fails.
    pub async fn want(&self, node: SessionId, desired: Desired) -> Result<Desired> {
        let wanted = self.engine.store.want(node, desired).await?;
        // A worker of this process claims nothing from now on, and not only from the next look on.
        self.engine.remote.hear(&[(node, wanted)]);
        Ok(wanted)
    }
    /// How the store is doing: its schema, its file, and the sessions that should have given a sign of life.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn health(&self) -> Result<Health> {
        self.engine.store.health().await
    }
    /// The payload of a job, as it was written.
    ///
    /// # Errors
    /// If the job does not exist, or the store fails.
    pub async fn payload(&self, id: JobId) -> Result<Json> {
        self.engine.store.payload(id).await?.ok_or_else(|| Error::no_such_job(id))
    }
    /// The recorded result of a phase, as it was written; none if it has not completed.
    ///
    /// # Errors
    /// If the job does not exist or has no such phase, or the store fails.
    pub async fn phase_result(&self, id: JobId, phase: &str) -> Result<Option<Json>> {
        let job = self.job(id).await?;
        let found = job.phase(phase).ok_or_else(|| Error::no_such("phase", phase))?;
        match &found.result {
            None => Ok(None),
            Some(recorded) if recorded.inline.is_some() => Ok(recorded.inline.clone()),
            Some(_) => self.engine.store.result(id, found.stored_name().clone()).await,
        }
    }
    /// A job's log, the oldest line first.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn log(&self, id: JobId) -> Result<Vec<LogLine>> {
        self.engine.store.log(id).await
    }
    /// The events of a job, in order, as far as they are kept.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn history(&self, id: JobId) -> Result<Vec<crate::events::Event>> {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let piece = self.engine.store.history(id, after, limits::PAGE_MAX).await?;
            let Some(last) = piece.last() else { return Ok(events) };
            after = last.pos;
            events.extend(piece.into_iter().map(crate::events::Event::from));
        }
    }
    /// The events of a job after a `pos`, out of at most `limit` of its changes, in the form in which events go out.
    /// None are left if there is none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn history_frames(&self, id: JobId, after: u64, limit: usize) -> Result<Vec<Arc<Frame>>> {
        let events = self.engine.store.history(id, after, limit).await?;
        Ok(events.into_iter().map(|event| Arc::new(Frame::new(event))).collect())
    }
    /// The newest plan of a kind that a worker has registered, and its generation.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn plan(&self, kind: impl Into<Name>) -> Result<Option<(PlanSpec, u64)>> {
        let found = self.engine.store.plan(kind.into()).await?;
        Ok(found.map(|(spec, plan_ref)| (spec, plan_ref.generation)))
    }
}
