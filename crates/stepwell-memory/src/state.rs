//! Every table of the store.

use std::{cmp::Reverse, sync::Arc};

use stepwell_core::{
    JobId, JobState, Json, Name, PlanSpec, SessionId, Timestamp,
    event::Packed,
    job::Job,
    machine::LogLine,
    queue::Queue,
    session::{Desired, Session, SessionState},
    setting::Setting,
    store::{
        Change, Element, Row,
        inbox::{InboxEntry, InboxOutcome},
    },
};

use crate::table::Table;

/// The numbers that are given out next.
#[derive(Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) next_key: i64,
    pub(crate) next_pos: u64,
    /// The first `pos` that is still kept.
    pub(crate) floor: u64,
    pub(crate) next_inbox: i64,
}

impl Default for Meta {
    fn default() -> Self {
        Self { next_key: 1, next_pos: 1, floor: 1, next_inbox: 1 }
    }
}

/// One stored row of the event log, and the key of the job that it is about.
pub(crate) struct EventRow {
    pub(crate) key: i64,
    pub(crate) packed: Packed,
}

/// A session, and how long it lives unless it beats.
#[derive(Clone)]
pub(crate) struct Lived {
    pub(crate) session: Session,
    pub(crate) state: SessionState,
    pub(crate) desired: Desired,
    pub(crate) beat_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Final, although the row stays until the session owns nothing any more.
    pub(crate) dead: bool,
}

/// Ready jobs of a queue and a kind in the order in which they are claimed: priority, time, key. The kind stands before
/// the priority, so that jobs whose kind no worker knows cost a claim nothing.
pub(crate) type ReadyKey = (Name, Name, Reverse<i16>, Timestamp, i64);

/// Declares the tables once, so that none can be left out of a commit or a rollback.
macro_rules! tables {
    ($($(#[doc = $doc:literal])* $name:ident: $Type:ty,)+) => {
        /// Every table of the store.
        #[derive(Default)]
        pub(crate) struct State {
            pub(crate) meta: Meta,
            committed: Meta,
            pub(crate) closed: bool,
            $($(#[doc = $doc])* pub(crate) $name: $Type,)+
        }
        impl State {
            pub(crate) fn commit(&mut self) {
                self.committed = self.meta;
                $(self.$name.commit();)+
            }
            pub(crate) fn roll_back(&mut self) {
                self.meta = self.committed;
                $(self.$name.roll_back();)+
            }
        }
    };
}
tables! {
    /// Jobs by key, which is the order in which they were stored.
    jobs: Table<i64, Row>,
    /// Keys by id.
    keys: Table<JobId, i64>,
    /// Payloads.
    payloads: Table<i64, Json>,
    /// Results too large for the row, by the name under which the phase's data is stored.
    results: Table<(i64, Name), Json>,
    /// Results that an operator discarded, by run.
    archive: Table<(i64, Name, u32), Json>,
    /// Checkpoints.
    checkpoints: Table<(i64, Name), Json>,
    /// Finished elements of fan-out phases.
    elements: Table<(i64, Name, u32), Element>,
    /// Log lines, numbered within the job.
    log: Table<(i64, u64), LogLine>,

    /// Pending jobs that are due.
    ready: Table<ReadyKey>,
    /// Pending jobs whose time had not come when they were stored.
    waiting: Table<(Timestamp, i64)>,
    /// Pending jobs that expire.
    expiring: Table<(Timestamp, i64)>,
    /// Running and cancelling jobs by their owner.
    owned: Table<(SessionId, i64)>,
    /// Cancelling jobs by their deadline.
    cancelling: Table<(Timestamp, i64)>,
    /// Ended jobs, the earliest ended first.
    ended: Table<(JobState, Timestamp, i64)>,
    /// The live holder of each unique key.
    live: Table<(Name, String), i64>,
    /// Every holder of a unique key, the newest last.
    holders: Table<(Name, String, i64)>,
    /// How many jobs there are of each queue, kind and state.
    counts: Table<(Name, Name, JobState), u64>,

    /// The event log by the `pos` of each row's last event.
    events: Table<u64, EventRow>,
    /// The rows of the event log of each job.
    histories: Table<(i64, u64)>,

    /// Plans by kind and hash.
    plans: Table<(Name, String), (Arc<PlanSpec>, u64)>,
    /// Queues that an operator has set something for.
    queues: Table<Name, Queue>,
    /// Sessions, dead ones only as long as they own something.
    sessions: Table<SessionId, Lived>,

    /// How far durable readers have read the log.
    cursors: Table<Name, u64>,
    /// Small records, by scope and key.
    settings: Table<(Name, String), Setting>,
    /// How often each scope was written.
    revisions: Table<Name, u64>,

    /// The inbox.
    inbox: Table<i64, InboxEntry>,
    /// What became of inbox rows, by the id that the application gave them.
    outcomes: Table<JobId, InboxOutcome>,
    /// The jobs that came of inbox rows with an idempotency key.
    idempotent: Table<String, JobId>,
}

impl State {
    pub(crate) fn row(&self, id: JobId) -> Option<&Row> {
        self.keys.get(&id).and_then(|key| self.jobs.get(key))
    }
    pub(crate) fn job(&self, id: JobId) -> Option<&Job> {
        self.row(id).map(|row| &row.job)
    }
    /// The rows with these keys, in the same order.
    pub(crate) fn rows(&self, keys: impl IntoIterator<Item = i64>) -> Vec<Row> {
        keys.into_iter().filter_map(|key| self.jobs.get(&key)).cloned().collect()
    }
}

/// The state inside one operation.
pub(crate) struct Tx<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: Timestamp,
    /// What the operation changed that somebody may wait for.
    pub(crate) change: Change,
}
