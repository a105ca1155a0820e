//! The one error that stores and the engine return.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use crate::{id::JobId, job::JobState};

/// Short for a result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What Stepwell failed to do, and why.
///
/// Opaque: ask its predicates, such as [`is_not_found`](Self::is_not_found). The text completes "failed to …" and
/// says what to do about it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    reason: Reason,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Debug)]
enum Reason {
    Invalid { field: String, problem: String },
    NotFound { what: &'static str, id: String },
    LeaseLost,
    WrongState { action: &'static str, state: JobState },
    UniqueTaken { holder: JobId },
    VersionMismatch { found: u64 },
    Held,
    JobFailed { phase: Option<String>, message: String },
    JobCancelled,
    Encode,
    Decode,
    IdempotencyMismatch,
    Busy { holder: String, waited: Duration },
    Full,
    Storage { doing: String },
    Fatal { problem: String },
    Refused { problem: String },
    Sealed,
    Closed,
}

macro_rules! predicates {
    ($($(#[doc = $doc:literal])* $name:ident => $pattern:pat,)+) => {
        impl Error {
            $($(#[doc = $doc])* #[must_use] pub fn $name(&self) -> bool { matches!(self.0.reason, $pattern) })+
        }
    };
}
predicates! {
    /// Whether a value from the caller broke a rule or a limit. The text names the field, the limit and the fix.
    is_invalid => Reason::Invalid { .. },
    /// Whether the job, or whatever was asked for, does not exist (any more).
    is_not_found => Reason::NotFound { .. },
    /// Whether the caller does not own the job (any more), and so may not change it.
    is_lease_lost => Reason::LeaseLost,
    /// Whether the job is in a state in which this cannot be done.
    is_wrong_state => Reason::WrongState { .. },
    /// Whether another live job holds the unique key.
    is_unique_taken => Reason::UniqueTaken { .. },
    /// Whether the job or the record had changed since the version that the caller named.
    is_version_mismatch => Reason::VersionMismatch { .. },
    /// Whether the job cannot be deleted yet, because a durable reader of the event log has not passed it.
    is_held => Reason::Held,
    /// Whether the job that was waited for failed.
    is_job_failed => Reason::JobFailed { .. },
    /// Whether the job that was waited for was cancelled.
    is_job_cancelled => Reason::JobCancelled,
    /// Whether a value could not be encoded as JSON, or decoded from it.
    is_codec => Reason::Encode | Reason::Decode,
    /// Whether another request came with the same idempotency key.
    is_idempotency_mismatch => Reason::IdempotencyMismatch,
    /// Whether the store could not be written in time. Nothing was written; trying again is safe.
    is_busy => Reason::Busy { .. },
    /// Whether the disk is full. Nothing was written; the store goes on as soon as there is room.
    is_storage_full => Reason::Full,
    /// Whether the store refused to open: too old a library, too new a schema, a network file system.
    is_refused => Reason::Refused { .. },
    /// Whether the store can no longer be trusted and must be opened again, after a failed fsync for instance.
    is_fatal => Reason::Fatal { .. },
    /// Whether the store is sealed, because it is being copied, or was. It can be read.
    is_sealed => Reason::Sealed,
    /// Whether the store has been closed.
    is_closed => Reason::Closed,
    /// Whether the same call may succeed later, unchanged: the store was busy, full, or failed to read or write.
    is_transient => Reason::Busy { .. } | Reason::Full | Reason::Storage { .. },
}

impl Error {
    fn new(reason: Reason) -> Self {
        Self(Arc::new(Inner { reason, source: None }))
    }
    fn caused(reason: Reason, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Arc::new(Inner { reason, source: Some(source.into()) }))
    }

    /// A value from the caller that breaks a rule: `field` as the caller knows it, `problem` with the limit and the
    /// fix.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::new(Reason::Invalid { field: field.into(), problem: problem.into() })
    }
    /// The job does not exist.
    #[must_use]
    pub fn no_such_job(id: JobId) -> Self {
        Self::new(Reason::NotFound { what: "job", id: id.to_string() })
    }
    /// Something else that does not exist.
    pub fn no_such(what: &'static str, id: impl Into<String>) -> Self {
        Self::new(Reason::NotFound { what, id: id.into() })
    }
    /// The fence of an owner's write does not match.
    #[must_use]
    pub fn lease_lost() -> Self {
        Self::new(Reason::LeaseLost)
    }
    /// `action` (such as "retry") cannot be done in `state`.
    #[must_use]
    pub fn wrong_state(action: &'static str, state: JobState) -> Self {
        Self::new(Reason::WrongState { action, state })
    }
    /// Another live job holds the unique key.
    #[must_use]
    pub fn unique_taken(holder: JobId) -> Self {
        Self::new(Reason::UniqueTaken { holder })
    }
    /// The row's version is `found`, not the one that was asked for.
    #[must_use]
    pub fn version_mismatch(found: u64) -> Self {
        Self::new(Reason::VersionMismatch { found })
    }
    /// A durable cursor has not passed the job's last event.
    #[must_use]
    pub fn held() -> Self {
        Self::new(Reason::Held)
    }
    /// The job that was waited for failed.
    pub fn job_failed(phase: Option<String>, message: impl Into<String>) -> Self {
        Self::new(Reason::JobFailed { phase, message: message.into() })
    }
    /// The job that was waited for was cancelled.
    #[must_use]
    pub fn job_cancelled() -> Self {
        Self::new(Reason::JobCancelled)
    }
    /// A value that could not be encoded.
    #[must_use]
    pub fn encode(source: serde_json::Error) -> Self {
        Self::caused(Reason::Encode, source)
    }
    /// A stored value that could not be decoded.
    #[must_use]
    pub fn decode(source: serde_json::Error) -> Self {
        Self::caused(Reason::Decode, source)
    }
    /// The idempotency key came with another request.
    #[must_use]
    pub fn idempotency_mismatch() -> Self {
        Self::new(Reason::IdempotencyMismatch)
    }
    /// The write lock was not to be had; `holder` says who has it, and what to do.
    pub fn busy(holder: impl Into<String>, waited: Duration) -> Self {
        Self::new(Reason::Busy { holder: holder.into(), waited })
    }
    /// The disk, or the file's quota, is full.
    pub fn full(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Reason::Full, source)
    }
    /// The store failed while `doing` something ("read a job").
    pub fn storage(doing: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(Reason::Storage { doing: doing.into() }, source)
    }
    /// The store can no longer be trusted.
    pub fn fatal(problem: impl Into<String>) -> Self {
        Self::new(Reason::Fatal { problem: problem.into() })
    }
    /// The store will not open, or not do this, as it stands.
    pub fn refused(problem: impl Into<String>) -> Self {
        Self::new(Reason::Refused { problem: problem.into() })
    }
    /// The store is sealed, because it is being copied, or was.
    #[must_use]
    pub fn sealed() -> Self {
        Self::new(Reason::Sealed)
    }
    /// The store has been closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::new(Reason::Closed)
    }

    /// The job that holds the unique key, if that is the reason.
    #[must_use]
    pub fn unique_holder(&self) -> Option<JobId> {
        match self.0.reason {
            Reason::UniqueTaken { holder } => Some(holder),
            _ => None,
        }
    }
    /// The field that broke a rule, if that is the reason.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match &self.0.reason {
            Reason::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }
    /// What is wrong with that field, without its name.
    pub(crate) fn problem(&self) -> Option<&str> {
        match &self.0.reason {
            Reason::Invalid { problem, .. } => Some(problem),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.reason {
            Reason::Invalid { field, problem } => write!(f, "`{field}` {problem}"),
            Reason::NotFound { what, id } => write!(f, "{what} {id} does not exist"),
            Reason::LeaseLost => f.write_str("the lease was lost: another worker may own the job by now"),
            Reason::WrongState { action, state } => write!(f, "cannot {action} a job that is {state}"),
            Reason::UniqueTaken { holder } => {
                write!(f, "the unique key is held by job {holder}; wait for it to end, or cancel it")
            }
            Reason::VersionMismatch { found } => {
                write!(f, "it has changed since: it is at version {found}; read it again and decide anew")
            }
            Reason::Held => f.write_str("the job's last event has not been read by every durable reader yet"),
            Reason::JobFailed { phase: Some(phase), message } => {
                write!(f, "job failed in phase `{phase}`: {message}")
            }
            Reason::JobFailed { phase: None, message } => write!(f, "job failed: {message}"),
            Reason::JobCancelled => f.write_str("job was cancelled"),
            Reason::Encode => self.with_source(f, "could not encode a value as JSON"),
            Reason::Decode => self.with_source(f, "could not decode a stored value"),
            Reason::IdempotencyMismatch => f.write_str(
                "the idempotency key came with another request before; use a new key for a new request",
            ),
            Reason::Busy { holder, waited } => {
                write!(f, "store busy for {:.1} s, nothing was written: {holder}", waited.as_secs_f64())
            }
            Reason::Full => self.with_source(f, "the disk is full, nothing was written; free some space"),
            Reason::Storage { doing } => self.with_source(f, &format!("could not {doing}")),
            Reason::Fatal { problem } | Reason::Refused { problem } => f.write_str(problem),
            Reason::Sealed => f.write_str(
                "the store is sealed, because it is being copied, or was copied to another place; use that one, or let \
                 this one be used again with `stepwell db unseal`",
            ),
            Reason::Closed => f.write_str("the store has been closed"),
        }
    }
}

impl Error {
    fn with_source(&self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        match &self.0.source {
            Some(source) => write!(f, "{text}: {source}"),
            None => f.write_str(text),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.reason)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_what_to_do() {
        let error = Error::busy("process 42 holds the write lock", Duration::from_secs(30));
        assert_eq!(
            error.to_string(),
            "store busy for 30.0 s, nothing was written: process 42 holds the write lock"
        );
        assert!(error.is_busy() && error.is_transient() && !error.is_fatal());
    }

    #[test]
    fn a_failed_job_names_its_phase() {
        let error = Error::job_failed(Some("encode".into()), "nothing to encode");
        assert_eq!(error.to_string(), "job failed in phase `encode`: nothing to encode");
    }
}
