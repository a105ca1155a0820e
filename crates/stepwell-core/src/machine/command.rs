//! What may be asked of a job.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    id::{JobId, SessionId, Token},
    job::{PlanRef, Progress},
    json::Json,
    limits,
    name::{self, Name},
    plan::PlanSpec,
    retry::Retry,
    schedule::When,
    time::Timestamp,
    unique::{OnConflict, Unique},
    webhook::JobWebhook,
};

/// What may be asked of a job. The numbers are those of `docs/lifecycle.md`.
#[derive(Clone, Debug)]
pub enum Command {
    /// T2: a worker takes it.
    Claim(Claim),
    /// T4: its owner begins the next due phase; if none is due, the job is complete.
    StartPhase,
    /// T5: its owner stores how far the running phase has got.
    SaveCheckpoint {
        /// The running phase.
        phase: Name,
        /// Whatever the phase needs to go on from there.
        value: Json,
    },
    /// T5: its owner reports progress and log lines.
    Annotate {
        /// How far the running phase has got.
        progress: Option<Progress>,
        /// Lines for the job's log.
        lines: Vec<LogLine>,
    },
    /// T5i: its owner records one element of a fan-out phase.
    EndElement {
        /// The running phase.
        phase: Name,
        /// Which element, from 0.
        index: u32,
        /// The hash of the element's input, so that its result is never taken for another input's.
        input_hash: String,
        /// Its result.
        result: Json,
    },
    /// T6: its owner records the running phase's result.
    CompletePhase {
        /// The running phase.
        phase: Name,
        /// Its result.
        result: Json,
    },
    /// T8, T9, and T10 if it was asked to stop: the running phase failed.
    FailPhase {
        /// The running phase.
        phase: Name,
        /// What it said.
        error: String,
        /// What the error asks for.
        verdict: Verdict,
        /// The phase's policy.
        retry: Retry,
        /// Between 0 and 1.
        jitter: f64,
    },
    /// T14s: the running phase wants to run later, which is no failure.
    Snooze {
        /// How much later.
        delay: Duration,
    },
    /// T10: its owner has stopped, as it was asked to.
    AcknowledgeCancel,
    /// T14: its owner gives it back.
    Release,
    /// T11: somebody wants it stopped.
    Cancel {
        /// How long a running phase has to stop.
        grace: Duration,
    },
    /// T12: the reaper stops it by force, after its deadline.
    ForceCancel,
    /// T13, or T12 if it was asked to stop: the reaper found its owner dead.
    LoseLease {
        /// Where the owner ran.
        node: String,
        /// Between 0 and 1.
        jitter: f64,
    },
    /// T15: an operator sets it going again.
    Retry {
        /// Where it begins.
        from: RetryFrom,
        /// Whether a completed job may run again, too.
        rerun: bool,
        /// A new payload.
        payload: Option<Json>,
    },
    /// T16: the reaper closes it, because it expired.
    Expire,
    /// T17: it goes.
    Delete,
    /// T18: it is changed while it waits.
    Edit(Edit),
    /// T19: a webhook about its end was delivered, or its attempts are spent.
    RecordWebhook {
        /// Whether it was delivered.
        delivered: bool,
        /// What the event says of it.
        data: Json,
    },
}

/// What a worker shows when it claims a job.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its session.
    pub session: SessionId,
    /// 128 fresh random bits.
    pub token: Token,
    /// Its plan for the job's kind.
    pub plan: Arc<PlanSpec>,
    /// The plan's hash and generation.
    pub plan_ref: PlanRef,
}

/// What a phase's error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A try is spent; the policy says when the next one is.
    Retry,
    /// A try is spent; the next one is after exactly this long.
    RetryIn(Duration),
    /// No further try can help.
    Permanent,
}

/// Where an operator's retry begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryFrom {
    /// At the first phase without a result: completed phases keep theirs.
    Unfinished,
    /// At the first phase.
    Start,
    /// At this phase: it and what follows it run again.
    Phase(Name),
}

/// A line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// The phase that wrote it.
    pub phase: Option<Name>,
    /// The text.
    pub text: String,
}

/// What is changed of a waiting job. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// The payload.
    pub payload: Option<Json>,
    /// The priority.
    pub priority: Option<i16>,
    /// The queue.
    pub queue: Option<Name>,
    /// When it may run.
    pub when: Option<When>,
    /// Its tags.
    pub tags: Option<Vec<Name>>,
    /// Its search attributes.
    pub attributes: Option<BTreeMap<Name, String>>,
}

/// What [`apply`](super::apply) must know beside the row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The store's clock.
    pub now: Timestamp,
    /// The live job that holds the row's unique key, if that is another one. Asked for by a retry.
    pub unique_holder: Option<JobId>,
    /// Whether a durable reader of the log has yet to pass the job's last event. Asked for by a deletion.
    pub held: bool,
}

/// A request that is to count once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// The key that the sender chose, with whatever sets it apart from other senders' keys.
    pub key: String,
    /// Tells requests with the same key apart. The same key with another fingerprint is a mistake of the sender.
    pub fingerprint: String,
}

/// A job about to be enqueued.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Its kind. No worker need know it yet.
    pub kind: Name,
    /// What it is about.
    pub payload: Json,
    /// Its queue; `default` if none is named.
    pub queue: Option<Name>,
    /// Higher runs first.
    pub priority: i16,
    /// When it may run.
    pub when: When,
    /// When it is too late for a worker to take it.
    pub expires: Option<When>,
    /// What makes it the same as another.
    pub unique: Option<Unique>,
    /// What happens if there is another already.
    pub on_conflict: OnConflict,
    /// The enqueue is refused if that other is in none of these queues, and was put into none of them.
    pub unique_in: Option<BTreeSet<Name>>,
    /// Words to find it by.
    pub tags: Vec<Name>,
    /// Keys and values to find it by.
    pub attributes: BTreeMap<Name, String>,
    /// Its own webhook.
    pub webhook: Option<JobWebhook>,
    /// Makes the request itself count once: sent again within a day, it is answered with the same job.
    pub once: Option<Once>,
    /// Crashes after which it is poisoned; [`limits::CRASHES_MAX`] if none is named.
    pub max_crashes: Option<u32>,
}

impl NewJob {
    /// The queue of jobs that name none.
    pub const DEFAULT_QUEUE: &'static str = "default";

    /// A job with the defaults.
    #[must_use]
    pub fn new(id: JobId, kind: impl Into<Name>, payload: Json) -> Self {
        Self {
            id,
            kind: kind.into(),
            payload,
            queue: None,
            priority: 0,
            when: When::Now,
            expires: None,
            unique: None,
            on_conflict: OnConflict::Return,
            unique_in: None,
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            webhook: None,
            once: None,
            max_crashes: None,
        }
    }

    /// Checks every field against its limit.
    ///
    /// # Errors
    /// A validation error that names the field, the limit and the fix.
    pub fn check(&self) -> Result<(), Error> {
        name::check("kind", &self.kind)?;
        if let Some(queue) = &self.queue {
            name::check("queue", queue)?;
        }
        check_payload(&self.payload)?;
        check_when("delay", self.when)?;
        if let Some(expires) = self.expires {
            check_when("expires", expires)?;
        }
        if let Some(unique) = &self.unique {
            check_key("unique key", unique.as_str())?;
        }
        if self.unique.is_none() && self.on_conflict != OnConflict::Return {
            return Err(Error::invalid("on conflict", "says nothing without a unique key; add one"));
        }
        if self.max_crashes == Some(0) {
            return Err(Error::invalid("max_crashes", "must be at least 1"));
        }
        if let Some(webhook) = &self.webhook {
            webhook.check()?;
        }
        if let Some(once) = &self.once {
            check_key("idempotency key", &once.key)?;
        }
        check_tags(&self.tags)?;
        check_attributes(&self.attributes)
    }
}

impl Edit {
    /// Checks every field against its limit.
    ///
    /// # Errors
    /// As [`NewJob::check`].
    pub fn check(&self) -> Result<(), Error> {
        if let Some(payload) = &self.payload {
            check_payload(payload)?;
        }
        if let Some(queue) = &self.queue {
            name::check("queue", queue)?;
        }
        if let Some(when) = self.when {
            check_when("delay", when)?;
        }
        check_tags(self.tags.as_deref().unwrap_or(&[]))?;
        self.attributes.as_ref().map_or(Ok(()), check_attributes)
    }
}

/// Checks a payload.
///
/// # Errors
/// If it is larger than [`limits::PAYLOAD_BYTES_MAX`], holds U+0000, or is nested too deep.
pub(crate) fn check_payload(payload: &Json) -> Result<(), Error> {
    if payload.bytes() > limits::PAYLOAD_BYTES_MAX {
        let (found, limit) = (payload.bytes(), limits::PAYLOAD_BYTES_MAX);
        let problem = format!(
            "is {found} bytes long, the limit is {limit}; store the data elsewhere and enqueue where it is"
        );
        return Err(Error::invalid("payload", problem));
    }
    match payload.problem(limits::JSON_DEPTH_MAX) {
        Some(problem) => Err(Error::invalid("payload", problem)),
        None => Ok(()),
    }
}

fn check_when(field: &str, when: When) -> Result<(), Error> {
    match when {
        When::After(delay) if delay > limits::DELAY_MAX => {
            Err(Error::invalid(field, "is more than a hundred years; check its unit"))
        }
        _ => Ok(()),
    }
}

/// Checks a unique key, an idempotency key or an attribute's value.
///
/// # Errors
/// If it is longer than [`limits::KEY_BYTES_MAX`] or holds U+0000.
pub(crate) fn check_key(field: &str, key: &str) -> Result<(), Error> {
    if key.len() > limits::KEY_BYTES_MAX {
        let (found, limit) = (key.len(), limits::KEY_BYTES_MAX);
        return Err(Error::invalid(
            field,
            format!("is {found} bytes long, the limit is {limit}; use a hash of it"),
        ));
    }
    if key.contains('\0') {
        return Err(Error::invalid(field, "holds the character U+0000; remove it"));
    }
    Ok(())
}

fn check_tags(tags: &[Name]) -> Result<(), Error> {
    if tags.len() > limits::TAGS_MAX {
        return Err(Error::invalid("tags", format!("are {}, the limit is {}", tags.len(), limits::TAGS_MAX)));
    }
    tags.iter().try_for_each(|tag| name::check("tag", tag))
}

fn check_attributes(attributes: &BTreeMap<Name, String>) -> Result<(), Error> {
    if attributes.len() > limits::ATTRIBUTES_MAX {
        let (found, limit) = (attributes.len(), limits::ATTRIBUTES_MAX);
        return Err(Error::invalid("attributes", format!("are {found}, the limit is {limit}")));
    }
    attributes.iter().try_for_each(|(key, value)| {
        name::check("attribute", key)?;
        check_key(&format!("attribute {key}"), value)
    })
}
