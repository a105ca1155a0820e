//! The row of the inbox that stands for a job about to be enqueued.

use stepwell_core::{
    Error, JobId, Json, Name, OnConflict, Result, machine::NewJob, schedule::When,
    store::inbox::INBOX_VERSION,
};

/// What is written, column by column: the one statement of the inbox contract (docs/sql.md).
pub(crate) struct InboxRow {
    pub(crate) id: JobId,
    pub(crate) v: i64,
    pub(crate) kind: Name,
    pub(crate) payload: Json,
    pub(crate) queue: Option<Name>,
    pub(crate) priority: i64,
    pub(crate) delay_ms: Option<i64>,
    pub(crate) run_at: Option<i64>,
    pub(crate) unique_key: Option<String>,
    pub(crate) unique_within_ms: Option<i64>,
    pub(crate) tags: Json,
    pub(crate) attributes: Json,
}

impl InboxRow {
    /// The row of a job.
    ///
    /// # Errors
    /// If a field breaks a rule, or has no place in a row.
    pub(crate) fn of(new: NewJob) -> Result<Self> {
        new.check()?;
        // A row of the inbox has no place for these, and what is asked for must not be lost without a word.
        let unkept = [
            ("on conflict", new.on_conflict != OnConflict::Return || new.unique_in.is_some()),
            ("expires", new.expires.is_some()),
            ("webhook", new.webhook.is_some()),
            ("idempotency key", new.once.is_some()),
            ("max_crashes", new.max_crashes.is_some()),
        ];
        if let Some((field, _)) = unkept.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::invalid(
                field,
                "cannot be written into a transaction; leave it out, or await the enqueue",
            ));
        }
        let (delay_ms, run_at) = match new.when {
            When::Now => (None, None),
            When::After(delay) => (i64::try_from(delay.as_millis()).ok(), None),
            When::At(at) => (None, Some(at.as_micros())),
        };
        let unique_within_ms = new.unique.as_ref().and_then(|unique| unique.window());
        Ok(Self {
            id: new.id,
            v: INBOX_VERSION,
            tags: Json::of(&new.tags)?,
            attributes: Json::of(&new.attributes)?,
            kind: new.kind,
            payload: new.payload,
            queue: new.queue,
            priority: new.priority.into(),
            delay_ms,
            run_at,
            unique_within_ms: unique_within_ms.and_then(|window| i64::try_from(window.as_millis()).ok()),
            unique_key: new.unique.map(|unique| unique.as_str().to_owned()),
        })
    }
}
