//! `docs/lifecycle.md` once more, as what each command must do to a row. Written from the document and not from the
//! machine, so that the two can be compared.

use stepwell_core::{
    EventType, Job, JobState, Name, Phase, PhaseState,
    event::EventType as E,
    job::{PlanRef, Reason},
    machine::{Command, Context, Edit, RetryFrom, Verdict},
    retry::crash_delay,
    time::Timestamp,
};

/// A phase, as far as the document speaks of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) name: Name,
    pub(crate) stored: Name,
    pub(crate) state: PhaseState,
    pub(crate) tries: u32,
    pub(crate) interrupted: bool,
    pub(crate) checkpoint: bool,
    pub(crate) result: bool,
}

pub(crate) fn shapes(phases: &[Phase]) -> Vec<Shape> {
    let shape = |phase: &Phase| Shape {
        name: phase.name.clone(),
        stored: phase.stored_name().clone(),
        state: phase.state,
        tries: phase.tries,
        interrupted: phase.interrupted,
        checkpoint: phase.checkpoint,
        result: phase.result.is_some(),
    };
    phases.iter().map(shape).collect()
}

/// What must have become of the row.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The transition's number in the document.
    pub(crate) t: &'static str,
    pub(crate) state: JobState,
    pub(crate) reason: Option<Reason>,
    pub(crate) run: u32,
    pub(crate) attempt: u32,
    pub(crate) crashes: u32,
    pub(crate) epochs: u64,
    pub(crate) available_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) cancel_requested_at: Option<Timestamp>,
    pub(crate) cancel_deadline: Option<Timestamp>,
    pub(crate) queue: Name,
    pub(crate) home_queue: Name,
    pub(crate) plan: Option<PlanRef>,
    pub(crate) phases: Vec<Shape>,
    pub(crate) events: Vec<EventType>,
    pub(crate) webhook_sent: bool,
    pub(crate) removed: bool,
}

/// A refusal, and the invariant that an acceptance would break.
pub(crate) type Refusal = &'static str;

/// Who sends a command, as an onlooker knows who can see everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sender {
    /// Whether it is the owner, or the reaper with a sighting that is still true.
    pub(crate) is_entitled: bool,
    /// Whether it names another version than the row's.
    pub(crate) is_outdated: bool,
}

impl Expected {
    fn same(t: &'static str, job: &Job) -> Self {
        Self {
            t,
            state: job.state,
            reason: job.reason,
            run: job.run,
            attempt: job.attempt,
            crashes: job.crashes,
            epochs: 0,
            available_at: job.available_at,
            expires_at: job.expires_at,
            cancel_requested_at: job.cancel_requested_at,
            cancel_deadline: job.cancel_deadline,
            queue: job.queue.clone(),
            home_queue: job.home_queue.clone(),
            plan: job.plan.clone(),
            phases: shapes(&job.phases),
            events: Vec::new(),
            webhook_sent: job.details.webhook_sent,
            removed: false,
        }
    }
    fn says(mut self, events: &[EventType]) -> Self {
        self.events.extend(events);
        self
    }
    /// The run ends: open phases are closed as `open`, and the lease with them.
    fn ends(mut self, state: JobState, reason: Option<Reason>, open: PhaseState) -> Self {
        (self.state, self.reason, self.cancel_deadline) = (state, reason, None);
        self.epochs += 1;
        for phase in self.phases.iter_mut().filter(|phase| is_open(phase.state)) {
            // A try that was cut off is remembered for the next run.
            phase.interrupted |= phase.state == PhaseState::Running;
            phase.state = open;
        }
        self
    }
    fn cancelled(self, reason: Reason) -> Self {
        self.ends(JobState::Cancelled, Some(reason), PhaseState::Cancelled).says(&[E::Cancelled])
    }
    /// The owner is no more the owner, and the job waits.
    fn waits(mut self, reason: Reason, until: Timestamp) -> Self {
        (self.state, self.reason, self.available_at) = (JobState::Pending, Some(reason), until);
        self.epochs += 1;
        self
    }
    fn running(&mut self) -> Option<&mut Shape> {
        self.phases.iter_mut().find(|phase| phase.state == PhaseState::Running)
    }
    /// The running phase is pending again, and its try is not charged.
    fn puts_back(mut self, interrupted: bool) -> Self {
        if let Some(phase) = self.running() {
            phase.state = PhaseState::Pending;
            phase.tries = phase.tries.saturating_sub(1);
            phase.interrupted |= interrupted;
        }
        self
    }
}

fn is_open(state: PhaseState) -> bool {
    matches!(state, PhaseState::Pending | PhaseState::Running)
}

/// What the document says of a command.
pub(crate) fn expect(
    job: &Job,
    command: &Command,
    context: &Context,
    sender: Sender,
) -> Result<Expected, Refusal> {
    let same = |t| Expected::same(t, job);
    let is_owners = matches!(
        command,
        Command::StartPhase
            | Command::SaveCheckpoint { .. }
            | Command::Annotate { .. }
            | Command::EndElement { .. }
            | Command::CompletePhase { .. }
            | Command::FailPhase { .. }
            | Command::Snooze { .. }
            | Command::AcknowledgeCancel
            | Command::Release
            | Command::ForceCancel
            | Command::LoseLease { .. }
    );
    if is_owners && !sender.is_entitled {
        return Err("I7");
    }
    if sender.is_outdated {
        return Err("I3");
    }
    let now = context.now;
    let running = job.phases.iter().find(|phase| phase.state == PhaseState::Running);
    let is_running = |name: &Name| running.is_some_and(|phase| phase.name == *name);
    match command {
        Command::Claim(claim) => {
            let spent = job.expires_at.is_some_and(|at| at <= now);
            let newer = job.plan.as_ref().is_some_and(|plan| plan.generation > claim.plan_ref.generation);
            if job.state != JobState::Pending {
                return Err("I3");
            }
            if job.available_at > now || spent || newer || claim.plan.kind != job.kind {
                return Err("I10");
            }
            // How phases are matched has properties of its own; see `properties.rs`.
            let matched = claim.plan.match_phases(&job.phases);
            let skipped = vec![E::PhaseSkipped; matched.skipped.len()];
            let mut after = same("T2");
            after.phases = shapes(&matched.phases);
            after.plan = Some(claim.plan_ref.clone());
            let due = matched.phases.iter().find(|phase| phase.state == PhaseState::Pending);
            let queue = due.map(|phase| phase.queue.as_ref().unwrap_or(&job.home_queue));
            if let Some(queue) = queue.filter(|queue| **queue != job.queue) {
                (after.t, after.queue) = ("T2q", queue.clone());
                return Ok(after.says(&[E::Edited]).says(&skipped));
            }
            let seen = |phase: &Phase| phase.state == PhaseState::Completed || phase.interrupted;
            let resumed = matched.phases.iter().any(seen);
            (after.state, after.reason) = (JobState::Running, None);
            (after.epochs, after.attempt, after.crashes) = (1, job.attempt + 1, job.crashes + 1);
            Ok(after.says(&[if resumed { E::Resumed } else { E::Started }]).says(&skipped))
        }
        Command::StartPhase => {
            if job.state == JobState::Cancelling {
                return Err("I31");
            }
            if running.is_some() {
                return Err("I15");
            }
            let mut after = same("T4");
            let Some(phase) = after.phases.iter_mut().find(|phase| phase.state == PhaseState::Pending) else {
                after.t = "T4e";
                return Ok(after.ends(JobState::Completed, None, PhaseState::Skipped).says(&[E::Completed]));
            };
            phase.state = PhaseState::Running;
            phase.tries += 1;
            Ok(after.says(&[E::PhaseStarted]))
        }
        Command::SaveCheckpoint { phase, .. } if is_running(phase) => {
            let mut after = same("T5");
            after.running().into_iter().for_each(|phase| phase.checkpoint = true);
            Ok(after)
        }
        Command::Annotate { progress, .. } => {
            let after = same("T5a");
            Ok(if progress.is_some() { after.says(&[E::Progress]) } else { after })
        }
        Command::EndElement { .. } if job.state == JobState::Cancelling => Err("I3"),
        Command::EndElement { phase, .. } if is_running(phase) => Ok(Expected { crashes: 1, ..same("T5i") }),
        Command::CompletePhase { phase, .. } if is_running(phase) => Ok(expect_completed(job, now)),
        Command::FailPhase { phase, verdict, retry, jitter, .. } if is_running(phase) => {
            if job.state == JobState::Cancelling {
                return Ok(same("T10").cancelled(Reason::Requested));
            }
            let failed = running.into_iter().find(|_| true);
            let (tries, spent) = failed.map_or((0, false), |it| (it.tries, it.tries >= it.max_tries));
            let delay = match verdict {
                Verdict::Permanent => None,
                _ if spent => None,
                Verdict::RetryIn(delay) => Some(*delay),
                Verdict::Retry => Some(retry.delay_after(tries, *jitter)),
            };
            let mut after = same(if delay.is_some() { "T8" } else { "T9" });
            let state = if delay.is_some() { PhaseState::Pending } else { PhaseState::Failed };
            after.running().into_iter().for_each(|phase| phase.state = state);
            Ok(match delay {
                Some(delay) => Expected { crashes: 0, ..after }
                    .waits(Reason::Retrying, now + delay)
                    .says(&[E::PhaseFailed, E::Retrying]),
                None => {
                    let reason =
                        if *verdict == Verdict::Permanent { Reason::Permanent } else { Reason::TriesSpent };
                    after
                        .ends(JobState::Failed, Some(reason), PhaseState::Skipped)
                        .says(&[E::PhaseFailed, E::Failed])
                }
            })
        }
        Command::SaveCheckpoint { .. }
        | Command::EndElement { .. }
        | Command::CompletePhase { .. }
        | Command::FailPhase { .. } => Err("I21"),
        Command::Snooze { .. } | Command::Release | Command::AcknowledgeCancel
            if job.state == JobState::Cancelling =>
        {
            Ok(same("T10").cancelled(Reason::Requested))
        }
        Command::AcknowledgeCancel => Err("I3"),
        Command::Snooze { delay } => {
            Ok(Expected { attempt: job.attempt.saturating_sub(1), crashes: 0, ..same("T14s") }
                .puts_back(false)
                .waits(Reason::Snoozed, now + *delay)
                .says(&[E::Snoozed]))
        }
        Command::Release => {
            let charged = Expected {
                attempt: job.attempt.saturating_sub(1),
                crashes: job.crashes.saturating_sub(1),
                ..same("T14")
            };
            Ok(charged.puts_back(true).waits(Reason::Released, now).says(&[E::Released]))
        }
        Command::Cancel { grace } => match job.state {
            JobState::Pending => {
                let asked = Expected { cancel_requested_at: Some(now), ..same("T11a") };
                Ok(asked.cancelled(Reason::Requested))
            }
            JobState::Running => {
                let mut after = same("T11b").says(&[E::Cancelling]);
                after.state = JobState::Cancelling;
                (after.cancel_requested_at, after.cancel_deadline) = (Some(now), Some(now + *grace));
                Ok(after)
            }
            _ => Err("I32"),
        },
        Command::ForceCancel => {
            let late = job.cancel_deadline.is_some_and(|deadline| deadline <= now);
            match job.state {
                JobState::Cancelling if late => Ok(same("T12").cancelled(Reason::Forced)),
                _ => Err("I3"),
            }
        }
        Command::LoseLease { .. } if job.state == JobState::Cancelling => {
            Ok(same("T12s").cancelled(Reason::Forced))
        }
        Command::LoseLease { .. } if job.crashes >= job.max_crashes => {
            let mut after = same("T13b").says(&[E::Interrupted, E::Failed]);
            if let Some(phase) = after.running() {
                (phase.state, phase.interrupted) = (PhaseState::Failed, true);
            }
            Ok(after.ends(JobState::Failed, Some(Reason::Poisoned), PhaseState::Skipped))
        }
        Command::LoseLease { jitter, .. } => Ok(same("T13a")
            .puts_back(true)
            .waits(Reason::Interrupted, now + crash_delay(job.crashes, *jitter))
            .says(&[E::Interrupted])),
        Command::Retry { payload: Some(_), .. }
            if job.state.is_terminal() && job.kind.starts_with("stepwell.") =>
        {
            Err("I4")
        }
        Command::Retry { from, rerun, .. } => expect_retried(job, from, *rerun, context),
        Command::Expire => match job.expires_at {
            Some(at) if at <= now && job.state == JobState::Pending => Ok(same("T16")
                .ends(JobState::Failed, Some(Reason::Expired), PhaseState::Skipped)
                .says(&[E::Failed])),
            _ => Err("I3"),
        },
        Command::Delete if !job.state.is_terminal() => Err("I1"),
        Command::Delete if context.held => Err("I46"),
        Command::Delete => Ok(Expected { removed: true, ..same("T17").says(&[E::Deleted]) }),
        Command::Edit(_) if job.state != JobState::Pending => Err("I4"),
        Command::Edit(Edit { priority: _, when: _, payload, queue, tags, attributes })
            if job.kind.starts_with("stepwell.")
                && (payload.is_some() || queue.is_some() || tags.is_some() || attributes.is_some()) =>
        {
            Err("I4")
        }
        Command::Edit(edit) => {
            let mut after = same("T18").says(&[E::Edited]);
            if let Some(queue) = &edit.queue {
                let due = job.phases.iter().find(|phase| phase.state == PhaseState::Pending);
                after.queue = due.and_then(|phase| phase.queue.clone()).unwrap_or_else(|| queue.clone());
                after.home_queue = queue.clone();
            }
            after.available_at = edit.when.map_or(after.available_at, |when| when.resolve(now));
            Ok(after)
        }
        Command::RecordWebhook { delivered, .. } => {
            let mut after = same("T19");
            // While the job goes on, it was an earlier run whose end was delivered.
            after.webhook_sent |= *delivered && job.state.is_terminal();
            Ok(after.says(&[if *delivered { E::WebhookDelivered } else { E::WebhookFailed }]))
        }
    }
}

/// T6: the running phase's result is recorded, and what comes of that.
fn expect_completed(job: &Job, now: Timestamp) -> Expected {
    let mut after = Expected { crashes: 1, ..Expected::same("T6a", job) }.says(&[E::PhaseCompleted]);
    if let Some(phase) = after.running() {
        (phase.state, phase.interrupted) = (PhaseState::Completed, false);
        (phase.checkpoint, phase.result) = (false, true);
    }
    let Some(due) = job.phases.iter().find(|phase| phase.state == PhaseState::Pending) else {
        after.t = if job.state == JobState::Cancelling { "T6b, cancelling" } else { "T6b" };
        return after.ends(JobState::Completed, None, PhaseState::Skipped).says(&[E::Completed]);
    };
    if job.state == JobState::Cancelling {
        after.t = "T6c";
        return after.cancelled(Reason::Requested);
    }
    let queue = due.queue.as_ref().unwrap_or(&job.home_queue);
    if *queue == job.queue {
        return after;
    }
    (after.t, after.queue, after.crashes) = ("T6d", queue.clone(), 0);
    after.waits(Reason::HandedOver, now)
}

/// T15: an operator sets the job going again.
fn expect_retried(job: &Job, from: &RetryFrom, rerun: bool, context: &Context) -> Result<Expected, Refusal> {
    let is_completed = job.state == JobState::Completed;
    if !job.state.is_terminal() || (is_completed && (!rerun || *from == RetryFrom::Unfinished)) {
        return Err("I3");
    }
    if context.unique_holder.is_some() {
        return Err("I2");
    }
    let (t, first_reset) = match from {
        RetryFrom::Unfinished => ("T15, unfinished", usize::MAX),
        RetryFrom::Start => ("T15, start", 0),
        RetryFrom::Phase(name) => {
            ("T15, phase", job.phases.iter().position(|phase| phase.name == *name).ok_or("I3")?)
        }
    };
    let mut after = Expected::same(if is_completed { "T15, rerun" } else { t }, job).says(&[E::Retried]);
    let (mut kept, mut open) = (Vec::new(), Vec::new());
    for (position, mut phase) in after.phases.into_iter().enumerate() {
        if position >= first_reset {
            (phase.checkpoint, phase.interrupted) = (false, false);
        } else if phase.state == PhaseState::Completed {
            kept.push(phase);
            continue;
        }
        (phase.state, phase.tries, phase.result) = (PhaseState::Pending, 0, false);
        open.push(phase);
    }
    if let Some(due) = open.first() {
        let due = job.phases.iter().find(|phase| phase.name == due.name);
        after.queue = due.and_then(|phase| phase.queue.clone()).unwrap_or_else(|| job.home_queue.clone());
    }
    after.phases = kept.into_iter().chain(open).collect();
    (after.state, after.reason) = (JobState::Pending, Some(Reason::Retried));
    (after.run, after.attempt, after.crashes, after.epochs) = (job.run + 1, 0, 0, 1);
    after.available_at = context.now;
    (after.expires_at, after.cancel_requested_at, after.cancel_deadline) = (None, None, None);
    after.webhook_sent = false;
    Ok(after)
}
