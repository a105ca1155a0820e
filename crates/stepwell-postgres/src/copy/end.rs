//! The schema as a whole: sealed, noted on, read and written.

use std::{collections::HashSet, sync::Arc, time::Duration};

use stepwell_core::{
    Error, Name, Result, Timestamp,
    store::copy::{
        Arrived, Batches, Destination, End, Head, Kind, Note, Record, Source, Standing, Table, Value,
        in_use::{self, Owner},
    },
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    log,
    record::{decode, lists},
    statements,
};
use crate::{
    connection::{Conn, Param},
    error,
    ledger::get,
    migrate, open,
    options::PostgresOptions,
    sql::{self, sql},
    target::Target,
};

/// Records of one batch, and bytes of it: as much as is held in memory, and is written at once.
const BATCH_RECORDS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Records that are asked for first, before it is known how large they are.
const BATCH_RECORDS_FIRST: usize = 16;

/// How long one answer may take: a table is counted, or sorted.
const ANSWER_MAX: Duration = Duration::from_hours(1);

/// Names that are remembered to be there. When there are more, they are looked up again.
const NAMES_MAX: usize = 50_000;

/// The beginning of a transaction that reads. All that it reads is of one moment.
const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL cursor_tuple_fraction = 1; SET LOCAL jit = off";

/// The beginning of a transaction that writes. Every table is read by its indexes, whatever the planner believes of how
/// full it is.
const WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '20s'; \
    SET LOCAL enable_seqscan = off; SET LOCAL jit = off";

/// One end of a copy: a schema of a database.
///
/// It waits for the database on the thread that it is called on, which must not be one that runs futures.
pub struct CopyEnd {
    conn: Conn,
    location: String,
    /// Names that have a number.
    names: HashSet<String>,
    /// The partition of the log that was made last.
    day: Option<i32>,
}

impl CopyEnd {
    /// Opens a schema that is to be copied.
    ///
    /// # Errors
    /// If the database cannot be reached, or there is no store in the schema, or it cannot be opened as one.
    pub fn source(options: &PostgresOptions) -> Result<Self> {
        let mut end = Self::connect(options)?;
        if !migrate::exists(&mut end.conn).map_err(error::of("look for the store"))? {
            return Err(Error::refused(format!("there is no store at {}; name another", end.location)));
        }
        end.migrate(options)
    }
    /// Opens a schema that is to be a copy. It is made if there is none.
    ///
    /// # Errors
    /// If the database cannot be reached, or the schema cannot be opened as a store.
    pub fn destination(options: &PostgresOptions) -> Result<Self> {
        Self::connect(options)?.migrate(options)
    }

    fn connect(options: &PostgresOptions) -> Result<Self> {
        let target = Arc::new(Target::new(options)?);
        let location = target.location();
        let mut conn = Conn::new(target.clone())?.patient_for(ANSWER_MAX);
        conn.connect().map_err(error::of("connect to the database"))?;
        target.set_pooled(open::is_pooled(&mut conn, &target)?);
        Ok(Self { conn, location, names: HashSet::new(), day: None })
    }
    fn migrate(mut self, options: &PostgresOptions) -> Result<Self> {
        let now = open::time(&mut self.conn)?;
        migrate::run(&mut self.conn, options.generation, now)?;
        Ok(self)
    }

    /// Does something in a transaction of its own.
    fn transact<T>(&mut self, begin: &'static str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.conn.run(begin).map_err(error::of("begin a transaction"))?;
        let done = work(self).and_then(|value| {
            self.conn.run("COMMIT").map_err(error::of("commit"))?;
            Ok(value)
        });
        if done.is_err() {
            self.day = None;
            self.names.clear();
            if self.conn.is_connected() {
                // The transaction ends with the connection in any case, and the first failure is the one to tell.
                drop(self.conn.run("ROLLBACK"));
            }
        }
        done
    }
    fn query(
        &mut self,
        doing: &'static str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.conn.query(statement, params).map_err(error::of(doing))
    }
    fn one(&mut self, doing: &'static str, statement: &'static str, params: &[Param<'_>]) -> Result<Row> {
        let row = self.query(doing, statement, params)?.into_iter().next();
        row.ok_or_else(|| Error::fatal(format!("could not {doing}: there is nothing; restore a backup")))
    }
    fn execute(&mut self, doing: &'static str, statement: &'static str, params: &[Param<'_>]) -> Result<u64> {
        self.conn.execute(statement, params).map_err(error::of(doing))
    }

    /// Who works on the store.
    fn owners(&mut self) -> Result<Vec<Owner>> {
        let now = open::time(&mut self.conn)?;
        let owners = self.query("read the sessions", sql!("copy", "owners"), &[&now.as_micros()])?;
        owners.iter().map(|row| owner(row, now)).collect()
    }
    /// Refuses if somebody works on the store.
    fn check(&mut self) -> Result<()> {
        const READ: &str = "read the paused queues";
        let owners = self.owners()?;
        let paused = self.query(READ, sql!("copy", "paused"), &[])?;
        let paused = paused.iter().map(|row| get::<&str>(row, 0, READ).map(Name::from));
        in_use::check(&owners, &paused.collect::<Result<Vec<_>>>()?)
    }

    /// Sees to it that every name has a number.
    fn name_all(&mut self, table: Table, records: &[Record]) -> Result<()> {
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        let columns = table.columns().iter().enumerate().filter(|(_, column)| column.kind == Kind::Name);
        let mut new = Vec::new();
        for (nth, _) in columns {
            for record in records {
                if let Some(Value::Text(name)) = record.0.get(nth)
                    && self.names.insert(name.clone())
                {
                    new.push(name.clone());
                }
            }
        }
        if !new.is_empty() {
            // In one order, as everybody would who writes names beside this.
            new.sort_unstable();
            self.execute("store names", sql!("copy", "insert_names"), &[&new])?;
        }
        Ok(())
    }
    /// Makes the batches that events will stand in, and the partitions for them.
    fn make_batches(&mut self, records: &[Record]) -> Result<()> {
        let batches = log::batches(records);
        for batch in &batches {
            if self.day != Some(batch.day) {
                self.query("make a partition of the log", sql!("event", "open_day"), &[&batch.day])?;
                self.day = Some(batch.day);
            }
        }
        let last_pos: Vec<i64> = batches.iter().map(|batch| batch.last_pos).collect();
        let days: Vec<i32> = batches.iter().map(|batch| batch.day).collect();
        let sizes: Vec<i32> = batches.iter().map(|batch| batch.n).collect();
        let params: [Param<'_>; 3] = [&last_pos, &days, &sizes];
        self.execute("write batches of events", sql!("copy", "write_batches"), &params).map(drop)
    }
    fn write_note(&mut self, id: [u8; 16], is_source: bool, peer: &str) -> Result<()> {
        let params: [Param<'_>; 4] =
            [&Uuid::from_bytes(id), &is_source, &peer, &Arrived::nothing().table.name()];
        self.execute("note the copy", sql!("copy", "note"), &params).map(drop)
    }
    fn note_arrived(&mut self, before: Arrived, after: Arrived) -> Result<()> {
        let params: [Param<'_>; 4] = [
            &after.table.name(),
            &after.records.cast_signed(),
            &before.table.name(),
            &before.records.cast_signed(),
        ];
        match self.execute("note what has arrived", sql!("copy", "note_arrived"), &params)? {
            0 => Err(in_use::overtaken()),
            _ => Ok(()),
        }
    }
}

fn owner(row: &Row, now: Timestamp) -> Result<Owner> {
    const READ: &str = "read the sessions";
    let queues: Vec<(Name, usize)> = serde_json::from_str(get(row, 1, READ)?).map_err(Error::decode)?;
    let expires_at = Timestamp::from_micros(get(row, 3, READ)?);
    Ok(Owner {
        node: get(row, 0, READ)?,
        queues: queues.into_iter().map(|(queue, _)| queue).collect(),
        running: get::<i64>(row, 2, READ)?.unsigned_abs(),
        alive_for: Some(expires_at.since(now)),
    })
}

fn note(row: &Row) -> Result<Option<Note>> {
    const READ: &str = "read what is noted of a copy";
    let Some(id) = get::<Option<Uuid>>(row, 1, READ)? else { return Ok(None) };
    let (id, peer) = (id.into_bytes(), get::<String>(row, 3, READ)?);
    if get(row, 2, READ)? {
        return Ok(Some(Note::Source { id, to: peer, done: get(row, 4, READ)? }));
    }
    let name: &str = get(row, 5, READ)?;
    let unknown =
        || Error::refused(format!("a copy stands at the table `{name}`, which this release does not know"));
    let table = Table::of_name(name).ok_or_else(unknown)?;
    let arrived = Arrived { table, records: get::<i64>(row, 6, READ)?.unsigned_abs() };
    Ok(Some(Note::Destination { id, from: peer, arrived }))
}

/// What cannot be written as it is.
fn unwritable(problem: &str) -> Error {
    Error::refused(format!("{problem}; correct it in the store that is copied"))
}

impl End for CopyEnd {
    fn location(&self) -> String {
        self.location.clone()
    }
    fn standing(&mut self) -> Result<Standing> {
        const READ: &str = "read what is noted of a copy";
        let row = self.one(READ, sql!("copy", "standing"), &[])?;
        Ok(Standing { generation: get::<Uuid>(&row, 0, READ)?.into_bytes(), note: note(&row)? })
    }
    fn head(&mut self) -> Result<Head> {
        const READ: &str = "read the head of the log";
        let row = self.one(READ, sql!("copy", "head"), &[])?;
        Ok(Head {
            generation: get::<Uuid>(&row, 0, READ)?.into_bytes(),
            next_pos: get(&row, 1, READ)?,
            floor_pos: get(&row, 2, READ)?,
            walk_pos: get(&row, 3, READ)?,
            clock: get(&row, 4, READ)?,
            next_key: get(&row, 5, READ)?,
        })
    }
    fn count(&mut self, table: Table) -> Result<u64> {
        const COUNT: &str = "count records";
        self.transact(LOOK, |end| {
            let text = sql::render(&statements::count(table), end.conn.schema());
            let rows = end.conn.query_text(&text).map_err(error::of(COUNT))?;
            rows.first().map_or(Ok(0), |row| get::<i64>(row, 0, COUNT)).map(i64::unsigned_abs)
        })
    }
    fn read(&mut self, table: Table, skip: u64, batches: Batches<'_>) -> Result<()> {
        let failed = |failure| error::from(&format!("read the table {}", table.name()), failure);
        self.transact(LOOK, |end| {
            let text = sql::render(&statements::rest(table, skip), end.conn.schema());
            end.conn.run(&text).map_err(failed)?;
            let mut wanted = BATCH_RECORDS_FIRST;
            loop {
                let rows = end.conn.query_text(&statements::fetch(wanted)).map_err(failed)?;
                if rows.is_empty() {
                    return Ok(());
                }
                let records = rows.iter().map(|row| decode(table, row).map_err(failed));
                let records = records.collect::<Result<Vec<_>>>()?;
                let bytes: usize = records.iter().map(Record::bytes).sum();
                let each = bytes.div_ceil(records.len()).max(1);
                // Not much more than before: the next ones may be larger.
                wanted = (BATCH_BYTES_MAX / each).clamp(1, BATCH_RECORDS_MAX).min(8 * records.len());
                batches(records)?;
            }
        })
    }
}

impl Source for CopyEnd {
    fn check_unused(&mut self) -> Result<()> {
        self.transact(LOOK, Self::check)
    }
    fn seal(&mut self, id: [u8; 16], to: &str) -> Result<()> {
        const SEAL: &str = "seal the store";
        self.transact(WRITE, |end| {
            end.execute(SEAL, sql!("copy", "hold"), &[])?;
            end.check()?;
            end.execute(SEAL, sql!("copy", "seal"), &[])?;
            end.execute(SEAL, sql!("copy", "refuse_inbox"), &[])?;
            // Nobody is about to commit: what has no positions now was left behind.
            let now = open::time(&mut end.conn)?;
            end.query("number events", sql!("event", "number"), &[&now.as_micros(), &true])?;
            end.write_note(id, true, to)
        })
    }
    fn note_done(&mut self, id: [u8; 16]) -> Result<()> {
        let (note, id) = (sql!("copy", "note_done"), Uuid::from_bytes(id));
        self.transact(WRITE, |end| match end.execute("note that the copy was made", note, &[&id])? {
            0 => Err(in_use::unsealed()),
            _ => Ok(()),
        })
    }
    fn unseal(&mut self, generation: [u8; 16]) -> Result<()> {
        const UNSEAL: &str = "unseal the store";
        self.transact(WRITE, |end| {
            end.execute(UNSEAL, sql!("copy", "hold"), &[])?;
            in_use::check_none(&end.owners()?)?;
            end.execute(UNSEAL, sql!("copy", "unseal_as"), &[&Uuid::from_bytes(generation)])?;
            end.execute(UNSEAL, sql!("copy", "accept_inbox"), &[])?;
            end.execute(UNSEAL, sql!("copy", "forget"), &[]).map(drop)
        })
    }
}

impl Destination for CopyEnd {
    fn begin(&mut self, id: [u8; 16], from: &str) -> Result<()> {
        self.transact(WRITE, |end| {
            end.execute("seal the store", sql!("copy", "hold"), &[])?;
            end.execute("seal the store", sql!("copy", "seal"), &[])?;
            end.write_note(id, false, from)
        })
    }
    fn write(&mut self, records: Vec<Record>, before: Arrived) -> Result<()> {
        let (table, n) = (before.table, records.len() as u64);
        if let Some((record, column)) =
            records.iter().find_map(|record| record.with_nul(table).map(|column| (record, column)))
        {
            let place = record.place(table);
            return Err(unwritable(&format!(
                "column `{column}` of {place} holds the character U+0000, which PostgreSQL cannot store"
            )));
        }
        self.transact(WRITE, |end| {
            end.note_arrived(before, before.and(n))?;
            end.name_all(table, &records)?;
            if table == Table::Event {
                end.make_batches(&records)?;
            }
            let place = records.first().map(|record| record.place(table)).unwrap_or_default();
            let lists = lists(table, records).map_err(|problem| unwritable(&problem))?;
            let params: Vec<Param<'_>> = lists.iter().map(super::record::List::param).collect();
            let failed = |failure| error::from(&format!("write {n} records from {place} on"), failure);
            match end.conn.execute(statements::write(table), &params).map_err(failed)? {
                written if written == n => Ok(()),
                written => Err(Error::refused(format!(
                    "of {n} records from {place} on, {} name something that is not there",
                    n.saturating_sub(written)
                ))),
            }
        })
    }
    fn turn_to(&mut self, next: Table, before: Arrived) -> Result<()> {
        self.transact(WRITE, |end| end.note_arrived(before, Arrived::none_of(next)))
    }
    fn settle(&mut self, head: &Head) -> Result<()> {
        const SETTLE: &str = "write the head of the log";
        self.transact(WRITE, |end| {
            let Head { generation, next_pos, floor_pos, walk_pos, clock, next_key } = *head;
            let generation = Uuid::from_bytes(generation);
            let params: [Param<'_>; 5] = [&generation, &next_pos, &floor_pos, &walk_pos, &clock];
            end.execute(SETTLE, sql!("copy", "write_head"), &params)?;
            end.query(SETTLE, sql!("copy", "set_sequences"), &[&next_key, &next_pos])?;
            end.execute("count the jobs", sql!("copy", "forget_counters"), &[])?;
            end.execute("count the jobs", sql!("copy", "count_jobs"), &[])?;
            end.execute("look at the tables", sql!("copy", "analyze"), &[]).map(drop)
        })
    }
    fn open(&mut self) -> Result<()> {
        self.transact(WRITE, |end| {
            end.execute("unseal the store", sql!("copy", "unseal"), &[])?;
            end.execute("unseal the store", sql!("copy", "forget"), &[]).map(drop)
        })
    }
}
