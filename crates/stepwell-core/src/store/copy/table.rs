//! The tables of a copy, with their columns and keys.

/// What stands in a column. Everything but a key may also be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number of 64 bits, with its sign.
    Integer,
    /// A number of 32 bits, without one.
    Count,
    /// Yes or no.
    Boolean,
    /// Text, JSON included, byte for byte.
    Text,
    /// Text for which stores have numbers of their own: kinds, queues, phases, hashes of plans.
    Name,
    /// An id or a token: 16 bytes.
    Id,
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as it is stored where nothing stands in the way.
    pub name: &'static str,
    /// What stands in it.
    pub kind: Kind,
}

/// A table of a copy. They are copied in the order of [`Table::ALL`]: what others refer to comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Sessions that own jobs. They arrive dead, and whoever opens the copy takes their jobs back.
    Session,
    /// Plans.
    Plan,
    /// What operators have set for queues.
    Queue,
    /// How far durable readers have read the log.
    Cursor,
    /// How often each scope of small records was written.
    Scope,
    /// Small records: webhook endpoints and their secrets, tokens, the audit log, idempotency keys.
    Setting,
    /// The log.
    Event,
    /// Jobs, and with them webhook deliveries and bulk operations.
    Job,
    /// Their payloads.
    Payload,
    /// Results too large for a job's row.
    Result,
    /// Results that operators discarded.
    Archive,
    /// Checkpoints.
    Checkpoint,
    /// Finished elements of fan-out phases.
    Element,
    /// Log lines.
    Log,
    /// Tags, for finding jobs.
    Tag,
    /// Search attributes.
    Attribute,
    /// What applications put in and nobody took yet.
    Inbox,
    /// What became of what was taken.
    InboxDone,
}

/// Columns, each with its kind.
macro_rules! columns {
    ($($name:ident: $kind:ident),* $(,)?) => {
        &[$(Column { name: stringify!($name), kind: Kind::$kind }),*]
    };
}

impl Table {
    /// All of them, in the order in which they are copied.
    pub const ALL: [Self; 18] = [
        Self::Session,
        Self::Plan,
        Self::Queue,
        Self::Cursor,
        Self::Scope,
        Self::Setting,
        Self::Event,
        Self::Job,
        Self::Payload,
        Self::Result,
        Self::Archive,
        Self::Checkpoint,
        Self::Element,
        Self::Log,
        Self::Tag,
        Self::Attribute,
        Self::Inbox,
        Self::InboxDone,
    ];

    /// Its name, as both stores have it, less their prefixes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Plan => "plan",
            Self::Queue => "queue",
            Self::Cursor => "cursor",
            Self::Scope => "scope",
            Self::Setting => "setting",
            Self::Event => "event",
            Self::Job => "job",
            Self::Payload => "payload",
            Self::Result => "result",
            Self::Archive => "archive",
            Self::Checkpoint => "checkpoint",
            Self::Element => "element",
            Self::Log => "log",
            Self::Tag => "tag",
            Self::Attribute => "attribute",
            Self::Inbox => "inbox",
            Self::InboxDone => "inbox_done",
        }
    }
    /// The table of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }

    /// How many columns, from the first, are the key. Records come in its order: text by its bytes.
    #[must_use]
    pub const fn key(self) -> usize {
        match self {
            Self::Session
            | Self::Queue
            | Self::Cursor
            | Self::Scope
            | Self::Event
            | Self::Job
            | Self::Payload
            | Self::Inbox
            | Self::InboxDone => 1,
            Self::Plan | Self::Setting | Self::Result | Self::Checkpoint | Self::Log | Self::Tag => 2,
            Self::Archive | Self::Element | Self::Attribute => 3,
        }
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Session => columns!(id: Id, node: Text, started_at: Integer, kinds: Text, queues: Text),
            Self::Plan => columns!(kind: Name, hash: Text, generation: Integer, spec: Text),
            Self::Queue => columns!(name: Name, paused_at: Integer, paused_reason: Text, at_once: Count),
            Self::Cursor => columns!(name: Text, pos: Integer),
            Self::Scope => columns!(scope: Text, revision: Integer),
            Self::Setting => columns!(scope: Text, key: Text, version: Integer, at: Integer, value: Text),
            // `prev_pos` is 0 if retention has removed what stood there.
            Self::Event => columns!(
                last_pos: Integer,
                n: Count,
                job_key: Integer,
                job_uuid: Id,
                kind: Name,
                queue: Name,
                last_job_seq: Integer,
                run: Count,
                at: Integer,
                types: Integer,
                prev_pos: Integer,
                data: Text,
            ),
            // So is `last_event_pos`.
            Self::Job => columns!(
                key: Integer,
                uuid: Id,
                kind: Name,
                queue: Name,
                home_queue: Name,
                priority: Integer,
                max_crashes: Count,
                enqueued_at: Integer,
                available_at: Integer,
                expires_at: Integer,
                unique_key: Text,
                ready: Boolean,
                state: Integer,
                reason: Integer,
                version: Integer,
                run: Count,
                attempt: Count,
                crashes: Count,
                epoch: Integer,
                session: Id,
                token: Id,
                plan: Name,
                plan_generation: Integer,
                cancel_requested_at: Integer,
                cancel_deadline: Integer,
                finished_at: Integer,
                next_seq: Integer,
                last_event_pos: Integer,
                elements: Boolean,
                details: Text,
                phases: Text,
            ),
            Self::Payload => columns!(job_key: Integer, body: Text),
            Self::Result | Self::Checkpoint => columns!(job_key: Integer, phase: Name, body: Text),
            Self::Archive => columns!(job_key: Integer, phase: Name, run: Count, body: Text),
            Self::Element => {
                columns!(job_key: Integer, phase: Name, idx: Count, input_hash: Text, result: Text)
            }
            // Lines are numbered from 1 in each job.
            Self::Log => columns!(job_key: Integer, n: Integer, at: Integer, phase: Text, text: Text),
            Self::Tag => columns!(tag: Text, job_key: Integer),
            Self::Attribute => columns!(key: Text, value: Text, job_key: Integer),
            // Rows are numbered from 1.
            Self::Inbox => columns!(
                n: Integer,
                id: Text,
                v: Integer,
                kind: Text,
                payload: Text,
                queue: Text,
                priority: Integer,
                delay_ms: Integer,
                run_at: Integer,
                unique_key: Text,
                unique_within_ms: Integer,
                idempotency_key: Text,
                tags: Text,
                attributes: Text,
            ),
            Self::InboxDone => {
                columns!(id: Text, job_id: Id, error: Text, idempotency_key: Text, at: Integer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_found_by_its_name_and_has_more_than_a_key() {
        for (nth, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(Table::of_name(table.name()), Some(table));
            assert_eq!(Table::ALL.iter().position(|found| *found == table), Some(nth), "once");
            assert!(table.key() >= 1 && table.key() <= table.columns().len(), "{table:?}");
        }
        assert!(Table::ALL.is_sorted(), "what others refer to comes first");
    }
}
