//! The codec of a job's row.

use rusqlite::{Connection, types::Type};
use serde::{Serialize, de::DeserializeOwned};
use stepwell_core::{
    Error, Job, JobId, JobState, Json, Name, Result, Timestamp, Token,
    job::{Details, PlanRef, Reason},
    lease::Lease,
    store::Row,
};

use crate::dictionary::Dictionary;

/// A row as it is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) row: Row,
    /// Whether elements of a fan-out are stored for it.
    pub(crate) elements: bool,
}

/// How many columns the table has: a statement that selects more finds them from here on.
pub(crate) const COLUMNS: usize = 34;

pub(crate) fn reason_number(reason: Option<Reason>) -> Option<i64> {
    reason.and_then(Reason::number).map(i64::from)
}

/// The state with this number.
pub(crate) fn state_of(column: usize, number: i64) -> rusqlite::Result<JobState> {
    let found = usize::try_from(number).ok().and_then(|number| JobState::ALL.get(number));
    found.copied().ok_or(rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// Decodes a row of `SELECT job.*`.
pub(crate) fn decode(
    row: &rusqlite::Row<'_>,
    conn: &Connection,
    dictionary: &mut Dictionary,
) -> rusqlite::Result<Stored> {
    let mut name = |column| -> rusqlite::Result<Name> { dictionary.name(conn, row.get(column)?) };
    let (kind, queue, home_queue) = (name(2)?, name(3)?, name(4)?);
    let plan = match row.get::<_, Option<i64>>(22)? {
        Some(hash) => Some(PlanRef { hash: dictionary.name(conn, hash)?, generation: unsigned(row, 23)? }),
        None => None,
    };
    let lease = match row.get::<_, Option<i64>>(20)? {
        Some(n) => {
            Some(Lease { session: dictionary.session(conn, n)?, token: Token::from_bytes(row.get(21)?) })
        }
        None => None,
    };
    let reason = match row.get::<_, Option<u8>>(14)? {
        Some(number) => Reason::of_number(number),
        None => None,
    };
    let details = match row.get_ref(32)?.as_str_or_null()? {
        Some(text) => json(32, text)?,
        None => Details::default(),
    };
    let job = Job {
        id: JobId::from_bytes(row.get(1)?),
        kind,
        queue,
        home_queue,
        unique_key: row.get(10)?,
        plan,
        state: state_of(13, row.get(13)?)?,
        reason,
        version: unsigned(row, 15)?,
        run: row.get(16)?,
        attempt: row.get(17)?,
        crashes: row.get(18)?,
        max_crashes: row.get(6)?,
        epoch: unsigned(row, 19)?,
        lease,
        enqueued_at: Timestamp::from_micros(row.get(7)?),
        available_at: Timestamp::from_micros(row.get(8)?),
        expires_at: time(row, 9)?,
        cancel_requested_at: time(row, 24)?,
        cancel_deadline: time(row, 25)?,
        finished_at: time(row, 26)?,
        priority: row.get(5)?,
        next_seq: unsigned(row, 29)?,
        phases: dictionary.phases(33, row.get_ref(33)?.as_str()?)?,
        details,
    };
    let row_of_job = Row { key: row.get(0)?, last_event_pos: unsigned(row, 30)?, job };
    Ok(Stored { row: row_of_job, elements: row.get(31)? })
}

/// Decodes a row of `SELECT job.*, payload.body`.
pub(crate) fn decode_with_payload(
    row: &rusqlite::Row<'_>,
    conn: &Connection,
    dictionary: &mut Dictionary,
) -> rusqlite::Result<(Stored, Json)> {
    let stored = decode(row, conn, dictionary)?;
    let payload = text(COLUMNS, row.get(COLUMNS)?)?;
    Ok((stored, payload))
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

/// Decodes a JSON column.
pub(crate) fn json<T: DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// Takes over a JSON column as it is.
pub(crate) fn text(column: usize, text: String) -> rusqlite::Result<Json> {
    Json::from_text(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

/// Encodes a value into a buffer that is used again.
pub(crate) fn encode<'a, T: Serialize + ?Sized>(buffer: &'a mut Vec<u8>, value: &T) -> Result<&'a str> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, value).map_err(Error::encode)?;
    std::str::from_utf8(buffer).map_err(|error| Error::storage("encode a row", error))
}
