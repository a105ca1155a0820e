//! Names and sessions as the small integers that rows hold, kept in memory.

use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, params};
use stepwell_core::{Name, Phases, Result, SessionId};

use crate::{error, sql::sql, tables::row};

/// Entries after which the dictionary begins anew. Applications have a handful of names; one that makes a queue per
/// customer must not fill the memory with them.
const ENTRIES_MAX: usize = 50_000;
/// Lists of phases that are kept decoded. There is one for each kind and plan whose jobs wait.
const LISTS_MAX: usize = 16;

/// What a connection knows of names and sessions. An entry never changes once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    ids: HashMap<Name, i64>,
    names: HashMap<i64, Name>,
    sessions: HashMap<i64, SessionId>,
    numbers: HashMap<SessionId, i64>,
    lists: Vec<(String, Phases)>,
}

impl Dictionary {
    /// Forgets everything. After a rollback, entries may name rows that never were.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The number of a name, if it has one.
    pub(crate) fn find(&mut self, conn: &Connection, name: &Name) -> Result<Option<i64>> {
        if let Some(id) = self.ids.get(name) {
            return Ok(Some(*id));
        }
        let find = || {
            conn.prepare_cached(sql!("meta", "name_id"))?.query_row([&**name], |row| row.get(0)).optional()
        };
        let id: Option<i64> = find().map_err(error::of("look up a name"))?;
        if let Some(id) = id {
            self.remember(id, name.clone());
        }
        Ok(id)
    }
    /// Gives a name that has none a number. In a write transaction only.
    pub(crate) fn add(&mut self, conn: &Connection, name: &Name) -> Result<i64> {
        let insert = || conn.prepare_cached(sql!("meta", "insert_name"))?.insert([&**name]);
        let id = insert().map_err(error::of("store a name"))?;
        self.remember(id, name.clone());
        Ok(id)
    }
    /// The name with this number.
    pub(crate) fn name(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<Name> {
        if let Some(name) = self.names.get(&id) {
            return Ok(name.clone());
        }
        let name: Name = conn.prepare_cached(sql!("meta", "name_of"))?.query_row([id], |row| row.get(0))?;
        self.remember(id, name.clone());
        Ok(name)
    }
    fn remember(&mut self, id: i64, name: Name) {
        if self.ids.len() >= ENTRIES_MAX {
            self.clear();
        }
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name);
    }

    /// Phases as they are stored. The jobs of a plan that have not run all have the same, and most rows that are read
    /// together are such jobs.
    pub(crate) fn phases(&mut self, column: usize, text: &str) -> rusqlite::Result<Phases> {
        if let Some((_, phases)) = self.lists.iter().find(|(known, _)| known == text) {
            return Ok(phases.clone());
        }
        let phases: Phases = row::json(column, text)?;
        if phases.iter().all(|phase| phase.started_at.is_none()) {
            if self.lists.len() >= LISTS_MAX {
                self.lists.clear();
            }
            self.lists.push((text.to_owned(), phases.clone()));
        }
        Ok(phases)
    }

    /// The number of a session; none if it is gone.
    pub(crate) fn number(&mut self, conn: &Connection, session: SessionId) -> Result<Option<i64>> {
        if let Some(n) = self.numbers.get(&session) {
            return Ok(Some(*n));
        }
        let find = || {
            let mut statement = conn.prepare_cached(sql!("session", "n_of"))?;
            statement.query_row(params![&session.as_bytes()[..]], |row| row.get(0)).optional()
        };
        let n: Option<i64> = find().map_err(error::of("look up a session"))?;
        if let Some(n) = n {
            self.remember_session(n, session);
        }
        Ok(n)
    }
    /// The session with this number.
    pub(crate) fn session(&mut self, conn: &Connection, n: i64) -> rusqlite::Result<SessionId> {
        if let Some(session) = self.sessions.get(&n) {
            return Ok(*session);
        }
        let bytes = conn.prepare_cached(sql!("session", "id_of"))?.query_row([n], |row| row.get(0))?;
        let session = SessionId::from_bytes(bytes);
        self.remember_session(n, session);
        Ok(session)
    }
    fn remember_session(&mut self, n: i64, session: SessionId) {
        if self.numbers.len() >= ENTRIES_MAX {
            self.clear();
        }
        self.sessions.insert(n, session);
        self.numbers.insert(session, n);
    }
}
