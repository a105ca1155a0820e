//! The inbox: how an application enqueues inside its own transaction, from any driver and language.

use std::collections::BTreeMap;

use crate::{
    error::{Error, Result},
    id::JobId,
    json::Json,
    machine::{NewJob, command::check_key},
    name::Name,
    schedule::When,
    time::Timestamp,
    unique::Unique,
};

/// The version of the inbox contract that this release reads.
pub const INBOX_VERSION: i64 = 1;

/// One row of `stepwell_inbox`, as the application wrote it. Nothing in it is trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InboxEntry {
    /// The row's key.
    pub n: i64,
    /// The job's id, made by the application: a UUID of any version.
    pub id: Option<String>,
    /// The version of the contract.
    pub v: Option<i64>,
    /// The kind.
    pub kind: Option<String>,
    /// The payload, JSON.
    pub payload: Option<String>,
    /// The queue.
    pub queue: Option<String>,
    /// The priority.
    pub priority: Option<i64>,
    /// Milliseconds to wait, counted by the store's clock from the time when the row is taken in.
    pub delay_ms: Option<i64>,
    /// Microseconds since the Unix epoch.
    pub run_at: Option<i64>,
    /// The unique key.
    pub unique_key: Option<String>,
    /// How long ended jobs count for the unique key, in milliseconds.
    pub unique_within_ms: Option<i64>,
    /// Makes a second row with the same key an alias of the first.
    pub idempotency_key: Option<String>,
    /// A JSON list of strings.
    pub tags: Option<String>,
    /// A JSON object of strings.
    pub attributes: Option<String>,
    /// What was wrong with the row's encoding already, if anything.
    pub problem: Option<String>,
}

/// What became of an inbox row.
#[derive(Clone, Debug, PartialEq)]
pub enum InboxOutcome {
    /// A job: a new one, or the one that the row is a duplicate of.
    Job(JobId),
    /// Nothing, for this reason.
    Refused(String),
}

impl InboxEntry {
    /// The job that the row asks for.
    ///
    /// # Errors
    /// A validation error that names the column.
    pub fn parse(&self) -> Result<NewJob> {
        if let Some(problem) = &self.problem {
            return Err(Error::invalid("inbox row", problem.clone()));
        }
        match self.v {
            Some(INBOX_VERSION) => {}
            Some(v) => {
                return Err(Error::invalid(
                    "v",
                    format!("is {v}; this release reads version {INBOX_VERSION}"),
                ));
            }
            None => return Err(Error::invalid("v", format!("is missing; write {INBOX_VERSION}"))),
        }
        let id: JobId = required("id", self.id.as_ref())?.parse()?;
        let kind = required("kind", self.kind.as_ref())?;
        let payload = Json::from_text(required("payload", self.payload.as_ref())?.clone())
            .map_err(|error| Error::invalid("payload", format!("is not JSON: {error}")))?;
        let priority = i16::try_from(self.priority.unwrap_or(0))
            .map_err(|_| Error::invalid("priority", "is out of range; it is between -32768 and 32767"))?;
        let tags: Vec<Name> = json_column("tags", "a JSON list of strings", self.tags.as_ref())?;
        let attributes: BTreeMap<Name, String> =
            json_column("attributes", "a JSON object of strings", self.attributes.as_ref())?;
        let unique = match (&self.unique_key, self.unique_within_ms) {
            (Some(key), None) => Some(Unique::key(key)),
            (Some(key), Some(within)) => Some(Unique::key(key).within(millis("unique_within_ms", within)?)),
            (None, _) => None,
        };
        if let Some(key) = &self.idempotency_key {
            check_key("idempotency_key", key)?;
        }
        let when = match (self.delay_ms, self.run_at) {
            (Some(_), Some(_)) => {
                return Err(Error::invalid("delay_ms", "and `run_at` are both given; give one"));
            }
            (Some(delay), None) => When::After(millis("delay_ms", delay)?),
            (None, Some(at)) => When::At(Timestamp::from_micros(at)),
            (None, None) => When::Now,
        };
        let queue = self.queue.as_deref().map(Name::from);
        let new = NewJob {
            queue,
            priority,
            when,
            unique,
            tags,
            attributes,
            ..NewJob::new(id, kind.as_str(), payload)
        };
        new.check()?;
        Ok(new)
    }
}

fn required<'a>(column: &str, value: Option<&'a String>) -> Result<&'a String> {
    value.ok_or_else(|| Error::invalid(column, "is missing"))
}

fn millis(column: &str, value: i64) -> Result<std::time::Duration> {
    let value = u64::try_from(value).map_err(|_| Error::invalid(column, "is negative"))?;
    Ok(std::time::Duration::from_millis(value))
}

fn json_column<T: Default + serde::de::DeserializeOwned>(
    column: &str,
    what: &str,
    value: Option<&String>,
) -> Result<T> {
    match value {
        None => Ok(T::default()),
        Some(text) => {
            serde_json::from_str(text).map_err(|_| Error::invalid(column, format!("is not {what}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> InboxEntry {
        InboxEntry {
            id: Some("0199c3a1-0000-7000-8000-0000007f3a2b".into()),
            v: Some(1),
            kind: Some("send_email".into()),
            payload: Some(r#"{"to":"a@b.c"}"#.into()),
            ..InboxEntry::default()
        }
    }

    #[test]
    fn the_least_row_is_a_job() {
        let new = row().parse().unwrap();
        assert_eq!((&*new.kind, new.payload.as_str()), ("send_email", r#"{"to":"a@b.c"}"#));
    }

    #[test]
    fn wrong_rows_name_their_column() {
        type Spoil = fn(&mut InboxEntry);
        let cases: [(&str, Spoil); 12] = [
            ("v", |row| row.v = Some(9)),
            ("v", |row| row.v = None),
            ("job id", |row| row.id = Some("7".into())),
            ("kind", |row| row.kind = None),
            ("payload", |row| row.payload = Some("{".into())),
            ("payload", |row| row.payload = Some(r#""\u0000""#.into())),
            ("priority", |row| row.priority = Some(40_000)),
            ("tags", |row| row.tags = Some("{}".into())),
            ("idempotency_key", |row| row.idempotency_key = Some("x".repeat(501))),
            ("idempotency_key", |row| row.idempotency_key = Some("a\0b".into())),
            ("delay_ms", |row| row.delay_ms = Some(-1)),
            ("delay_ms", |row| (row.delay_ms, row.run_at) = (Some(1), Some(1))),
        ];
        for (column, spoil) in cases {
            let mut row = row();
            spoil(&mut row);
            assert_eq!(row.parse().unwrap_err().field(), Some(column));
        }
    }
}
