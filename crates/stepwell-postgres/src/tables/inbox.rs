//! Rows that applications enqueued in their own transactions. Nothing in them is trusted.

use stepwell_core::{
    JobId, Result, Timestamp, limits,
    store::inbox::{InboxEntry, InboxOutcome},
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    ledger::{Ledger, get},
    sql::sql,
};

use super::claim::count;

const READ: &str = "read the inbox";
const LOOK: &str = "look up an inbox row";

impl Ledger {
    pub(super) fn read_inbox(&mut self, limit: usize) -> Result<Vec<InboxEntry>> {
        let held = self.query_opt(READ, sql!("inbox", "hold"), &[])?;
        if !held.map_or(Ok(false), |row| get(&row, 0, READ))? {
            return Ok(Vec::new());
        }
        let [short, long] = [limits::KEY_BYTES_MAX, limits::PAYLOAD_BYTES_MAX].map(bytes);
        let rows = self.query(READ, sql!("inbox", "oldest"), &[&count(limit), &short, &long])?;
        rows.iter().map(entry).collect()
    }

    pub(super) fn find_inbox_job(&mut self, idempotency_key: &str) -> Result<Option<JobId>> {
        self.job_in(sql!("inbox", "job_of_key"), idempotency_key)
    }
    pub(super) fn find_inbox_made(&mut self, id: JobId) -> Result<Option<JobId>> {
        self.job_in(sql!("inbox", "made"), &id.to_string())
    }
    fn job_in(&mut self, statement: &'static str, key: &str) -> Result<Option<JobId>> {
        let row = self.query_opt(LOOK, statement, &[&key])?;
        Ok(row.map(|row| get::<Uuid>(&row, 0, LOOK)).transpose()?.map(JobId::from))
    }

    pub(super) fn finish_inbox(
        &mut self,
        entry: &InboxEntry,
        outcome: &InboxOutcome,
        now: Timestamp,
    ) -> Result<()> {
        const CLOSE: &str = "close an inbox row";
        self.wrote = true;
        let (job, refusal) = match outcome {
            InboxOutcome::Job(id) => (Some(Uuid::from(*id)), None),
            InboxOutcome::Refused(reason) => (None, Some(reason)),
        };
        let text = entry.id.clone().unwrap_or_default();
        let id = text.parse::<JobId>().map_or(text, |id| id.to_string());
        self.execute(CLOSE, sql!("inbox", "delete"), &[&vec![entry.n]])?;
        let key = &entry.idempotency_key;
        self.execute(CLOSE, sql!("inbox", "done"), &[&id, &job, &refusal, key, &now.as_micros()]).map(drop)
    }
}

/// A length as PostgreSQL has it.
fn bytes(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// Reads a row. What is too long is noted as a problem, and was left out; its length stands behind the columns.
fn entry(row: &Row) -> Result<InboxEntry> {
    const LENGTHS: usize = 14;
    let mut problem = None;
    let mut nth = LENGTHS;
    let mut text = |column: usize, bytes_max: usize| -> Result<Option<String>> {
        let found: Option<i32> = get(row, nth, READ)?;
        nth += 1;
        if let Some(found) = found.filter(|found| *found > bytes(bytes_max)) {
            let name = row.columns().get(column).map_or("", |column| column.name());
            problem.get_or_insert(format!("column `{name}` is {found} bytes long, the limit is {bytes_max}"));
        }
        get(row, column, READ)
    };
    let id = text(1, limits::KEY_BYTES_MAX)?;
    let kind = text(3, limits::KEY_BYTES_MAX)?;
    let payload = text(4, limits::PAYLOAD_BYTES_MAX)?;
    let queue = text(5, limits::KEY_BYTES_MAX)?;
    let unique_key = text(9, limits::PAYLOAD_BYTES_MAX)?;
    let idempotency_key = text(11, limits::KEY_BYTES_MAX)?;
    let tags = text(12, limits::PAYLOAD_BYTES_MAX)?;
    let attributes = text(13, limits::PAYLOAD_BYTES_MAX)?;
    Ok(InboxEntry {
        n: get(row, 0, READ)?,
        id,
        v: get(row, 2, READ)?,
        kind,
        payload,
        queue,
        priority: get(row, 6, READ)?,
        delay_ms: get(row, 7, READ)?,
        run_at: get(row, 8, READ)?,
        unique_key,
        unique_within_ms: get(row, 10, READ)?,
        idempotency_key,
        tags,
        attributes,
        problem,
    })
}
