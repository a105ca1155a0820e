//! What a remote worker says about a phase.

use std::time::Duration;

use stepwell_core::{
    Error, JobState, Json, Result, Retry, Timestamp,
    job::{Job, Progress, Reason},
    limits,
    machine::{Command, LogLine, Verdict},
    phase::{PhaseState, Recorded},
    store::{Applied, Claimed, Request},
};

use super::{calls::RemoteWorkers, claim::RemoteClaim, lease::LeaseToken};

/// Lines in one call.
const LINES_MAX: usize = 1_000;

/// What a report has led to.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Where the job stands.
    pub state: JobState,
    /// When it is tried again, if it waits for that.
    pub next_attempt_at: Option<Timestamp>,
    /// The next phase, if the worker has claimed it with this call.
    pub next: Option<RemoteClaim>,
}

/// What a phase failed with.
#[derive(Clone, Debug)]
pub struct RemoteFailure {
    /// The error's text.
    pub text: String,
    /// Whether no further try can help.
    pub never: bool,
    /// When to try again, instead of when the policy says.
    pub after: Option<Duration>,
}

impl RemoteWorkers<'_> {
    /// Stores how far a phase has got.
    ///
    /// # Errors
    /// If the lease is lost; if the value breaks a limit; or if the store fails.
    pub async fn checkpoint(&self, lease: &LeaseToken, value: Json) -> Result<()> {
        let command = Command::SaveCheckpoint { phase: lease.phase.clone(), value };
        self.apply(lease, vec![command]).await.map(drop)
    }
    /// Says how far a phase has got.
    ///
    /// # Errors
    /// If the lease is lost, or the store fails.
    pub async fn progress(&self, lease: &LeaseToken, progress: Progress) -> Result<()> {
        let command = Command::Annotate { progress: Some(progress), lines: Vec::new() };
        self.apply(lease, vec![command]).await.map(drop)
    }
    /// Adds lines to the job's log.
    ///
    /// # Errors
    /// If the lease is lost; if there are too many lines; or if the store fails.
    pub async fn log(&self, lease: &LeaseToken, lines: Vec<String>) -> Result<()> {
        if lines.len() > LINES_MAX {
            return Err(Error::invalid("lines", format!("are {}; {LINES_MAX} go in one call", lines.len())));
        }
        let at = self.store().clock().now();
        let lines =
            lines.into_iter().map(|text| LogLine { at, phase: Some(lease.phase.clone()), text }).collect();
        self.apply(lease, vec![Command::Annotate { progress: None, lines }]).await.map(drop)
    }

    /// Ends a phase with its output, and goes on with the next one of the job if so wished.
    ///
    /// # Errors
    /// If the lease is lost; if the output breaks a limit; or if the store fails.
    pub async fn complete(&self, lease: &LeaseToken, output: Json, claim_next: bool) -> Result<Reported> {
        if output.bytes() > limits::RESULT_BYTES_MAX {
            let (bytes, limit) = (output.bytes(), limits::RESULT_BYTES_MAX);
            let problem = format!("is {bytes} bytes long, the limit is {limit}; store the data elsewhere");
            return Err(Error::invalid("output", problem));
        }
        let hash = Recorded::of(&output).hash;
        let complete = Command::CompletePhase { phase: lease.phase.clone(), result: output };
        let then = if claim_next { Command::StartPhase } else { Command::Release };
        let job = self.report(lease, vec![complete, then], |job| {
            let phase = job.phase(&lease.phase);
            let recorded = phase.filter(|phase| phase.state == PhaseState::Completed);
            recorded.and_then(|phase| phase.result.as_ref()).is_some_and(|result| result.hash == hash)
        });
        self.reported(lease, job.await?).await
    }
    /// Ends a try of a phase with a failure.
    ///
    /// # Errors
    /// If the lease is lost, or the store fails.
    pub async fn fail(&self, lease: &LeaseToken, failure: RemoteFailure) -> Result<Reported> {
        let verdict = match (failure.never, failure.after) {
            (true, _) => Verdict::Permanent,
            (false, Some(delay)) => Verdict::RetryIn(delay),
            (false, None) => Verdict::Retry,
        };
        let command = Command::FailPhase {
            phase: lease.phase.clone(),
            error: failure.text.clone(),
            verdict,
            retry: self.policy(lease).await?,
            jitter: self.engine().entropy.jitter(),
        };
        let job = self.report(lease, vec![command], |job| {
            let error = job.phase(&lease.phase).and_then(|phase| phase.error.as_ref());
            error.is_some_and(|error| failure.text.starts_with(error.as_str()))
        });
        self.reported(lease, job.await?).await
    }
    /// Lets a phase run later, which is no failure.
    ///
    /// # Errors
    /// If the lease is lost, or the store fails.
    pub async fn snooze(&self, lease: &LeaseToken, delay: Duration) -> Result<Reported> {
        self.leave(lease, Command::Snooze { delay }, Reason::Snoozed).await
    }
    /// Gives a phase back.
    ///
    /// # Errors
    /// If the lease is lost, or the store fails.
    pub async fn release(&self, lease: &LeaseToken) -> Result<Reported> {
        self.leave(lease, Command::Release, Reason::Released).await
    }

    async fn leave(&self, lease: &LeaseToken, command: Command, reason: Reason) -> Result<Reported> {
        let said = |job: &Job| job.reason == Some(reason) || job.state == JobState::Cancelled;
        let job = match self.report(lease, vec![command], said).await {
            // It was asked to stop, and that is what it does.
            Err(error) if error.is_wrong_state() => {
                self.report(lease, vec![Command::AcknowledgeCancel], said).await?
            }
            job => job?,
        };
        self.reported(lease, job).await
    }

    async fn apply(&self, lease: &LeaseToken, commands: Vec<Command>) -> Result<Applied> {
        self.store().apply(Request { job: lease.job, fence: lease.fence(), commands }).await
    }

    /// Does what ends a try. If it was done before, by the same call whose answer was lost, the job as it stands is the
    /// answer, as long as nobody has claimed it since.
    async fn report(
        &self,
        lease: &LeaseToken,
        commands: Vec<Command>,
        is_done: impl Fn(&Job) -> bool,
    ) -> Result<Job> {
        let refused = match self.apply(lease, commands).await {
            Ok(applied) => return Ok(applied.job),
            Err(error) => error,
        };
        if !refused.is_lease_lost() && !refused.is_wrong_state() {
            return Err(refused);
        }
        let job = self.store().job(lease.job).await?.filter(|job| is_done(job));
        let unclaimed = |job: &Job| job.lease.is_none() && job.epoch == lease.epoch + 1;
        let still_mine = |job: &Job| job.is_owned_by(lease.epoch, lease.token);
        job.filter(|job| unclaimed(job) || still_mine(job)).ok_or(refused)
    }

    async fn reported(&self, lease: &LeaseToken, job: Job) -> Result<Reported> {
        let waits = job.state == JobState::Pending && job.available_at > self.store().clock().now();
        let mut reported =
            Reported { state: job.state, next_attempt_at: waits.then_some(job.available_at), next: None };
        if job.is_owned_by(lease.epoch, lease.token)
            && job.running_phase().is_some()
            && let Some(payload) = self.store().payload(job.id).await?
        {
            let claimed = Claimed { job, payload };
            reported.next = match self.engine().remote.find(lease.session) {
                Ok(remote) => self.hand_out(&remote, claimed).await?,
                Err(_) => None,
            };
        }
        Ok(reported)
    }

    async fn policy(&self, lease: &LeaseToken) -> Result<Retry> {
        let Ok(remote) = self.engine().remote.find(lease.session) else { return Ok(Retry::default()) };
        let job = self.store().job(lease.job).await?.ok_or_else(Error::lease_lost)?;
        let spec = remote.plan(&job.kind).and_then(|plan| plan.spec.phase(&lease.phase).cloned());
        Ok(spec.map_or_else(Retry::default, |spec| spec.retry))
    }
}
