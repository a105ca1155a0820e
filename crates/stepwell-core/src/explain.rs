//! Why a job is not running.

use std::fmt;

use crate::{
    id::SessionId,
    job::{Job, JobState, Reason},
    limits::LIST_SCAN_MAX,
    name::Name,
    queue::Queue,
    session::Session,
    time::Timestamp,
};

/// Why a job is not running now, or what it does if it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Explanation {
    /// It waits for the time it was enqueued for.
    Scheduled {
        /// That time.
        at: Timestamp,
    },
    /// It waits for its next try.
    WaitingForRetry {
        /// When that is.
        at: Timestamp,
        /// The phase that failed, if one did.
        phase: Option<Name>,
        /// What the failed try said.
        error: Option<String>,
    },
    /// Its queue is paused.
    Paused {
        /// The queue.
        queue: Name,
        /// Since when.
        since: Timestamp,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// It expired, and will be closed shortly.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// No live worker knows its kind.
    NoWorkerForKind {
        /// The kind.
        kind: Name,
    },
    /// Workers know its kind, but only an older plan than the one it is bound to.
    NewerPlan {
        /// The kind.
        kind: Name,
        /// The generation that it is bound to.
        generation: u64,
    },
    /// Workers know its kind, but none of them works its queue.
    NoWorkerForQueue {
        /// The queue.
        queue: Name,
    },
    /// Every slot of its queue is taken.
    NoFreeSlot {
        /// The queue.
        queue: Name,
        /// Jobs of that queue that run.
        running: u64,
        /// Slots of that queue in all live workers.
        slots: u64,
        /// Jobs of that queue that are claimed before it.
        ahead: u64,
    },
    /// As many jobs of its queue run as may run at once in all workers together.
    LimitReached {
        /// The queue.
        queue: Name,
        /// Jobs of that queue that run.
        running: u64,
        /// How many may.
        limit: u32,
        /// Jobs of that queue that are claimed before it.
        ahead: u64,
    },
    /// Nothing stands in its way: it waits its turn.
    Ready {
        /// The queue.
        queue: Name,
        /// Jobs of that queue that run.
        running: u64,
        /// Slots of that queue in all live workers.
        slots: u64,
        /// Jobs of that queue that are claimed before it.
        ahead: u64,
    },
    /// It runs.
    Running {
        /// In this session.
        session: SessionId,
        /// The machine and process, if the session is known.
        node: Option<String>,
        /// The phase.
        phase: Option<Name>,
    },
    /// It runs, and was asked to stop.
    Cancelling {
        /// When it is stopped by force.
        deadline: Option<Timestamp>,
    },
    /// It has ended.
    Ended {
        /// How.
        state: JobState,
        /// Why.
        reason: Option<Reason>,
    },
}

/// What the store knows that bears on the question.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The record of the job's queue, if an operator made one.
    pub queue: Option<Queue>,
    /// The live sessions.
    pub sessions: Vec<Session>,
    /// Jobs of the job's queue that are running or cancelling.
    pub running_in_queue: u64,
    /// Jobs of the job's queue that are due, and come before it in the order of claiming. Counting ends at
    /// [`LIST_SCAN_MAX`].
    pub ahead: u64,
}

/// Says why a job is not running now.
#[must_use]
pub fn explain(job: &Job, facts: &Facts, now: Timestamp) -> Explanation {
    match (job.state, job.lease) {
        (JobState::Pending, _) => explain_pending(job, facts, now),
        (JobState::Running, Some(lease)) => Explanation::Running {
            session: lease.session,
            node: facts.sessions.iter().find(|session| session.id == lease.session).map(|s| s.node.clone()),
            phase: job.running_phase().map(|phase| phase.name.clone()),
        },
        (JobState::Cancelling, _) => Explanation::Cancelling { deadline: job.cancel_deadline },
        (state, _) => Explanation::Ended { state, reason: job.reason },
    }
}

fn explain_pending(job: &Job, facts: &Facts, now: Timestamp) -> Explanation {
    if let Some(at) = job.expires_at.filter(|at| *at <= now) {
        return Explanation::Expired { at };
    }
    if job.available_at > now {
        let at = job.available_at;
        let failed = job.phases.iter().rev().find(|phase| phase.error.is_some());
        return match job.reason {
            Some(Reason::Retrying | Reason::Interrupted) => Explanation::WaitingForRetry {
                at,
                phase: failed.map(|phase| phase.name.clone()),
                error: failed.and_then(|phase| phase.error.clone()),
            },
            _ => Explanation::Scheduled { at },
        };
    }
    if let Some(queue) = &facts.queue
        && let Some(since) = queue.paused_at
    {
        return Explanation::Paused { queue: queue.name.clone(), since, reason: queue.paused_reason.clone() };
    }
    let generation = |session: &Session| {
        session.kinds.iter().find(|(kind, _)| *kind == job.kind).map(|(_, generation)| *generation)
    };
    let knowing: Vec<&Session> =
        facts.sessions.iter().filter(|session| generation(session).is_some()).collect();
    if knowing.is_empty() {
        return Explanation::NoWorkerForKind { kind: job.kind.clone() };
    }
    let bound = job.plan.as_ref().map_or(0, |plan| plan.generation);
    let fitting: Vec<&Session> =
        knowing.into_iter().filter(|session| generation(session) >= Some(bound)).collect();
    if fitting.is_empty() {
        return Explanation::NewerPlan { kind: job.kind.clone(), generation: bound };
    }
    let slots_of = |session: &&Session| {
        session
            .queues
            .iter()
            .filter(|(queue, _)| *queue == job.queue)
            .map(|(_, slots)| *slots as u64)
            .sum::<u64>()
    };
    let slots: u64 = fitting.iter().map(slots_of).sum();
    let (queue, running, ahead) = (job.queue.clone(), facts.running_in_queue, facts.ahead);
    let reached = facts.queue.as_ref().filter(|queue| queue.is_full(running)).and_then(|queue| queue.limit);
    match (slots, reached) {
        (0, _) => Explanation::NoWorkerForQueue { queue },
        (_, Some(limit)) => Explanation::LimitReached { queue, running, limit, ahead },
        (slots, None) if running >= slots => Explanation::NoFreeSlot { queue, running, slots, ahead },
        (slots, None) => Explanation::Ready { queue, running, slots, ahead },
    }
}

/// How many jobs come first, in words.
struct Ahead(u64);

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("it is the next"),
            1 => f.write_str("1 job is ahead of it"),
            n if n >= LIST_SCAN_MAX as u64 => write!(f, "at least {n} jobs are ahead of it"),
            n => write!(f, "{n} jobs are ahead of it"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduled { .. } => f.write_str("it is scheduled for later"),
            Self::WaitingForRetry { error: Some(error), phase: Some(phase), .. } => {
                write!(f, "it waits for the next try of phase `{phase}`, which failed: {error}")
            }
            Self::WaitingForRetry { .. } => f.write_str("it waits for its next try"),
            Self::Paused { queue, reason: Some(reason), .. } => {
                write!(f, "queue `{queue}` is paused: {reason}")
            }
            Self::Paused { queue, .. } => write!(f, "queue `{queue}` is paused; resume it"),
            Self::Expired { .. } => f.write_str("it has expired"),
            Self::NoWorkerForKind { kind } => {
                write!(f, "no live worker knows the kind `{kind}`; start one that registers it")
            }
            Self::NewerPlan { kind, generation } => write!(
                f,
                "it is bound to plan generation {generation} of `{kind}`, and every live worker has an older one; \
                 start a worker with the newer plan"
            ),
            Self::NoWorkerForQueue { queue } => write!(f, "no live worker works queue `{queue}`"),
            Self::NoFreeSlot { queue, running, slots, ahead } => write!(
                f,
                "queue `{queue}` has no free slot: {running} of {slots} are taken, and {}",
                Ahead(*ahead)
            ),
            Self::LimitReached { queue, running, limit, ahead } => write!(
                f,
                "the queue's limit of {limit} is reached: {running} jobs of queue `{queue}` run in all workers, and {}",
                Ahead(*ahead)
            ),
            Self::Ready { queue, running, slots, ahead } => write!(
                f,
                "nothing stands in its way: it waits its turn in queue `{queue}`, where {running} of {slots} slots \
                 are taken, and {}",
                Ahead(*ahead)
            ),
            Self::Running { phase: Some(phase), .. } => write!(f, "it is running phase `{phase}`"),
            Self::Running { .. } => f.write_str("it is running"),
            Self::Cancelling { .. } => f.write_str("it was asked to stop, and has not stopped yet"),
            Self::Ended { state, .. } => write!(f, "it has ended: {state}"),
        }
    }
}
