//! How a store is doing, as operators want to know.

use std::{path::Path, time::Duration};

use rusqlite::Connection;
use stepwell_core::{
    Clock, Result, SessionId, Timestamp,
    store::{Disk, Health, Late},
};

use crate::{error, live::Live, lock::beside, migrate, sql::sql};

/// What bears on whether a session is late.
pub(crate) struct Beats<'a> {
    pub(crate) live: &'a Live,
    pub(crate) clock: &'a Clock,
    pub(crate) ttl: Duration,
}

/// How the store in this file is doing.
pub(crate) fn of(conn: &Connection, path: &Path, beats: &Beats<'_>) -> Result<Health> {
    let schema = migrate::standing(conn)?;
    let late = late(conn, beats).map_err(error::of("look at the sessions"))?;
    Ok(Health { schema, disk: Some(disk(path)), ..Health::default() }.with_late(late))
}

fn late(conn: &Connection, beats: &Beats<'_>) -> rusqlite::Result<Vec<Late>> {
    let mut statement = conn.prepare_cached(sql!("session", "owners"))?;
    let mut rows = statement.query([])?;
    let mut late = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, slot) = (SessionId::from_bytes(row.get(0)?), row.get(1)?);
        let overdue = match beats.live.last_beat(id, slot) {
            Some(beat) => beats.live.time().saturating_sub(beat + beats.ttl),
            // It has given a sign of life before it was listed; if that is gone, so is everything that speaks for it.
            None => beats.clock.now().since(Timestamp::from_micros(row.get(3)?)),
        };
        let jobs = u64::try_from(row.get::<_, i64>(4)?).unwrap_or(0);
        if overdue > Duration::ZERO {
            late.push(Late { node: row.get(2)?, overdue, jobs });
        }
    }
    Ok(late)
}

fn disk(path: &Path) -> Disk {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Disk { bytes: size(path), log_bytes: size(&beside(path, "-wal")), free_bytes: free_bytes(directory) }
}

#[cfg(unix)]
fn free_bytes(directory: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(directory).ok()?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_directory: &Path) -> Option<u64> {
    None
}
