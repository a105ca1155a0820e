//! One writing connection, and everything that is kept in memory for it.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt, HashSet};
use stepwell_core::{
    Clock, Error, JobId, Json, Name, PlanSpec, Result, Timestamp,
    job::PlanRef,
    queue::Queue,
    setting::Setting,
    store::{Change, Row},
    unique::Holders,
};
use tokio_postgres::Row as PgRow;
use uuid::Uuid;

use crate::{
    connection::{Call, Conn, Param},
    counters::Counters,
    damaged::Damaged,
    dictionary::Dictionary,
    error::{self, Failure, Kind},
    mark::Mark,
    pending::{Images, OPEN, Pending, in_batch},
    sql::sql,
    tables::row::{self, Held},
};

/// Plans that are kept decoded. Whoever makes up a kind for each job must not fill the memory with them.
const SPECS_MAX: usize = 1_024;

/// Why a transaction cannot go on, although it may succeed if it is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection is gone.
    Lost,
    /// The connection is gone, and nobody knows whether the transaction was committed.
    InDoubt(Mark),
    /// Another transaction was in the way, or one of the operations was refused by the database.
    Again,
}

/// The end of the log that retention works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    pub(crate) walk_pos: u64,
    pub(crate) floor_pos: u64,
}

/// What is known inside one transaction. Rows that are in here are locked.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) jobs: HashMap<JobId, Option<Held>>,
    pub(crate) holders: HashMap<(i32, String), Holders>,
    pub(crate) plans: HashMap<Name, Option<(Arc<PlanSpec>, PlanRef)>>,
    pub(crate) settings: HashMap<(Name, String), Option<Setting>>,
    pub(crate) queues: HashMap<Name, Option<Queue>>,
    /// Queues with a limit from which nobody else claims.
    pub(crate) claimable: HashSet<i32>,
    /// Payloads that were read together with their rows.
    pub(crate) payloads: HashMap<i64, Json>,
    pub(crate) cursors: HashMap<Name, Option<u64>>,
    pub(crate) lowest_cursor: Option<Option<u64>>,
    pub(crate) tail: Option<Tail>,
}

/// A writing connection. It implements [`Tables`](stepwell_core::store::Tables) while a transaction is open.
pub(crate) struct Ledger {
    pub(crate) conn: Conn,
    pub(crate) clock: Clock,
    pub(crate) dictionary: Dictionary,
    pub(crate) specs: HashMap<(Name, Name), Arc<PlanSpec>>,
    pub(crate) known: Known,
    pub(crate) counters: Counters,
    /// The queues of which only so many jobs may run at once.
    pub(crate) limited: Vec<i32>,
    /// To which part of the counters this connection adds.
    pub(crate) part: i32,
    /// Keys for new jobs, the next one last.
    pub(crate) keys: Vec<i64>,
    /// How many new jobs this transaction may need keys for.
    pub(crate) keys_wanted: usize,
    /// What this transaction changed that somebody may wait for.
    pub(crate) change: Change,
    pub(crate) damaged: Damaged,
    /// The time of the operation that runs.
    pub(crate) now: Timestamp,
    /// The latest time that was recorded, as far as is known.
    pub(crate) recorded: Timestamp,
    /// The partition that this transaction's events go to.
    pub(crate) day: i32,
    /// The one that was made for tomorrow.
    pub(crate) next_day: i32,
    /// What `synchronous_commit` is set to, if it is not as it should be.
    pub(crate) synchronous: Option<&'static str>,
    /// Whether the step that runs has written anything.
    pub(crate) wrote: bool,
    /// Whether the transaction has written anything.
    pub(crate) dirty: bool,
    /// Whether each step runs in a savepoint.
    pub(crate) careful: bool,
    /// Whether a step without a savepoint failed after it had written: the transaction holds half of it.
    pub(crate) torn: bool,
    /// Why the transaction cannot go on.
    pub(crate) trouble: Option<Trouble>,
    /// How what becomes of a commit can be found out.
    pub(crate) mark: Option<Mark>,
    /// Events that this transaction has appended.
    pub(crate) appended: u64,
    /// Whether events may have been committed that have no positions, because whoever committed them has failed since.
    pub(crate) owes_numbers: bool,
    /// Which generation of the log this connection writes to.
    pub(crate) generation_n: i64,
    /// What waits to be written.
    pub(crate) pending: Pending,
}

impl Ledger {
    pub(crate) fn new(conn: Conn, clock: Clock) -> Self {
        Self {
            conn,
            clock,
            dictionary: Dictionary::default(),
            specs: HashMap::new(),
            known: Known::default(),
            counters: Counters::default(),
            limited: Vec::new(),
            part: 0,
            keys: Vec::new(),
            keys_wanted: 0,
            change: Change::default(),
            damaged: Damaged::default(),
            now: Timestamp::default(),
            recorded: Timestamp::default(),
            day: 0,
            next_day: 0,
            synchronous: None,
            wrote: false,
            dirty: false,
            careful: false,
            torn: false,
            trouble: None,
            mark: None,
            appended: 0,
            owes_numbers: false,
            generation_n: 0,
            pending: Pending::default(),
        }
    }

    /// Reads the clock for the operation that begins. It never runs behind what is recorded.
    pub(crate) fn tell_time(&mut self) {
        self.now = self.clock.now().max(self.recorded);
    }

    /// Takes note of what a failure means for the transaction.
    pub(crate) fn failed(&mut self, doing: &str, failure: Failure) -> Error {
        let trouble = match failure.kind() {
            Kind::Lost => Some(Trouble::Lost),
            Kind::Conflict => Some(Trouble::Again),
            // In a savepoint it is known whose fault it is, but for another node's that came in between.
            Kind::Unique if self.careful && failure.violates("job_uuid") => return self.id_is_taken(),
            Kind::Unique => Some(Trouble::Again),
            Kind::Value if self.careful => None,
            Kind::Value => Some(Trouble::Again),
            Kind::Other => None,
        };
        self.trouble = self.trouble.or(trouble);
        match trouble {
            Some(_) => Error::storage(doing, failure),
            None => error::from(doing, failure),
        }
    }
    fn id_is_taken(&self) -> Error {
        let new = self.known.jobs.values().flatten().find(|held| held.new && held.dirty);
        new.map_or_else(|| Error::refused("the id of a new job is taken"), |held| taken(held.row.job.id))
    }

    pub(crate) fn query(
        &mut self,
        doing: &str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<PgRow>> {
        self.conn.query(statement, params).map_err(|failure| self.failed(doing, failure))
    }
    pub(crate) fn query_opt(
        &mut self,
        doing: &str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Option<PgRow>> {
        self.conn.query_opt(statement, params).map_err(|failure| self.failed(doing, failure))
    }
    pub(crate) fn execute(
        &mut self,
        doing: &str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<u64> {
        self.conn.execute(statement, params).map_err(|failure| self.failed(doing, failure))
    }
    pub(crate) fn run(&mut self, text: &'static str) -> Result<()> {
        self.conn.run(text).map_err(|failure| self.failed("run a transaction", failure))
    }

    /// Writes what waits. Whoever reads what may be among it does this first.
    ///
    /// Events get the number of their batch only here, when every row that they are about is locked: what another
    /// transaction says about one of these jobs later has a larger number.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let changed = self.known.jobs.values().flatten().any(|held| held.dirty);
        if !changed && self.pending.is_empty() {
            return Ok(());
        }
        let seq = match self.pending.events() {
            0 => OPEN,
            _ => self.take_seq()?,
        };
        let dirty = self.known.jobs.values().flatten().filter(|held| held.dirty);
        let (new, old): (Vec<&Held>, Vec<&Held>) = dirty.partition(|held| held.new);
        let mut new = new;
        new.sort_unstable_by_key(|held| held.row.key);
        let (new, old) = (Images::of(new)?, Images::of(old)?);
        // A job that ends gives its unique key back before another one takes it.
        let mut calls: Vec<Call<'_>> = old.update(seq).into_iter().chain(new.insert(seq)).collect();
        calls.extend(self.pending.beside());
        calls.extend(self.pending.batch(self.day, seq));
        let written = self.conn.together(None, &calls);
        drop(calls);
        self.appended += u64::from(self.pending.events().cast_unsigned());
        if let Err(failure) = written {
            let failure = self.failed("store jobs and events", failure);
            self.pending = Pending::default();
            return Err(failure);
        }
        self.pending = Pending::default();
        for held in self.known.jobs.values_mut().flatten().filter(|held| held.dirty) {
            (held.dirty, held.new) = (false, false);
            held.last = in_batch(held.last, seq);
        }
        Ok(())
    }
    /// Called when something was added to what waits.
    pub(crate) fn flush_if_due(&mut self) -> Result<()> {
        match self.pending.is_full() {
            true => self.flush(),
            false => Ok(()),
        }
    }
    fn take_seq(&mut self) -> Result<i64> {
        let row = self.query_opt("number a batch of events", sql!("event", "seq"), &[])?;
        let seq = row.and_then(|row| row.try_get(0).ok());
        seq.ok_or_else(|| Error::fatal("the database gave no number for a batch of events"))
    }

    /// A key that was never given before.
    pub(crate) fn take_key(&mut self) -> Result<i64> {
        if self.keys.is_empty() {
            let wanted = i32::try_from(self.keys_wanted.clamp(1, 10_000)).unwrap_or(1);
            let rows = self.query("make keys for jobs", sql!("job", "keys"), &[&wanted])?;
            let keys = rows.iter().rev().map(|row| row.try_get(0)).collect::<std::result::Result<_, _>>();
            self.keys = keys.map_err(|error| error::from("make keys for jobs", error.into()))?;
        }
        self.keys_wanted = self.keys_wanted.saturating_sub(1);
        self.keys.pop().ok_or_else(|| Error::fatal("the database gave no key for a job"))
    }

    /// Runs one operation so that it happens as a whole or not at all, whatever becomes of its neighbours.
    ///
    /// Nearly all operations that fail do so before their first write, and then there is nothing to undo. The rare
    /// other one marks the transaction as torn: it is rolled back, and run again with savepoints.
    pub(crate) fn step<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.wrote = false;
        if self.careful {
            return self.step_in_savepoint(work);
        }
        let result = work(self);
        self.torn |= result.is_err() && self.wrote;
        self.dirty |= self.wrote;
        result
    }
    fn step_in_savepoint<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.run("SAVEPOINT step")?;
        let (counters, change, appended) = (self.counters.clone(), self.change, self.appended);
        // Whatever the database refuses must be refused before the savepoint is left.
        let result = work(self).and_then(|value| self.flush().map(|()| value));
        match result {
            Err(failure) if !error::is_of_store(&failure) => {
                self.run("ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step")?;
                self.forget();
                self.pending = Pending::default();
                (self.counters, self.change, self.appended) = (counters, change, appended);
                Err(failure)
            }
            Err(failure) => Err(failure),
            Ok(value) => {
                // A thousand that stay open would cost every later look at a row.
                self.run("RELEASE SAVEPOINT step")?;
                self.dirty |= self.wrote;
                Ok(value)
            }
        }
    }

    /// Forgets what may no longer be so, because something was taken back.
    pub(crate) fn forget(&mut self) {
        self.known = Known::default();
        self.dictionary.clear();
        self.counters.clear();
    }

    /// The number of a name, which is given one if it has none.
    pub(crate) fn number_of(&mut self, name: &Name) -> Result<i32> {
        if let Some(number) = self.find_name(name)? {
            return Ok(number);
        }
        // A write like any other: were it not counted as one, a transaction with nothing else in it would be taken
        // back, and the name would keep a number here that belongs to nobody.
        self.wrote = true;
        let Self { dictionary, conn, .. } = self;
        dictionary.add(conn, name).map_err(|failure| self.failed("store a name", failure))
    }
    /// The numbers of those names that have one.
    pub(crate) fn numbers_of(&mut self, names: &[Name]) -> Result<Vec<i32>> {
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            numbers.extend(self.find_name(name)?);
        }
        Ok(numbers)
    }
    pub(crate) fn find_name(&mut self, name: &Name) -> Result<Option<i32>> {
        let Self { dictionary, conn, .. } = self;
        dictionary.find(conn, name).map_err(|failure| self.failed("look up a name", failure))
    }

    /// Decodes rows of jobs that are locked now, keeps them, and leaves out those that cannot be decoded.
    pub(crate) fn rows(
        &mut self,
        doing: &str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.flush()?;
        let rows = self.query(doing, statement, params)?;
        self.keep_rows(doing, &rows)
    }
    pub(crate) fn keep_rows(&mut self, doing: &str, rows: &[PgRow]) -> Result<Vec<Row>> {
        let Self { dictionary, conn, .. } = self;
        let decoded =
            row::decode_all(conn, dictionary, rows).map_err(|failure| self.failed(doing, failure))?;
        let mut found = Vec::with_capacity(decoded.len());
        for held in decoded {
            match held {
                Ok(held) => {
                    self.damaged.is_whole(held.row.key);
                    found.push(held.row.clone());
                    self.known.jobs.insert(held.row.job.id, Some(held));
                }
                Err(damage) => self.damaged.set_aside(&damage),
            }
        }
        Ok(found)
    }
    /// The row of one job, locked.
    pub(crate) fn find_job(&mut self, id: JobId) -> Result<Option<Row>> {
        if let Some(held) = self.known.jobs.get(&id) {
            return Ok(held.as_ref().map(|held| held.row.clone()));
        }
        let rows = self.query("read a job", sql!("job", "lock"), &[&vec![Uuid::from(id)]])?;
        let Self { dictionary, conn, .. } = self;
        let decoded =
            row::decode_all(conn, dictionary, &rows).map_err(|failure| self.failed("read a job", failure))?;
        let held = match decoded.into_iter().next() {
            Some(Ok(held)) => Some(held),
            Some(Err(damage)) => return Err(damage.error()),
            None => None,
        };
        let row = held.as_ref().map(|held| held.row.clone());
        self.known.jobs.insert(id, held);
        Ok(row)
    }
    /// The plan with this hash, decoded once.
    pub(crate) fn spec(&mut self, kind: &Name, number: i32, hash: &Name) -> Result<Option<Arc<PlanSpec>>> {
        let key = (kind.clone(), hash.clone());
        if let Some(spec) = self.specs.get(&key) {
            return Ok(Some(spec.clone()));
        }
        let Some(row) = self.query_opt("read a plan", sql!("plan", "spec"), &[&number, &&**hash])? else {
            return Ok(None);
        };
        let text: &str = row.try_get(0).map_err(|error| error::from("read a plan", error.into()))?;
        let spec: Arc<PlanSpec> = Arc::new(serde_json::from_str(text).map_err(Error::decode)?);
        if self.specs.len() >= SPECS_MAX {
            self.specs.clear();
        }
        self.specs.insert(key, spec.clone());
        Ok(Some(spec))
    }
}

/// The error for a new job whose id another one has.
pub(crate) fn taken(id: JobId) -> Error {
    Error::invalid("id", format!("is taken: a job {id} exists already; make a new one"))
}

/// Reads a column.
pub(crate) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a PgRow,
    column: usize,
    doing: &str,
) -> Result<T> {
    row.try_get(column).map_err(|error| {
        // A value that is not what this release writes is about one row, and not about the store.
        let failure = Failure::from(error);
        Error::refused(format!("could not {doing}, because a stored value is not as expected: {failure}"))
    })
}
