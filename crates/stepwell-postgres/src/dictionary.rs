//! Names as the small integers that rows hold, kept in memory.

use foldhash::{HashMap, HashSet};
use stepwell_core::{Name, Phases};

use crate::{connection::Conn, error::Failure, sql::sql};

/// Entries after which the dictionary begins anew. Applications have a handful of names; one that makes a queue per
/// customer must not fill the memory with them.
const ENTRIES_MAX: usize = 50_000;
/// Lists of phases that are kept decoded. There is one for each kind and plan whose jobs wait.
const LISTS_MAX: usize = 16;

/// What a connection knows of names. An entry never changes once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    ids: HashMap<Name, i32>,
    names: HashMap<i32, Name>,
    lists: Vec<(String, Phases)>,
}

type Asked<T> = Result<T, Failure>;

impl Dictionary {
    /// Forgets everything. After a rollback, entries may name rows that never were.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The number of a name, if it has one.
    pub(crate) fn find(&mut self, conn: &mut Conn, name: &Name) -> Asked<Option<i32>> {
        self.find_all(conn, std::iter::once(name))?;
        Ok(self.ids.get(name).copied())
    }
    /// Looks up those that are not known yet, all at once.
    pub(crate) fn find_all<'a>(
        &mut self,
        conn: &mut Conn,
        names: impl Iterator<Item = &'a Name>,
    ) -> Asked<()> {
        self.make_room();
        let unknown: HashSet<&str> =
            names.filter(|name| !self.ids.contains_key(*name)).map(|name| &**name).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<&str> = unknown.into_iter().collect();
        self.remember_all(conn.query(sql!("meta", "name_id"), &[&unknown])?)
    }
    /// Gives a name that has none a number. In a write transaction only.
    pub(crate) fn add(&mut self, conn: &mut Conn, name: &Name) -> Asked<i32> {
        loop {
            // If another node has just given it one, the second look finds it.
            if let Some(row) = conn.query_opt(sql!("meta", "insert_name"), &[&&**name])? {
                let id = row.try_get(0)?;
                self.remember(id, name.clone());
                return Ok(id);
            }
            if let Some(id) = self.find(conn, name)? {
                return Ok(id);
            }
        }
    }
    /// Looks up the names with these numbers, all at once.
    pub(crate) fn learn(&mut self, conn: &mut Conn, ids: impl Iterator<Item = i32>) -> Asked<()> {
        // Before it is said what is unknown: those that are forgotten here are asked for as well.
        self.make_room();
        let unknown: HashSet<i32> = ids.filter(|id| !self.names.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<i32> = unknown.into_iter().collect();
        self.remember_all(conn.query(sql!("meta", "name_of"), &[&unknown])?)
    }
    /// The name with this number, if it was looked up.
    pub(crate) fn name(&self, id: i32) -> Option<Name> {
        self.names.get(&id).cloned()
    }
    /// Forgets everything if there is too much. It may be more by what one question adds.
    fn make_room(&mut self) {
        if self.ids.len() >= ENTRIES_MAX {
            self.clear();
        }
    }
    fn remember_all(&mut self, rows: Vec<tokio_postgres::Row>) -> Asked<()> {
        for row in rows {
            self.remember(row.try_get(0)?, row.try_get::<_, &str>(1)?.into());
        }
        Ok(())
    }
    fn remember(&mut self, id: i32, name: Name) {
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name);
    }

    /// Phases as they are stored. The jobs of a plan that have not run all have the same, and most rows that are read
    /// together are such jobs.
    pub(crate) fn phases(&mut self, text: &str) -> serde_json::Result<Phases> {
        if let Some((_, phases)) = self.lists.iter().find(|(known, _)| known == text) {
            return Ok(phases.clone());
        }
        let phases: Phases = serde_json::from_str(text)?;
        if phases.iter().all(|phase| phase.started_at.is_none()) {
            if self.lists.len() >= LISTS_MAX {
                self.lists.clear();
            }
            self.lists.push((text.to_owned(), phases.clone()));
        }
        Ok(phases)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stepwell_postgres_rig::Database;

    use super::*;
    use crate::{Postgres, PostgresOptions, target::Target};

    #[test]
    fn a_dictionary_that_begins_anew_knows_what_it_was_asked_for() {
        let database = Database::create().unwrap();
        let options = PostgresOptions::new(database.url(), [7; 16]);
        drop(Postgres::open(&options).unwrap());
        let mut conn = Conn::new(Arc::new(Target::new(&options).unwrap())).unwrap();
        conn.connect().unwrap();
        let mut dictionary = Dictionary::default();
        let known = dictionary.add(&mut conn, &"known".into()).unwrap();
        let unknown = Dictionary::default().add(&mut conn, &"unknown".into()).unwrap();
        for n in (1_000_000..).take(ENTRIES_MAX - 1) {
            dictionary.remember(n, n.to_string().into());
        }
        dictionary.learn(&mut conn, [known, unknown].into_iter()).unwrap();
        assert_eq!(dictionary.name(known).as_deref(), Some("known"));
        assert_eq!(dictionary.name(unknown).as_deref(), Some("unknown"));
    }
}
