//! The schema: numbered migrations, each run once, recorded with its checksum.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use stepwell_core::{Error, Result, Timestamp, store::Schema};
use uuid::Uuid;

use crate::{
    connection::Conn,
    error::{self, Failure},
    sql::sql,
};

struct Migration {
    version: i32,
    name: &'static str,
    text: &'static str,
    /// Whether nodes that know only the versions before it may go on.
    compatible: bool,
}

/// All of them, in order. One that was released is never edited.
const MIGRATIONS: [Migration; 9] = [
    Migration {
        version: 1,
        name: "initial",
        text: include_str!("../migrations/0001_initial.sql"),
        compatible: false,
    },
    Migration {
        version: 2,
        name: "committers",
        text: include_str!("../migrations/0002_committers.sql"),
        compatible: true,
    },
    Migration {
        version: 3,
        name: "days",
        text: include_str!("../migrations/0003_days.sql"),
        compatible: true,
    },
    Migration {
        version: 4,
        name: "queue_limits",
        text: include_str!("../migrations/0004_queue_limits.sql"),
        compatible: true,
    },
    Migration {
        version: 5,
        name: "open_day",
        text: include_str!("../migrations/0005_open_day.sql"),
        compatible: true,
    },
    Migration {
        version: 6,
        name: "nodes",
        text: include_str!("../migrations/0006_nodes.sql"),
        compatible: true,
    },
    Migration {
        version: 7,
        name: "copy",
        text: include_str!("../migrations/0007_copy.sql"),
        compatible: true,
    },
    Migration {
        version: 8,
        name: "complete_in",
        text: include_str!("../migrations/0008_complete_in.sql"),
        compatible: true,
    },
    Migration {
        version: 9,
        name: "generation",
        text: include_str!("../migrations/0009_generation.sql"),
        compatible: true,
    },
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

pub(crate) struct Applied {
    pub(crate) version: i32,
    name: String,
    sha256: String,
    compatible: bool,
}

pub(crate) const READ: &str = "read the schema's version";

/// What a version is to this release.
pub(crate) fn standing(version: i32) -> Schema {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    Schema { version: u32::try_from(version).unwrap_or(0), known }
}

/// Brings the schema up to this release. Of several nodes that start together, one does it and the others wait.
pub(crate) fn run(conn: &mut Conn, generation: [u8; 16], now: Timestamp) -> Result<()> {
    // Nearly always there is nothing to do, and no lock to be waited for.
    let applied = applied(conn).map_err(error::of(READ))?;
    check(&applied)?;
    if applied.len() >= MIGRATIONS.len() {
        return Ok(());
    }
    let failed = error::of("bring the schema up to date");
    conn.run("BEGIN ISOLATION LEVEL READ COMMITTED").map_err(&failed)?;
    conn.query(sql!("migration", "begin"), &[]).map_err(&failed)?;
    let applied = self::applied(conn).map_err(&failed)?;
    check(&applied)?;
    for migration in MIGRATIONS.get(applied.len()..).unwrap_or_default() {
        apply(conn, migration, generation, now).map_err(&failed)?;
    }
    conn.commit(None).map(drop).map_err(&failed)
}

fn apply(
    conn: &mut Conn,
    migration: &Migration,
    generation: [u8; 16],
    now: Timestamp,
) -> std::result::Result<(), Failure> {
    let now = now.as_micros();
    if migration.version == 1 {
        let schema = conn.schema().to_owned();
        let there = conn.query_opt(sql!("migration", "has_schema"), &[&schema])?;
        if !there.map_or(Ok(false), |row| row.try_get(0))? {
            conn.run(&format!("CREATE SCHEMA {schema}"))?;
        }
        conn.run_file(sql!("migration", "create"))?;
    }
    conn.run_file(migration.text)?;
    if migration.version == 1 {
        conn.execute(sql!("meta", "create"), &[&Uuid::from_bytes(generation), &now])?;
    }
    let Migration { version, name, compatible, .. } = migration;
    conn.execute(sql!("migration", "record"), &[version, name, &migration.sha256(), compatible, &now])?;
    Ok(())
}

/// Whether there is a store in the schema.
pub(crate) fn exists(conn: &mut Conn) -> std::result::Result<bool, Failure> {
    let schema = conn.schema().to_owned();
    let exists = conn.query_opt(sql!("migration", "exists"), &[&schema])?;
    Ok(exists.map_or(Ok(false), |row| row.try_get(0))?)
}

pub(crate) fn applied(conn: &mut Conn) -> std::result::Result<Vec<Applied>, Failure> {
    if !exists(conn)? {
        return Ok(Vec::new());
    }
    let rows = conn.query(sql!("migration", "applied"), &[])?;
    let applied = |row: &tokio_postgres::Row| {
        let (version, name, sha256, compatible) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok(Applied { version, name, sha256, compatible })
    };
    rows.iter().map(applied).collect()
}

fn check(applied: &[Applied]) -> Result<()> {
    for (nth, Applied { version, name, sha256, compatible }) in applied.iter().enumerate() {
        let Some(migration) = MIGRATIONS.get(nth) else {
            if *compatible {
                continue;
            }
            let known = MIGRATIONS.len();
            return Err(Error::refused(format!(
                "the database has schema version {version} (`{name}`), and this release knows versions up to {known}: \
                 a newer release of Stepwell has opened it; use that release or a later one, or another schema"
            )));
        };
        if *version != migration.version || *sha256 != migration.sha256() {
            return Err(Error::refused(format!(
                "schema version {version} (`{name}`) of the database is not the one that this release was built with \
                 (`{}`): the schema comes from another build; use that one, or another schema",
                migration.name
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied_here() -> Vec<Applied> {
        let applied = |migration: &Migration| Applied {
            version: migration.version,
            name: migration.name.into(),
            sha256: migration.sha256(),
            compatible: migration.compatible,
        };
        MIGRATIONS.iter().map(applied).collect()
    }

    #[test]
    fn a_newer_schema_is_refused_unless_it_says_that_it_may_be_used() {
        let mut applied = applied_here();
        check(&applied).unwrap();
        let version = i32::try_from(applied.len()).unwrap() + 1;
        applied.push(Applied { version, name: "next".into(), sha256: "0".into(), compatible: true });
        check(&applied).unwrap();
        applied[MIGRATIONS.len()].compatible = false;
        assert!(check(&applied).unwrap_err().is_refused());
    }

    #[test]
    fn the_schema_of_another_build_is_refused() {
        let mut applied = applied_here();
        applied[0].sha256 = "0".into();
        assert!(check(&applied).unwrap_err().to_string().contains("another build"));
    }
}
