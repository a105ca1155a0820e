//! Sessions: who is alive, and how the others know.
//!
//! A session is a row that says until when it lives, by the database's clock. Who is late is found dead by others, but
//! not at the first look: after a time in which the database could not be reached, all are late.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use foldhash::HashMap;
use stepwell_core::{
    Clock, Error, Name, Result, SessionId, Timestamp,
    session::{About, Desired, Node, Session, SessionState},
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    connection::Param,
    ledger::{Ledger, get},
    sql::sql,
};

pub(crate) const READ: &str = "read the sessions";
const STORE: &str = "store a session";

/// What this process has seen of the sessions of others.
pub(crate) struct Sessions {
    pub(crate) ttl: Duration,
    clock: Clock,
    /// When each was first seen late, and until when it lived then.
    sightings: Mutex<HashMap<SessionId, (Timestamp, Timestamp)>>,
}

/// A session as the store records it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: SessionId,
    pub(crate) node: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) dead: bool,
}

impl Sessions {
    pub(crate) fn new(ttl: Duration, clock: Clock) -> Self {
        Self { ttl, clock, sightings: Mutex::default() }
    }

    /// Whether a session is dead: late, and just as late at a second look, a third of its life after the first.
    pub(crate) fn is_stale(&self, known: &Known, now: Timestamp) -> bool {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        if known.expires_at > now {
            sightings.remove(&known.id);
            return false;
        }
        if self.clock.is_manual() {
            // Nobody was held up: a test turned the clock.
            return true;
        }
        let first = *sightings.entry(known.id).or_insert((now, known.expires_at));
        if first.1 != known.expires_at {
            sightings.insert(known.id, (now, known.expires_at));
            return false;
        }
        now.since(first.0) >= self.ttl / 3
    }
    /// Forgets a session that is gone.
    pub(crate) fn forget(&self, session: SessionId) {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }
}

impl Ledger {
    /// Stores a new session; or stores what a live one says of itself now.
    pub(crate) fn open_session(&mut self, session: &Session, ttl: Duration) -> Result<()> {
        let kinds = serde_json::to_string(&session.kinds).map_err(Error::encode)?;
        let queues = serde_json::to_string(&session.queues).map_err(Error::encode)?;
        let about = serde_json::to_string(&session.about).map_err(Error::encode)?;
        let id = Uuid::from(session.id);
        let (now, expires_at) = (self.now.as_micros(), (self.now + ttl).as_micros());
        let known = self.query_opt(STORE, sql!("session", "lock"), &[&id])?;
        if let Some(known) = known {
            if get::<bool>(&known, 1, STORE)? {
                return Err(Error::lease_lost());
            }
            self.wrote = true;
            let params: [Param<'_>; 7] = [&id, &session.node, &expires_at, &kinds, &queues, &about, &now];
            return self.execute(STORE, sql!("session", "update"), &params).map(drop);
        }
        self.wrote = true;
        let started_at = session.started_at.as_micros();
        let params: [Param<'_>; 8] =
            [&id, &session.node, &started_at, &expires_at, &kinds, &queues, &about, &now];
        self.execute(STORE, sql!("session", "insert"), &params).map(drop)
    }

    /// Stores how a live session is.
    pub(crate) fn tell(&mut self, session: SessionId, state: SessionState) -> Result<()> {
        let params: [Param<'_>; 2] = [&Uuid::from(session), &i16::from(state.number())];
        self.wrote |= self.execute(STORE, sql!("session", "tell"), &params)? > 0;
        Ok(())
    }
    /// Stores what is wanted of a live session, and answers with it.
    pub(crate) fn want(&mut self, session: SessionId, desired: Desired) -> Result<Desired> {
        let id = Uuid::from(session);
        let before = self.query_opt(STORE, sql!("session", "desired"), &[&id])?;
        let before = before.ok_or_else(|| Error::no_such("session", session.to_string()))?;
        let desired = desired_of(get(&before, 0, STORE)?).then(desired);
        self.execute(STORE, sql!("session", "want"), &[&id, &i16::from(desired.number())])?;
        (self.wrote, self.change.desired) = (true, true);
        Ok(desired)
    }

    /// Marks a session dead: it claims nothing any more, and what it owns is reaped. Not if it has given a sign of life
    /// since it was `seen`. Answers whether it is dead.
    pub(crate) fn bury(&mut self, session: SessionId, seen: Option<Timestamp>) -> Result<bool> {
        const BURY: &str = "mark a session dead";
        let id = Uuid::from(session);
        let Some(row) = self.query_opt(BURY, sql!("session", "lock"), &[&id])? else { return Ok(false) };
        if get::<bool>(&row, 1, BURY)? {
            return Ok(true);
        }
        let expires_at = Timestamp::from_micros(get(&row, 0, BURY)?);
        if seen.is_some_and(|seen| seen != expires_at) {
            return Ok(false);
        }
        self.wrote = true;
        self.execute(BURY, sql!("session", "bury"), &[&id])?;
        Ok(true)
    }

    /// Removes a dead session that owns nothing; false if it still owns something.
    pub(crate) fn remove_session(&mut self, session: SessionId) -> Result<bool> {
        self.flush()?;
        let deleted =
            self.execute("remove a session", sql!("session", "delete_if_idle"), &[&Uuid::from(session)])?;
        self.wrote |= deleted > 0;
        Ok(deleted > 0)
    }

    /// All sessions, the dead ones included.
    pub(crate) fn known_sessions(&mut self) -> Result<Vec<Known>> {
        let rows = self.query(READ, sql!("session", "all"), &[])?;
        let known = |row: &Row| {
            Ok(Known {
                id: SessionId::from(get::<Uuid>(row, 0, READ)?),
                node: get(row, 1, READ)?,
                expires_at: Timestamp::from_micros(get(row, 2, READ)?),
                dead: get(row, 3, READ)?,
            })
        };
        rows.iter().map(known).collect()
    }
    /// Owners of jobs that are not among them. Nothing does that to a session, but a job that nobody reaps would be
    /// lost, so somebody looks.
    pub(crate) fn missing_sessions(&mut self) -> Result<Vec<Known>> {
        let rows = self.query(READ, sql!("session", "missing"), &[])?;
        let known = |row: &Row| {
            let id = SessionId::from(get::<Uuid>(row, 0, READ)?);
            tracing::error!(session = %id, "jobs are owned by a session that is not there; they are given back");
            Ok(Known { id, node: String::new(), expires_at: Timestamp::default(), dead: true })
        };
        rows.iter().map(known).collect()
    }
}

/// Decodes live sessions.
pub(crate) fn decode_all(rows: &[Row]) -> Result<Vec<Session>> {
    rows.iter().map(decode).collect()
}

fn decode(row: &Row) -> Result<Session> {
    let kinds: Vec<(Name, u64)> = serde_json::from_str(get(row, 3, READ)?).map_err(Error::decode)?;
    let queues: Vec<(Name, usize)> = serde_json::from_str(get(row, 4, READ)?).map_err(Error::decode)?;
    let about = match get::<Option<&str>>(row, 5, READ)? {
        Some(about) => serde_json::from_str(about).map_err(Error::decode)?,
        None => About::default(),
    };
    let (id, started_at) = (SessionId::from(get::<Uuid>(row, 0, READ)?), get(row, 2, READ)?);
    let started_at = Timestamp::from_micros(started_at);
    Ok(Session { id, node: get(row, 1, READ)?, started_at, kinds, queues, about })
}

/// Decodes sessions as others see them.
pub(crate) fn decode_nodes(rows: &[Row]) -> Result<Vec<Node>> {
    let node = |row: &Row| {
        let state: i16 = get(row, 6, READ)?;
        Ok(Node {
            session: decode(row)?,
            state: SessionState::of_number(u8::try_from(state).unwrap_or_default()),
            desired: desired_of(get(row, 7, READ)?),
            beat_at: get::<Option<i64>>(row, 8, READ)?.map(Timestamp::from_micros),
            lost: get(row, 9, READ)?,
            running: get::<i64>(row, 10, READ)?.unsigned_abs(),
        })
    };
    rows.iter().map(node).collect()
}

/// Decodes what is wanted of sessions.
pub(crate) fn decode_wanted(rows: &[Row]) -> Result<Vec<(SessionId, Desired)>> {
    let wanted =
        |row: &Row| Ok((SessionId::from(get::<Uuid>(row, 0, READ)?), desired_of(get(row, 1, READ)?)));
    rows.iter().map(wanted).collect()
}

fn desired_of(number: i16) -> Desired {
    Desired::of_number(u8::try_from(number).unwrap_or_default())
}
