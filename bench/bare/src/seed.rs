//! Fills the file with jobs that are only to be in the way: ended ones with their history, and waiting ones.
use rusqlite::{Transaction, params};
use stepwell_bench_subject::{Request, Result, packed};

use crate::store::{self, Store};

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

pub(crate) fn fill(request: &Request, store: &mut Store) -> Result<()> {
    // Nothing here is worth a sync; the file is durable when it is checkpointed at the end.
    store.connection.execute_batch("PRAGMA synchronous = OFF")?;
    store.commit(|tx| {
        let now_us = store::now_us();
        let ended = packed(1, 1, false, now_us);
        let pending = packed(1, 0, false, now_us);
        insert(tx, request.finished, 2, now_us - DAY_US, &ended)?;
        insert(tx, request.scheduled, 0, now_us + DAY_US, &pending)?;
        insert(tx, request.ready, 0, now_us - DAY_US, &pending)
    })?;
    store.connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok(())
}

/// Inserts `jobs` jobs in one state, a microsecond apart from each other.
fn insert(tx: &Transaction<'_>, jobs: u64, state: i64, at: i64, phases: &str) -> Result<()> {
    if jobs == 0 {
        return Ok(());
    }
    let first: i64 = tx.query_row("SELECT coalesce(max(id), 0) + 1 FROM job", [], |row| row.get(0))?;
    let last = first + i64::try_from(jobs)? - 1;
    // Ids in order of time, as UUIDv7 are; they need only be unique.
    tx.execute(
        "WITH RECURSIVE n (id) AS (SELECT ?1 UNION ALL SELECT id + 1 FROM n WHERE id < ?2)
         INSERT INTO job (id, uuid, queue, kind, state, priority, run_at, attempt, epoch, phases, next_seq,
             created_at, finished_at)
         SELECT id, unhex(printf('%032x', id)), 1, 1, ?3, 0, ?4 + id, ?3 = 2, ?3, ?5, 2 + 2 * ?3, ?4 + id,
             iif(?3 = 2, ?4 + id, NULL) FROM n",
        params![first, last, state, at, phases],
    )?;
    tx.execute(
        "INSERT INTO payload (job, body)
         SELECT id, '{\"id\":4294967295,\"begun_ns\":0,\"to\":\"someone@example.com\"}' FROM job WHERE id >= ?1",
        [first],
    )?;
    let data = [None, Some(r#"["job:started"]"#), Some(r#"["job:completed"]"#)];
    for kind in 0..=state {
        tx.execute(
            "INSERT INTO event (job, job_seq, kind, at, data)
             SELECT id, 2 * ?2 + (?2 = 0), ?2, created_at, ?3 FROM job WHERE id >= ?1",
            params![first, kind, data[kind as usize]],
        )?;
    }
    Ok(())
}
