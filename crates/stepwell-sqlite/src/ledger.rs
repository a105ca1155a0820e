//! The writing connection, and everything that is kept in memory for it.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use rusqlite::Connection;
use stepwell_core::{
    Clock, Error, Json, Name, PlanSpec, Result, Timestamp,
    event::Draft,
    job::PlanRef,
    phase::Phase,
    store::{Change, Row},
};

use crate::{
    cache::Cache,
    counters::Counters,
    damaged::{self, Damaged},
    dictionary::Dictionary,
    error,
    head::Head,
    live::Live,
    pending::Pending,
    tables::row,
};

/// The writing connection. It implements [`Tables`](stepwell_core::store::Tables) while a transaction is open.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) conn: Connection,
    pub(crate) clock: Clock,
    pub(crate) live: Arc<Live>,
    pub(crate) dictionary: Dictionary,
    pub(crate) cache: Cache,
    pub(crate) head: Head,
    pub(crate) counters: Counters,
    /// What this transaction changed that somebody may wait for.
    pub(crate) change: Change,
    /// The newest plan of each kind that was asked for.
    pub(crate) plans: HashMap<Name, Option<(Arc<PlanSpec>, PlanRef)>>,
    /// The queues of which only so many jobs may run at once, if they were asked for.
    pub(crate) limited: Option<HashSet<i64>>,
    /// Payloads that were read together with their rows.
    pub(crate) payloads: HashMap<i64, Json>,
    /// Which of the rows that were read have elements.
    pub(crate) elements: HashSet<i64>,
    /// Rows that cannot be decoded, and that others must not wait for.
    pub(crate) damaged: Damaged,
    /// The time of the operation that runs.
    pub(crate) now: Timestamp,
    /// `PRAGMA data_version` as it was last seen: it changes when another connection commits.
    pub(crate) data_version: i64,
    /// Whether the step that runs has written anything.
    pub(crate) wrote: bool,
    /// Whether the transaction has written anything.
    pub(crate) dirty: bool,
    /// Whether each step runs in a savepoint.
    pub(crate) careful: bool,
    /// Whether a step without a savepoint failed after it had written: the transaction holds half of it.
    pub(crate) torn: bool,
    /// Whether what is decided may wait to be written until it is needed, or until the end of the batch.
    pub(crate) gathering: bool,
    /// What waits.
    pub(crate) pending: Pending,
    /// For encoding JSON.
    buffer: Vec<u8>,
}

impl Ledger {
    pub(crate) fn new(conn: Connection, clock: Clock, live: Arc<Live>) -> Self {
        Self {
            conn,
            clock,
            live,
            dictionary: Dictionary::default(),
            cache: Cache::default(),
            head: Head::default(),
            counters: Counters::default(),
            change: Change::default(),
            plans: HashMap::new(),
            limited: None,
            payloads: HashMap::new(),
            elements: HashSet::new(),
            damaged: Damaged::default(),
            now: Timestamp::default(),
            data_version: 0,
            wrote: false,
            dirty: false,
            careful: false,
            torn: false,
            gathering: false,
            pending: Pending::default(),
            buffer: Vec::new(),
        }
    }

    /// Reads the clock for the operation that begins. It never runs behind what is recorded.
    pub(crate) fn tell_time(&mut self) {
        self.now = self.clock.now().max(self.head.clock);
    }
    /// Whether the transaction must be taken back and run again, whatever else happens in it.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// From here on what is decided may wait to be written. Not where each step runs in a savepoint: what is written
    /// there must be undone with it.
    pub(crate) fn gather(&mut self) {
        self.gathering = !self.careful;
    }
    /// From here on everything is written at once, beginning with what waits.
    pub(crate) fn write_through(&mut self) -> Result<()> {
        self.gathering = false;
        self.flush()
    }
    /// Writes what waits. Whoever reads what may be among it does this first.
    ///
    /// If SQLite refuses one of them, such as a new job whose id is taken, nobody can tell here which operation it came
    /// from: the transaction is taken back, and runs again step by step.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.pending.write(&self.conn).map_err(error::of("store jobs and events"));
        self.pending.clear();
        match written {
            Err(failure) if !error::is_of_store(&failure) && !self.careful => {
                self.torn = true;
                Ok(())
            }
            written => written,
        }
    }
    /// Called when something was added to what waits.
    pub(crate) fn flush_if_due(&mut self) -> Result<()> {
        if self.gathering && !self.pending.is_full() {
            return Ok(());
        }
        self.flush()
    }

    /// Runs one operation so that it happens as a whole or not at all, whatever becomes of its neighbours.
    ///
    /// A savepoint would cost every operation a copy of each page that it touches. Nearly all operations that fail do
    /// so
    /// before their first write, and then there is nothing to undo. The rare other one marks the transaction as torn:
    /// it is rolled back, and run again with savepoints.
    pub(crate) fn step<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.wrote = false;
        if self.careful {
            return self.step_in_savepoint(work);
        }
        let result = work(self);
        self.torn |= result.is_err() && self.wrote;
        self.end_step();
        result
    }

    fn step_in_savepoint<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.run("SAVEPOINT step")?;
        let (head, counters, change) = (self.head, self.counters.clone(), self.change);
        let result = work(self);
        self.end_step();
        match result {
            Err(failure) if !error::is_of_store(&failure) => {
                self.run("ROLLBACK TO step")?;
                self.run("RELEASE step")?;
                self.forget();
                self.pending.clear();
                (self.head, self.counters, self.change) = (head, counters, change);
                Err(failure)
            }
            Err(failure) => Err(failure),
            Ok(value) => self.run("RELEASE step").map(|()| value),
        }
    }

    fn end_step(&mut self) {
        self.dirty |= self.wrote;
        self.payloads.clear();
        self.elements.clear();
    }

    /// Forgets what may no longer be so, because another connection wrote, or this one took something back.
    pub(crate) fn forget(&mut self) {
        self.cache.clear();
        self.dictionary.clear();
        self.plans.clear();
        self.limited = None;
        self.counters.clear();
    }

    /// The number of a name, which is given one if it has none.
    pub(crate) fn number_of(&mut self, name: &Name) -> Result<i64> {
        if let Some(number) = self.dictionary.find(&self.conn, name)? {
            return Ok(number);
        }
        // A write like any other: were it not counted as one, a transaction with nothing else in it would be taken
        // back, and the name would keep a number here that the file gives to the next one.
        self.wrote = true;
        self.dictionary.add(&self.conn, name)
    }

    pub(crate) fn run(&self, statement: &'static str) -> Result<()> {
        let run = || self.conn.prepare_cached(statement)?.execute([]);
        run().map(drop).map_err(error::of("run a transaction"))
    }

    /// Phases as they are stored. The text is borrowed from a buffer that is used again.
    pub(crate) fn encode_phases<'a>(buffer: &'a mut Vec<u8>, phases: &[Phase]) -> Result<&'a str> {
        row::encode(buffer, phases)
    }
    /// Takes the buffer, so that the text in it can be used while the rest is borrowed.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }
    pub(crate) fn give_buffer(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// Reads rows of jobs, and leaves out those that cannot be decoded.
    pub(crate) fn rows(
        &mut self,
        doing: &'static str,
        statement: &'static str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<Row>> {
        let Self { conn, dictionary, damaged, .. } = self;
        let found = damaged::decode((conn, dictionary), doing, statement, params, |row, failure| {
            damaged.set_aside(row, failure).map_err(error::of(doing))
        })?;
        Ok(self.taken_note_of(found))
    }
    /// Reads the row of one job.
    pub(crate) fn row(
        &mut self,
        statement: &'static str,
        params: impl rusqlite::Params,
    ) -> Result<Option<Row>> {
        let Self { conn, dictionary, .. } = self;
        let found = damaged::decode((conn, dictionary), "read a job", statement, params, |row, failure| {
            Err(damaged::about(row, failure))
        })?;
        Ok(self.taken_note_of(found).pop())
    }
    fn taken_note_of(&mut self, found: Vec<row::Stored>) -> Vec<Row> {
        let note = |stored: row::Stored| {
            if stored.elements {
                self.elements.insert(stored.row.key);
            }
            stored.row
        };
        found.into_iter().map(note).collect()
    }
}

/// The last `job_seq`, and how many events there are, as signed numbers.
pub(crate) fn extent(events: &[Draft], next_seq: u64) -> (i64, i64) {
    (next_seq.cast_signed() - 1, i64::try_from(events.len()).unwrap_or(0))
}

/// The error for a store that was closed while it was asked.
pub(crate) fn closed<T>(_: T) -> Error {
    Error::closed()
}
