//! The file as a whole: sealed, noted on, read and written.

use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

use rusqlite::{Connection, Row, params, params_from_iter};
use stepwell_core::{
    Clock, Error, Name, Result, SessionId,
    store::copy::{
        Arrived, Batches, Destination, End, Head, Kind, Note, Record, Source, Standing, Table, Value,
        in_use::{self, Owner},
    },
};

use super::{
    record::{Bound, decode, own},
    statements,
};
use crate::{
    closing::Closing,
    connection, error, ledger, live,
    lock::{Turn, beside},
    open,
    options::SqliteOptions,
    session::Sessions,
    sql::sql,
    tables::row::json,
    upkeep, volume,
};

/// Records of one batch, and bytes of it: as much as is held in memory, and is written at once.
const BATCH_RECORDS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Names that are remembered to be there. When there are more, they are looked up again.
const NAMES_MAX: usize = 50_000;

/// One end of a copy: a file.
pub struct CopyEnd {
    path: PathBuf,
    conn: Connection,
    turn: Turn,
    sessions: Sessions,
    /// Names that have a number.
    names: HashSet<String>,
}

impl CopyEnd {
    /// Opens a file that is to be copied.
    ///
    /// # Errors
    /// If there is none, or it is no store, or cannot be opened as one.
    pub fn source(options: SqliteOptions) -> Result<Self> {
        upkeep::open(&options.path)?;
        Self::destination(options)
    }
    /// Opens a file that is to be a copy. It is made if there is none.
    ///
    /// # Errors
    /// If it cannot be opened as a store.
    pub fn destination(options: SqliteOptions) -> Result<Self> {
        // The log is moved by the connection that writes: there is no thread for it.
        let options = SqliteOptions { inline: true, ..options };
        connection::check_library(rusqlite::version_number(), rusqlite::version())?;
        let path = open::absolute(&options.path)?;
        if !options.allow_network_file_system {
            volume::check(path.parent().unwrap_or(&path))?;
        }
        let unusable = |error| Error::storage("create the files beside the database", error);
        let turn =
            Turn::open(&path, options.busy_deadline, Arc::new(Closing::default())).map_err(unusable)?;
        let clock = options.clock.clone().unwrap_or_else(Clock::system);
        let live = Arc::new(live::Live::open(&beside(&path, "-live"), &clock).map_err(unusable)?);
        let ledger::Ledger { conn, .. } = open::open_ledger(&path, &options, &turn, &clock, live)?;
        let sessions = Sessions::new(path.clone(), options.session_ttl);
        Ok(Self { path, conn, turn, sessions, names: HashSet::new() })
    }

    /// Does something in a transaction of its own.
    fn transact<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.turn.begin(&self.conn)?;
        let done = work(self).and_then(|value| self.run("COMMIT", "commit").map(|()| value));
        if done.is_err() {
            self.names.clear();
            if !self.conn.is_autocommit() {
                // The transaction ends with the connection in any case, and the first failure is the one to tell.
                drop(self.conn.execute_batch("ROLLBACK"));
            }
        }
        self.turn.end();
        done
    }
    fn run(&self, statement: &str, doing: &'static str) -> Result<()> {
        self.conn.execute_batch(statement).map_err(error::of(doing))
    }

    /// Who works on the file.
    fn owners(&self) -> Result<Vec<Owner>> {
        let owners = || {
            let mut ask = self.conn.prepare(sql!("copy", "owners"))?;
            let owners = ask.query_map([], |row| Ok((SessionId::from_bytes(row.get(0)?), owner(row)?)))?;
            owners.collect::<rusqlite::Result<Vec<_>>>()
        };
        let owners = owners().map_err(error::of("read the sessions"))?.into_iter();
        Ok(owners.filter(|(id, _)| !self.sessions.is_gone(*id)).map(|(_, owner)| owner).collect())
    }
    /// Refuses if somebody works on the file.
    fn check(&self) -> Result<()> {
        let paused = || {
            let mut ask = self.conn.prepare(sql!("copy", "paused"))?;
            ask.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<Name>>>()
        };
        in_use::check(&self.owners()?, &paused().map_err(error::of("read the paused queues"))?)
    }

    /// Sees to it that every name has a number.
    fn name_all(&mut self, table: Table, records: &[Record]) -> Result<()> {
        let columns = table.columns().iter().enumerate().filter(|(_, column)| column.kind == Kind::Name);
        for (nth, _) in columns {
            for record in records {
                let Some(Value::Text(name)) = record.0.get(nth) else { continue };
                if self.names.contains(name) {
                    continue;
                }
                let insert =
                    || self.conn.prepare_cached(sql!("copy", "insert_name"))?.execute([name.as_str()]);
                insert().map_err(error::of("store a name"))?;
                if self.names.len() >= NAMES_MAX {
                    self.names.clear();
                }
                self.names.insert(name.clone());
            }
        }
        Ok(())
    }
    fn write_note(&self, id: [u8; 16], is_source: bool, peer: &str) -> Result<()> {
        let first = Arrived::nothing().table.name();
        let write = || self.conn.execute(sql!("copy", "note"), params![id, is_source, peer, first]);
        write().map(drop).map_err(error::of("note the copy"))
    }
    fn note_arrived(&self, before: Arrived, after: Arrived) -> Result<()> {
        let note = |arrived: Arrived| (arrived.table.name(), arrived.records.cast_signed());
        let ((table, records), (old_table, old_records)) = (note(after), note(before));
        let write = || {
            let mut write = self.conn.prepare_cached(sql!("copy", "note_arrived"))?;
            write.execute(params![table, records, old_table, old_records])
        };
        match write().map_err(error::of("note what has arrived"))? {
            0 => Err(in_use::overtaken()),
            _ => Ok(()),
        }
    }
}

fn owner(row: &Row<'_>) -> rusqlite::Result<Owner> {
    let queues: Vec<(Name, usize)> = json(2, row.get_ref(2)?.as_str()?)?;
    let running: i64 = row.get(3)?;
    Ok(Owner {
        node: row.get(1)?,
        queues: queues.into_iter().map(|(queue, _)| queue).collect(),
        running: running.unsigned_abs(),
        alive_for: None::<Duration>,
    })
}

fn note(row: &Row<'_>) -> rusqlite::Result<Option<Note>> {
    let Some(id) = row.get(1)? else { return Ok(None) };
    let (is_source, peer): (bool, String) = (row.get(2)?, row.get(3)?);
    if is_source {
        return Ok(Some(Note::Source { id, to: peer, done: row.get(4)? }));
    }
    let name: String = row.get(5)?;
    let unknown = || rusqlite::Error::InvalidColumnType(5, name.clone(), rusqlite::types::Type::Text);
    let table = Table::of_name(&name).ok_or_else(unknown)?;
    let arrived = Arrived { table, records: row.get::<_, i64>(6)?.unsigned_abs() };
    Ok(Some(Note::Destination { id, from: peer, arrived }))
}

impl End for CopyEnd {
    fn location(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
    fn standing(&mut self) -> Result<Standing> {
        let read = || {
            self.conn.query_row(sql!("copy", "standing"), [], |row| {
                Ok(Standing { generation: row.get(0)?, note: note(row)? })
            })
        };
        read().map_err(error::of("read what is noted of a copy"))
    }
    fn head(&mut self) -> Result<Head> {
        let read = || {
            self.conn.query_row(sql!("copy", "head"), [], |row| {
                Ok(Head {
                    generation: row.get(0)?,
                    next_pos: row.get(1)?,
                    floor_pos: row.get(2)?,
                    walk_pos: row.get(3)?,
                    clock: row.get(4)?,
                    next_key: row.get(5)?,
                })
            })
        };
        read().map_err(error::of("read the head of the log"))
    }
    fn count(&mut self, table: Table) -> Result<u64> {
        let count = || self.conn.query_row(&statements::count(table), [], |row| row.get::<_, i64>(0));
        count().map(i64::unsigned_abs).map_err(error::of("count records"))
    }
    fn read(&mut self, table: Table, skip: u64, batches: Batches<'_>) -> Result<()> {
        let failed = |failure| error::from(&format!("read the table {}", table.name()), failure);
        let mut ask = self.conn.prepare(&statements::rest(table)).map_err(failed)?;
        let mut rows = ask.query([skip.cast_signed()]).map_err(failed)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(failed)? {
            let record = decode(table, row).map_err(failed)?.map_err(|problem| {
                Error::refused(format!(
                    "{problem}; correct it, or start a server on {} once, which sets aside what it cannot read",
                    self.path.display()
                ))
            })?;
            bytes += record.bytes();
            batch.push(record);
            if batch.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
                batches(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        match batch.is_empty() {
            true => Ok(()),
            false => batches(batch),
        }
    }
}

impl Source for CopyEnd {
    fn check_unused(&mut self) -> Result<()> {
        self.check()
    }
    fn seal(&mut self, id: [u8; 16], to: &str) -> Result<()> {
        self.transact(|end| {
            end.check()?;
            end.run(sql!("copy", "seal"), "seal the store")?;
            end.run(sql!("copy", "refuse_inbox"), "seal the inbox")?;
            end.write_note(id, true, to)
        })
    }
    fn note_done(&mut self, id: [u8; 16]) -> Result<()> {
        self.transact(|end| match end.conn.execute(sql!("copy", "note_done"), [id]) {
            Ok(0) => Err(in_use::unsealed()),
            noted => noted.map(drop).map_err(error::of("note that the copy was made")),
        })
    }
    fn unseal(&mut self, generation: [u8; 16]) -> Result<()> {
        self.transact(|end| {
            in_use::check_none(&end.owners()?)?;
            let unseal = || end.conn.execute(sql!("copy", "unseal_as"), [generation]);
            unseal().map_err(error::of("unseal the store"))?;
            end.run(sql!("copy", "accept_inbox"), "unseal the inbox")?;
            end.run(sql!("copy", "forget"), "forget the copy")
        })
    }
}

impl Destination for CopyEnd {
    fn begin(&mut self, id: [u8; 16], from: &str) -> Result<()> {
        self.transact(|end| {
            end.run(sql!("copy", "seal"), "seal the store")?;
            end.write_note(id, false, from)
        })
    }
    fn write(&mut self, records: Vec<Record>, before: Arrived) -> Result<()> {
        let table = before.table;
        self.transact(|end| {
            end.note_arrived(before, before.and(records.len() as u64))?;
            end.name_all(table, &records)?;
            for record in records {
                let record = own(table, record);
                let write = || {
                    let mut write = end.conn.prepare_cached(statements::write(table))?;
                    write.execute(params_from_iter(record.0.iter().map(Bound)))
                };
                write().map_err(|failure| {
                    error::from(&format!("write the record {}", record.place(table)), failure)
                })?;
            }
            Ok(())
        })
    }
    fn turn_to(&mut self, next: Table, before: Arrived) -> Result<()> {
        self.transact(|end| end.note_arrived(before, Arrived::none_of(next)))
    }
    fn settle(&mut self, head: &Head) -> Result<()> {
        self.transact(|end| {
            let write = || {
                let Head { generation, next_pos, floor_pos, walk_pos, clock, next_key } = *head;
                let params = params![generation, next_pos, floor_pos, walk_pos, clock, next_key];
                end.conn.execute(sql!("copy", "write_head"), params)
            };
            write().map_err(error::of("write the head of the log"))?;
            end.run(sql!("copy", "forget_counters"), "count the jobs")?;
            end.run(sql!("copy", "count_jobs"), "count the jobs")
        })
    }
    fn open(&mut self) -> Result<()> {
        self.transact(|end| {
            end.run(sql!("copy", "unseal"), "unseal the store")?;
            end.run(sql!("copy", "forget"), "forget the copy")
        })
    }
}
