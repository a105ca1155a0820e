//! Rows that applications enqueued in their own transactions. Nothing in them is trusted.

use rusqlite::{OptionalExtension, Row, params, types::ValueRef};
use stepwell_core::{
    JobId, Result, Timestamp, limits,
    store::inbox::{InboxEntry, InboxOutcome},
};

use crate::{error, ledger::Ledger, sql::sql};

use super::claim::count;

impl Ledger {
    pub(super) fn read_inbox(&mut self, limit: usize) -> Result<Vec<InboxEntry>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("inbox", "oldest"))?;
            let rows = statement.query_map([count(limit)], entry)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("read the inbox"))
    }

    pub(super) fn find_inbox_job(&mut self, idempotency_key: &str) -> Result<Option<JobId>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("inbox", "job_of_key"))?;
            statement.query_row([idempotency_key], |row| row.get(0)).optional()
        };
        read().map(|id| id.map(JobId::from_bytes)).map_err(error::of("look up an idempotency key"))
    }

    pub(super) fn find_inbox_made(&mut self, id: JobId) -> Result<Option<JobId>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("inbox", "job_of_id"))?;
            statement.query_row([&id.as_bytes()[..]], |row| row.get(0)).optional()
        };
        read().map(|id| id.map(JobId::from_bytes)).map_err(error::of("look up an inbox row"))
    }

    pub(super) fn finish_inbox(
        &mut self,
        entry: &InboxEntry,
        outcome: &InboxOutcome,
        now: Timestamp,
    ) -> Result<()> {
        self.wrote = true;
        let (job, refusal) = match outcome {
            InboxOutcome::Job(id) => (Some(*id), None),
            InboxOutcome::Refused(reason) => (None, Some(reason)),
        };
        let text = entry.id.clone().unwrap_or_default();
        let id: Option<JobId> = text.parse().ok();
        let close = || {
            self.conn.prepare_cached(sql!("inbox", "delete"))?.execute([entry.n])?;
            let mut statement = self.conn.prepare_cached(sql!("inbox", "done"))?;
            let id: &dyn rusqlite::ToSql = match &id {
                Some(id) => &&id.as_bytes()[..],
                None => &text,
            };
            statement.execute(params![
                id,
                job.as_ref().map(|job| &job.as_bytes()[..]),
                refusal,
                entry.idempotency_key,
                now.as_micros(),
            ])
        };
        close().map(drop).map_err(error::of("close an inbox row"))
    }
}

/// Reads a row. What cannot be what it should be is noted as a problem, and left out.
fn entry(row: &Row<'_>) -> rusqlite::Result<InboxEntry> {
    let mut problem = None;
    let mut note = |what: String| {
        problem.get_or_insert(what);
    };
    let mut text = |column: usize, bytes_max: usize| -> rusqlite::Result<Option<String>> {
        let name = row.as_ref().column_name(column)?;
        match row.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) if bytes.len() > bytes_max => {
                note(format!("column `{name}` is {} bytes long, the limit is {bytes_max}", bytes.len()));
                Ok(None)
            }
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.contains('\0') => {
                    note(format!("column `{name}` holds the character U+0000; remove it"));
                    Ok(None)
                }
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => {
                    note(format!("column `{name}` is not valid UTF-8"));
                    Ok(None)
                }
            },
            value => {
                note(format!("column `{name}` is {}, not text", value.data_type()));
                Ok(None)
            }
        }
    };
    let id = text(1, limits::KEY_BYTES_MAX)?;
    let kind = text(3, limits::KEY_BYTES_MAX)?;
    let payload = text(4, limits::PAYLOAD_BYTES_MAX)?;
    let queue = text(5, limits::KEY_BYTES_MAX)?;
    let unique_key = text(9, limits::PAYLOAD_BYTES_MAX)?;
    let idempotency_key = text(11, limits::KEY_BYTES_MAX)?;
    let tags = text(12, limits::PAYLOAD_BYTES_MAX)?;
    let attributes = text(13, limits::PAYLOAD_BYTES_MAX)?;
    let mut integer = |column: usize| -> rusqlite::Result<Option<i64>> {
        let name = row.as_ref().column_name(column)?;
        match row.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            value => {
                note(format!("column `{name}` is {}, not an integer", value.data_type()));
                Ok(None)
            }
        }
    };
    let (v, priority, delay_ms) = (integer(2)?, integer(6)?, integer(7)?);
    let (run_at, unique_within_ms) = (integer(8)?, integer(10)?);
    Ok(InboxEntry {
        n: row.get(0)?,
        id,
        v,
        kind,
        payload,
        queue,
        priority,
        delay_ms,
        run_at,
        unique_key,
        unique_within_ms,
        idempotency_key,
        tags,
        attributes,
        problem,
    })
}
