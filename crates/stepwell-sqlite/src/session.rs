//! Sessions: who is alive, and how the others know.
//!
//! A session holds a lock file beside the database for as long as its process lives. Whoever can take that lock knows
//! at
//! once that the process is gone. A process that is there but does not move is found by its heartbeat; that takes
//! longer,
//! and two looks.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions, TryLockError},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use stepwell_core::{
    Error, Result, SessionId, Timestamp,
    session::{About, Desired, Node, Session, SessionState},
};

use crate::{error, ledger::Ledger, live::Live, lock::beside, sql::sql, tables};

/// The lock files of the sessions of this process, and what it has seen of the others.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) database: PathBuf,
    pub(crate) ttl: Duration,
    held: Mutex<HashMap<SessionId, File>>,
    sightings: Mutex<HashMap<SessionId, Sighting>>,
}

/// When a session was first seen without a fresh heartbeat.
#[derive(Clone, Copy, Debug)]
struct Sighting {
    at: Duration,
    beat: Option<Duration>,
    /// How often this process had got the write lock by then.
    turns: u64,
}

/// A session as the store records it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: SessionId,
    pub(crate) slot: u32,
    pub(crate) node: String,
    pub(crate) dead: bool,
}

impl Sessions {
    pub(crate) fn new(database: PathBuf, ttl: Duration) -> Self {
        Self { database, ttl, held: Mutex::default(), sightings: Mutex::default() }
    }

    fn lock_path(&self, session: SessionId) -> PathBuf {
        beside(&self.database, &format!("-session-{session}"))
    }
    /// Creates and takes the lock file of a new session of this process.
    pub(crate) fn hold(&self, session: SessionId) -> Result<()> {
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session) {
            return Ok(());
        }
        let refused = |error| Error::storage("lock the session's lock file", error);
        let path = self.lock_path(session);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::invalid("session id", format!("{session} is in use; make a new one")));
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(session, file);
        Ok(())
    }
    /// Gives a lock file back, and removes it.
    pub(crate) fn release(&self, session: SessionId) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
        // A file that cannot be removed is litter, and no more.
        drop(std::fs::remove_file(self.lock_path(session)));
        drop(held);
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
    }
    /// Gives back those that are left, of sessions that could not be closed: whoever looks finds that nothing of them
    /// runs.
    pub(crate) fn release_all(&self) {
        let held: Vec<_> = self.held.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for session in held {
            self.release(session);
        }
    }
    /// Whether the process of a session is gone: its lock can be taken, or its file is no more.
    pub(crate) fn is_gone(&self, session: SessionId) -> bool {
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&session) {
            return false;
        }
        match OpenOptions::new().write(true).open(self.lock_path(session)) {
            Ok(file) => file.try_lock().is_ok(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Adds to a session what its signs of life say.
    pub(crate) fn look_at(&self, node: &mut Node, slot: u32, live: &Live, now: Timestamp) {
        let (time, id) = (live.time(), node.session.id);
        let beat = live.last_beat(id, slot).filter(|beat| *beat <= time);
        node.beat_at = beat.map(|beat| now - (time - beat));
        let is_fresh = beat.is_some_and(|beat| time - beat < self.ttl);
        node.lost |= !is_fresh || self.is_gone(id);
    }

    /// Whether a session whose process may be there is dead: without a fresh heartbeat, and still without one at a
    /// second look, a third of its life later, after the write lock was ours once more, whether or not there was
    /// anything to write. A machine that slept, or a file that was locked for long, thus buries nobody who is about to
    /// beat again.
    pub(crate) fn is_stale(&self, known: &Known, live: &Live, turns: u64) -> bool {
        let now = live.time();
        let beat = live.last_beat(known.id, known.slot);
        // A beat from the future is from before the machine was started again.
        let fresh = beat.is_some_and(|beat| beat <= now && now - beat < self.ttl);
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh {
            sightings.remove(&known.id);
            return false;
        }
        if live.is_manual() {
            // Nobody was held up: a test turned the clock.
            return true;
        }
        let first = *sightings.entry(known.id).or_insert(Sighting { at: now, beat, turns });
        if first.beat != beat {
            sightings.insert(known.id, Sighting { at: now, beat, turns });
            return false;
        }
        now.saturating_sub(first.at) >= self.ttl / 3 && turns > first.turns
    }
}

impl Ledger {
    /// Stores a new session, and gives it a slot with a first beat; or stores what a live one says of itself now.
    pub(crate) fn open_session(&mut self, session: &Session) -> Result<()> {
        let kinds = serde_json::to_string(&session.kinds).map_err(Error::encode)?;
        let queues = serde_json::to_string(&session.queues).map_err(Error::encode)?;
        let about = serde_json::to_string(&session.about).map_err(Error::encode)?;
        match self.known_sessions()?.iter().find(|known| known.id == session.id) {
            Some(known) if known.dead => return Err(Error::lease_lost()),
            Some(_) => {
                self.wrote = true;
                let id = &session.id.as_bytes()[..];
                let update = || {
                    let mut statement = self.conn.prepare_cached(sql!("session", "update"))?;
                    statement.execute(params![id, session.node, kinds, queues, about])
                };
                return update().map(drop).map_err(error::of("store a session"));
            }
            None => {}
        }
        let slot = || self.conn.query_row(sql!("session", "free_slot"), [], |row| row.get(0));
        let slot: u32 = slot().map_err(error::of("find a slot for a session"))?;
        self.live.enter(session.id, slot)?;
        self.wrote = true;
        let key = self.head.new_key();
        let insert = || {
            self.conn.prepare_cached(sql!("session", "insert"))?.execute(params![
                key,
                &session.id.as_bytes()[..],
                slot,
                std::process::id(),
                session.node,
                session.started_at.as_micros(),
                kinds,
                queues,
                about,
            ])
        };
        insert().map(drop).map_err(error::of("store a session"))
    }

    /// Stores how a live session is.
    pub(crate) fn tell(&mut self, session: SessionId, state: SessionState) -> Result<()> {
        let tell = || {
            let mut statement = self.conn.prepare_cached(sql!("session", "tell"))?;
            statement.execute(params![&session.as_bytes()[..], state.number()])
        };
        self.wrote |= tell().map_err(error::of("store the state of a session"))? > 0;
        Ok(())
    }
    /// Stores what is wanted of a live session, and answers with it.
    pub(crate) fn want(&mut self, session: SessionId, desired: Desired) -> Result<Desired> {
        let id = &session.as_bytes()[..];
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("session", "desired"))?;
            statement.query_row([id], |row| row.get::<_, u8>(0)).optional()
        };
        let before = read().map_err(error::of("look up a session"))?;
        let before = before.ok_or_else(|| Error::no_such("session", session.to_string()))?;
        let desired = Desired::of_number(before).then(desired);
        let want =
            || self.conn.prepare_cached(sql!("session", "want"))?.execute(params![id, desired.number()]);
        want().map_err(error::of("store what is wanted of a session"))?;
        (self.wrote, self.change.desired) = (true, true);
        Ok(desired)
    }

    /// Marks a session dead: it claims nothing any more, and what it owns is reaped.
    pub(crate) fn bury(&mut self, session: SessionId) -> Result<()> {
        self.wrote = true;
        let bury = || self.conn.prepare_cached(sql!("session", "bury"))?.execute([&session.as_bytes()[..]]);
        bury().map(drop).map_err(error::of("mark a session dead"))
    }

    /// Removes a session that owns nothing; false if it still owns something.
    pub(crate) fn remove_session(&mut self, session: SessionId) -> Result<bool> {
        let delete = || {
            self.conn.prepare_cached(sql!("session", "delete_if_idle"))?.execute([&session.as_bytes()[..]])
        };
        let deleted = delete().map_err(error::of("remove a session"))?;
        // One that is kept for the sake of a damaged row must not cost a commit, and a look of all other processes, in
        // every pass.
        self.wrote |= deleted > 0;
        Ok(deleted > 0)
    }

    /// All sessions, the dead ones included.
    pub(crate) fn known_sessions(&self) -> Result<Vec<Known>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("session", "all"))?;
            let sessions = statement.query_map([], |row| {
                Ok(Known {
                    id: SessionId::from_bytes(row.get(0)?),
                    slot: row.get(1)?,
                    node: row.get(2)?,
                    dead: row.get(3)?,
                })
            })?;
            sessions.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("read the sessions"))
    }
}

/// The live sessions.
pub(crate) fn live(conn: &Connection) -> rusqlite::Result<Vec<Session>> {
    let mut statement = conn.prepare_cached(sql!("session", "live"))?;
    let sessions = statement.query_map([], session)?;
    sessions.collect::<rusqlite::Result<Vec<_>>>()
}

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let about: Option<String> = row.get(5)?;
    Ok(Session {
        id: SessionId::from_bytes(row.get(0)?),
        node: row.get(1)?,
        started_at: Timestamp::from_micros(row.get(2)?),
        kinds: tables::row::json(3, row.get_ref(3)?.as_str()?)?,
        queues: tables::row::json(4, row.get_ref(4)?.as_str()?)?,
        about: about.map_or_else(|| Ok(About::default()), |about| tables::row::json(5, &about))?,
    })
}

/// What is wanted of each live session.
pub(crate) fn wanted(conn: &Connection) -> rusqlite::Result<Vec<(SessionId, Desired)>> {
    let mut statement = conn.prepare_cached(sql!("session", "wanted"))?;
    let wanted = statement
        .query_map([], |row| Ok((SessionId::from_bytes(row.get(0)?), Desired::of_number(row.get(1)?))))?;
    wanted.collect()
}

/// All sessions as the file has them, each with its slot. Of their signs of life it knows nothing.
pub(crate) fn nodes(conn: &Connection) -> rusqlite::Result<Vec<(Node, u32)>> {
    let mut statement = conn.prepare_cached(sql!("session", "nodes"))?;
    let nodes = statement.query_map([], |row| {
        let node = Node {
            session: session(row)?,
            state: SessionState::of_number(row.get(6)?),
            desired: Desired::of_number(row.get(7)?),
            beat_at: None,
            lost: row.get(9)?,
            running: row.get::<_, i64>(10)?.unsigned_abs(),
        };
        Ok((node, row.get(8)?))
    })?;
    nodes.collect()
}
