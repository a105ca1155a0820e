//! One connection, set up as every connection of this store is.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use stepwell_core::{Error, Result};

use crate::{
    error,
    lock::{Patience, Turn},
    options::{Durability, SqliteOptions},
};

/// The oldest SQLite without the bug that could reset a write-ahead log that was still needed.
const LIBRARY_MIN: i32 = 3_051_003;
/// Pages in the write-ahead log after which SQLite moves them into the file.
const CHECKPOINT_PAGES: u32 = 4_000;
/// The write-ahead log's size that is kept, and beyond which it is emptied by force.
pub(crate) const WAL_BYTES_MAX: u64 = 64 << 20;
/// Statements that a connection keeps prepared: all that there are.
const STATEMENTS_MAX: usize = 160;

/// Refuses a library that would damage the file.
pub(crate) fn check_library(version: i32, text: &str) -> Result<()> {
    if version < LIBRARY_MIN {
        return Err(Error::refused(format!(
            "SQLite {text} can lose committed data when several connections use a write-ahead log; Stepwell \
             needs 3.51.3 or \
             later: build with the feature `bundled`, or link a newer library"
        )));
    }
    Ok(())
}

/// Opens the writing connection. Creates the file if there is none.
pub(crate) fn writer(path: &Path, options: &SqliteOptions, turn: &Turn) -> Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(error::of("open the database"))?;
    let patience = Patience::new(options.busy_deadline);
    loop {
        match set_up_writer(&conn, options) {
            Ok(()) => break,
            Err(failure) if error::is_busy(&failure) => {
                if !patience.wait() {
                    return Err(Error::busy(turn.foreign_holder(), options.busy_deadline));
                }
            }
            Err(failure) => return Err(error::from("set up the database", failure)),
        }
    }
    // SQLite opens what it may not write for reading, and says nothing until the first write.
    match conn.is_readonly("main") {
        Ok(false) => Ok(conn),
        Ok(true) => Err(Error::refused(format!(
            "the database {} cannot be written; give this user write permission on the file and its directory",
            path.display()
        ))),
        Err(failure) => Err(error::from("set up the database", failure)),
    }
}

fn set_up_writer(conn: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    set_up(conn)?;
    // Waiting is done where others can be given their turn.
    conn.busy_timeout(std::time::Duration::ZERO)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
            Some(format!("it stays in journal mode `{mode}`, and Stepwell needs a write-ahead log")),
        ));
    }
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // Only these reach the disk itself on macOS; elsewhere they mean nothing.
    conn.pragma_update(None, "fullfsync", true)?;
    conn.pragma_update(None, "checkpoint_fullfsync", true)?;
    // A store with threads has one for that.
    let checkpoint_pages = if options.inline { CHECKPOINT_PAGES } else { 0 };
    conn.pragma_update(None, "wal_autocheckpoint", checkpoint_pages)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES_MAX.cast_signed())?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    if let Some(pages) = options.page_limit {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// Opens a reading connection.
pub(crate) fn reader(path: &Path, options: &SqliteOptions) -> Result<Connection> {
    // Reading a write-ahead log writes to its index, so the file itself is not opened read-only.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        // A reader waits for nobody but a process that recovers the log after a crash.
        conn.busy_timeout(options.busy_deadline)?;
        set_up(&conn)?;
        conn.pragma_update(None, "cache_size", -2_048)?;
        conn.pragma_update(None, "query_only", true)?;
        Ok(conn)
    };
    open().map_err(error::of("open the database for reading"))
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // An I/O error behind a memory map is a signal, and not an error.
    conn.query_row("PRAGMA mmap_size = 0", [], |_| Ok(())).or_else(no_rows)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")
}

fn no_rows(failure: rusqlite::Error) -> rusqlite::Result<()> {
    match failure {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        failure => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_library_is_refused_with_the_fix() {
        let error = check_library(3_046_000, "3.46.0").unwrap_err();
        assert!(error.is_refused() && error.to_string().contains("feature `bundled`"), "{error}");
        check_library(LIBRARY_MIN, "3.51.3").unwrap();
        check_library(rusqlite::version_number(), rusqlite::version()).unwrap();
    }
}
