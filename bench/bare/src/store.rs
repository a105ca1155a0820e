//! The file and the four transitions: enqueue, claim, end of a phase, end of the last phase.
use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use stepwell_bench_subject::{Durability, Result, packed};
use uuid::Uuid;

pub(crate) struct Store {
    pub(crate) connection: Connection,
}

/// A claimed job, as its owner must name it to change it.
pub(crate) struct Claimed {
    id: i64,
    epoch: i64,
    token: [u8; 16],
    pub(crate) payload: String,
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA page_size = 4096;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 4000;
             PRAGMA cache_size = -65536;
             PRAGMA temp_store = MEMORY;",
        )?;
        connection.execute_batch(include_str!("schema.sql"))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(Self { connection })
    }

    pub(crate) fn durability(&self) -> Result<Durability> {
        let mode: String = self.connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        let synchronous = self.connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        Ok(Durability::sqlite(&mode, synchronous))
    }

    /// Runs `write` in one transaction and returns when that is on disk.
    pub(crate) fn commit<T>(&mut self, write: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = write(&transaction)?;
        transaction.commit()?;
        Ok(written)
    }
}

/// Microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn enqueue(tx: &Transaction<'_>, payload: &str, count: u64, now_us: i64) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO job (uuid, queue, kind, state, priority, run_at, phases, next_seq, created_at)
         VALUES (?1, 1, 1, 0, 0, ?2, ?3, 2, ?2)",
    )?
    .execute(params![Uuid::now_v7().as_bytes(), now_us, packed(count, 0, false, now_us)])?;
    let id = tx.last_insert_rowid();
    tx.prepare_cached("INSERT INTO payload (job, body) VALUES (?1, ?2)")?.execute(params![id, payload])?;
    event(tx, id, 1, 0, now_us, None)
}

/// Claims what is due, up to `limit` jobs, and starts their first phases.
pub(crate) fn claim(tx: &Transaction<'_>, limit: usize, count: u64, now_us: i64) -> Result<Vec<Claimed>> {
    let token = Uuid::new_v4().into_bytes();
    let claimed = tx
        .prepare_cached(
            "SELECT job.id, job.epoch + 1, payload.body FROM job JOIN payload ON payload.job = job.id
             WHERE job.state = 0 AND job.queue = 1 AND job.run_at <= ?1
             ORDER BY job.priority, job.run_at LIMIT ?2",
        )?
        .query_map(params![now_us, limit as i64], |row| {
            Ok(Claimed { id: row.get(0)?, epoch: row.get(1)?, token, payload: row.get(2)? })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let running = packed(count, 0, true, now_us);
    for job in &claimed {
        let changed = tx
            .prepare_cached(
                "UPDATE job SET state = 1, owner = 1, token = ?3, epoch = ?2, attempt = attempt + 1, phases = ?4,
                     next_seq = next_seq + 2
                 WHERE id = ?1 AND state = 0 AND epoch = ?2 - 1",
            )?
            .execute(params![job.id, job.epoch, job.token, running])?;
        exactly_one(changed)?;
        event(tx, job.id, 2, 1, now_us, Some(r#"["job:started","job:phase:started"]"#))?;
    }
    Ok(claimed)
}

/// Ends the phase `phase` of a job with `count` phases: starts the next one, or ends the job with its last.
pub(crate) fn end_phase(
    tx: &Transaction<'_>,
    job: &Claimed,
    phase: u64,
    count: u64,
    now_us: i64,
) -> Result<()> {
    let last = phase + 1 == count;
    let phases = packed(count, phase + 1, !last, now_us);
    let changed = if last {
        tx.prepare_cached(
            "UPDATE job SET state = 2, owner = NULL, token = NULL, epoch = epoch + 1, phases = ?4,
                 next_seq = next_seq + 2, finished_at = ?5
             WHERE id = ?1 AND state = 1 AND epoch = ?2 AND token = ?3",
        )?
        .execute(params![job.id, job.epoch, job.token, phases, now_us])?
    } else {
        tx.prepare_cached(
            "UPDATE job SET phases = ?4, next_seq = next_seq + 2
             WHERE id = ?1 AND state = 1 AND epoch = ?2 AND token = ?3",
        )?
        .execute(params![job.id, job.epoch, job.token, phases])?
    };
    exactly_one(changed)?;
    let data = if last {
        r#"["job:phase:completed","job:completed"]"#
    } else {
        r#"["job:phase:completed","job:phase:started"]"#
    };
    event(tx, job.id, 4 + 2 * phase, 2, now_us, Some(data))
}

fn event(tx: &Transaction<'_>, job: i64, job_seq: u64, kind: i64, at: i64, data: Option<&str>) -> Result<()> {
    tx.prepare_cached("INSERT INTO event (job, job_seq, kind, at, data) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![job, job_seq as i64, kind, at, data])?;
    Ok(())
}

fn exactly_one(changed: usize) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err("the job is not as its owner left it".into()) }
}
