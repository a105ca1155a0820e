//! What follows an unclean stop.

use std::{path::Path, sync::Arc};

use rusqlite::Connection;
use stepwell_core::{Error, Result};

use crate::{
    error,
    ledger::Ledger,
    maintain,
    session::{Known, Sessions},
    writer::{Shared, Writer},
};

/// Files up to this size are checked before the store opens, larger ones while it runs.
const CHECK_FIRST_BYTES_MAX: u64 = 64 << 20;

/// Sessions that were left behind, if nobody else has the file open: then the last stop was unclean.
pub(crate) fn left_behind(ledger: &Ledger, sessions: &Sessions) -> Result<Vec<Known>> {
    let known = ledger.known_sessions()?;
    match known.iter().all(|known| sessions.is_gone(known.id)) {
        true => Ok(known),
        false => Ok(Vec::new()),
    }
}

/// Checks the file after an unclean stop: at once, or in the background if it is large.
pub(crate) fn check(path: &Path, reader: Connection, shared: &Arc<Shared>) -> Result<()> {
    if std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECK_FIRST_BYTES_MAX) {
        return quick_check(&reader);
    }
    let shared = shared.clone();
    let thread = std::thread::Builder::new().name("stepwell-check".into());
    let check = move || {
        if let Err(damage) = quick_check(&reader) {
            shared.give_up(&damage);
        }
    };
    thread.spawn(check).map(drop).map_err(|error| Error::storage("start the check of the file", error))
}

/// Whether the file is sound.
pub(crate) fn quick_check(conn: &Connection) -> Result<()> {
    let found: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(error::of("check the database after an unclean stop"))?;
    match found == "ok" {
        true => Ok(()),
        false => Err(Error::fatal(format!(
            "the database is damaged (found by the check after an unclean stop: {}); stop every program that \
             uses the file, \
             keep a copy of it, and restore a backup",
            found.replace('\n', " ")
        ))),
    }
}

/// Takes in the inbox, and takes the jobs of every session whose process is gone. Answers with how many jobs it took.
pub(crate) fn reap_gone(writer: &mut Writer, sessions: &Arc<Sessions>) -> Result<usize> {
    if writer.ledger.known_sessions()?.is_empty() {
        return Ok(0);
    }
    while writer.run(maintain::take_in)? == maintain::STEP_MAX {}
    let all = sessions.clone();
    let dead = writer.run(move |ledger| maintain::find_dead(ledger, &all, None, 0))?;
    let mut reaped = 0;
    for known in dead {
        loop {
            let session = known.clone();
            let (jobs, gone) = writer.run(move |ledger| maintain::reap(ledger, &session, 0.5))?;
            reaped += jobs;
            if jobs < maintain::STEP_MAX || gone {
                break;
            }
        }
        writer.ledger.live.bury(known.id, known.slot)?;
        sessions.release(known.id);
    }
    Ok(reaped)
}
