//! The schema: numbered migrations, each run once, recorded with its checksum.

use std::fmt::Write as _;

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use stepwell_core::{Error, Result, Timestamp, store::Schema};

use crate::{error, sql::sql};

struct Migration {
    version: i64,
    name: &'static str,
    text: &'static str,
}

/// All of them, in order. One that was released is never edited.
const MIGRATIONS: [Migration; 5] = [
    Migration { version: 1, name: "initial", text: include_str!("../migrations/0001_initial.sql") },
    Migration { version: 2, name: "settings", text: include_str!("../migrations/0002_settings.sql") },
    Migration { version: 3, name: "queue_limits", text: include_str!("../migrations/0003_queue_limits.sql") },
    Migration { version: 4, name: "nodes", text: include_str!("../migrations/0004_nodes.sql") },
    Migration { version: 5, name: "copy", text: include_str!("../migrations/0005_copy.sql") },
];

impl Migration {
    fn sha256(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().fold(String::new(), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Which schema a file has, without bringing it up to date; none if it has none.
pub(crate) fn standing(conn: &Connection) -> Result<Option<Schema>> {
    let read = || {
        let exists: bool = conn.query_row(sql!("migration", "exists"), [], |row| row.get(0))?;
        match exists {
            true => conn.query_row(sql!("migration", "version"), [], |row| row.get::<_, Option<u32>>(0)),
            false => Ok(None),
        }
    };
    let version = read().map_err(|error| error::from("read the schema's version", error))?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    Ok(version.map(|version| Schema { version, known }))
}

/// Brings the schema up to this release. The caller has begun a write transaction, and commits it.
pub(crate) fn run(conn: &Connection, generation: [u8; 16], now: Timestamp) -> Result<()> {
    let read = |error| error::from("read the schema's version", error);
    let exists: bool = conn.query_row(sql!("migration", "exists"), [], |row| row.get(0)).map_err(read)?;
    let applied = if exists { applied(conn).map_err(read)? } else { Vec::new() };
    check(&applied)?;
    for migration in &MIGRATIONS[applied.len()..] {
        let apply = || {
            conn.execute_batch(migration.text)?;
            if migration.version == 1 {
                conn.execute(sql!("migration", "create"), [])?;
                conn.execute(sql!("meta", "create"), params![generation, now.as_micros()])?;
            }
            let row = params![migration.version, migration.name, migration.sha256(), now.as_micros()];
            conn.execute(sql!("migration", "record"), row)
        };
        apply().map_err(error::of("bring the schema up to date"))?;
    }
    Ok(())
}

type Applied = (i64, String, String);

fn applied(conn: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let mut statement = conn.prepare(sql!("migration", "applied"))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect::<rusqlite::Result<Vec<_>>>()
}

fn check(applied: &[Applied]) -> Result<()> {
    for (nth, (version, name, sha256)) in applied.iter().enumerate() {
        let Some(migration) = MIGRATIONS.get(nth) else {
            let known = MIGRATIONS.len();
            return Err(Error::refused(format!(
                "the database has schema version {version} (`{name}`), and this release knows versions up to \
                 {known}: a newer \
                 release of Stepwell has opened it; use that release or a later one, or another file"
            )));
        };
        if *version != migration.version || *sha256 != migration.sha256() {
            return Err(Error::refused(format!(
                "schema version {version} (`{name}`) of the database is not the one that this release was built with \
                 (`{}`): the file comes from another build; use that one, or another file",
                migration.name
            )));
        }
    }
    Ok(())
}
