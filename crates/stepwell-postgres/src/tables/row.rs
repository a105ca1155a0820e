//! The codec of a job's row.

use stepwell_core::{
    Error, Job, JobId, JobState, Name, Result, SessionId, Timestamp, Token,
    job::{Details, PlanRef, Reason},
    lease::Lease,
    store,
};
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::{connection::Conn, damaged::Damage, dictionary::Dictionary, error::Failure};

/// Where a job's events stand: the batch, and the place in it.
pub(crate) type Link = (i64, i32);

/// A row as it is stored, and what of it is kept for writing it again.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) row: store::Row,
    pub(crate) names: Names,
    /// Where its last events stand.
    pub(crate) last: Link,
    /// Whether elements of a fan-out are stored for it.
    pub(crate) elements: bool,
    /// Whether it is ready, or waits for its time; as it was when it was last changed.
    pub(crate) ready: Option<bool>,
    /// Whether it is to be written.
    pub(crate) dirty: bool,
    /// Whether it has not been stored yet.
    pub(crate) new: bool,
}

/// The numbers of a row's names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) kind: i32,
    pub(crate) queue: i32,
    pub(crate) home_queue: i32,
    pub(crate) plan: Option<i32>,
}

/// Decodes rows of `SELECT job.row`, each by itself.
pub(crate) fn decode_all(
    conn: &mut Conn,
    dictionary: &mut Dictionary,
    rows: &[Row],
) -> std::result::Result<Vec<std::result::Result<Held, Damage>>, Failure> {
    let mut ids = Vec::with_capacity(3 * rows.len());
    for row in rows {
        // What is no number is noticed when the row is decoded.
        ids.extend([2, 3, 4].into_iter().filter_map(|column| row.try_get::<_, i32>(column).ok()));
        ids.extend(row.try_get::<_, Option<i32>>(20).ok().flatten());
    }
    dictionary.learn(conn, ids.into_iter())?;
    let decode = |row: &Row| {
        decode(row, dictionary).map_err(|problem| Damage {
            key: row.try_get(0).unwrap_or_default(),
            id: row.try_get::<_, Uuid>(1).ok().map(JobId::from),
            problem,
        })
    };
    Ok(rows.iter().map(decode).collect())
}

type Decoded<T> = std::result::Result<T, String>;

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Decoded<T> {
    row.try_get(column).map_err(|error| Failure::from(error).to_string())
}

fn decode(row: &Row, dictionary: &mut Dictionary) -> Decoded<Held> {
    let name = |id| dictionary.name(id).ok_or_else(|| format!("there is no name {id}"));
    let names =
        Names { kind: get(row, 2)?, queue: get(row, 3)?, home_queue: get(row, 4)?, plan: get(row, 20)? };
    let plan = match names.plan {
        Some(hash) => Some(PlanRef { hash: name(hash)?, generation: unsigned(row, 21)? }),
        None => None,
    };
    let lease = match get::<Option<Uuid>>(row, 18)? {
        Some(session) => Some(Lease {
            session: SessionId::from(session),
            token: Token::from_bytes(get::<Uuid>(row, 19)?.into_bytes()),
        }),
        None => None,
    };
    let reason = match get::<Option<i16>>(row, 12)? {
        Some(number) => u8::try_from(number).ok().and_then(Reason::of_number),
        None => None,
    };
    let details = match get::<Option<&str>>(row, 29)? {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("details: {error}"))?,
        None => Details::default(),
    };
    let (kind, queue, home_queue) = (name(names.kind)?, name(names.queue)?, name(names.home_queue)?);
    let job = Job {
        id: JobId::from(get::<Uuid>(row, 1)?),
        kind,
        queue,
        home_queue,
        unique_key: get(row, 10)?,
        plan,
        state: state_of(get(row, 11)?).ok_or("there is no such state")?,
        reason,
        version: unsigned(row, 13)?,
        run: count(row, 14)?,
        attempt: count(row, 15)?,
        crashes: count(row, 16)?,
        max_crashes: count(row, 6)?,
        epoch: unsigned(row, 17)?,
        lease,
        enqueued_at: Timestamp::from_micros(get(row, 7)?),
        available_at: Timestamp::from_micros(get(row, 8)?),
        expires_at: time(row, 9)?,
        cancel_requested_at: time(row, 22)?,
        cancel_deadline: time(row, 23)?,
        finished_at: time(row, 24)?,
        priority: get(row, 5)?,
        next_seq: unsigned(row, 25)?,
        phases: dictionary.phases(get(row, 30)?).map_err(|error| format!("phases: {error}"))?,
        details,
    };
    Ok(Held {
        // Where its events are in the log is looked up when somebody asks: see `Tables::last_pos`.
        row: store::Row { key: get(row, 0)?, last_event_pos: u64::MAX, job },
        names,
        last: (get(row, 26)?, get(row, 27)?),
        elements: get(row, 28)?,
        ready: None,
        dirty: false,
        new: false,
    })
}

/// The state with this number.
pub(crate) fn state_of(number: i16) -> Option<JobState> {
    JobState::ALL.get(usize::try_from(number).ok()?).copied()
}

/// A number that is stored with its sign.
pub(crate) fn signed(number: u32) -> i32 {
    number.cast_signed()
}

fn unsigned(row: &Row, column: usize) -> Decoded<u64> {
    get::<i64>(row, column).map(i64::cast_unsigned)
}
fn count(row: &Row, column: usize) -> Decoded<u32> {
    get::<i32>(row, column).map(i32::cast_unsigned)
}
fn time(row: &Row, column: usize) -> Decoded<Option<Timestamp>> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

/// Details as they are stored.
pub(crate) fn details_text(details: &Details) -> Result<Option<String>> {
    match *details == Details::default() {
        true => Ok(None),
        false => serde_json::to_string(details).map(Some).map_err(Error::encode),
    }
}

/// A time as it is stored.
pub(crate) fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_micros)
}

/// A name that is looked up.
pub(crate) fn name_of(dictionary: &Dictionary, id: i32) -> Result<Name> {
    dictionary
        .name(id)
        .ok_or_else(|| Error::refused(format!("there is no name {id} in the store; restore a backup")))
}
