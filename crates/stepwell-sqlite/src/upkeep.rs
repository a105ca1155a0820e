//! What is done to a whole file, beside whatever works on it: check, back up, compact; and a file made from a backup.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, params};
use stepwell_core::{Error, Result, store::Schema};

use crate::{
    closing::Closing,
    connection, error,
    lock::{Patience, Turn, beside},
    migrate,
    sql::sql,
};

/// How long a file may be held by others before its turn comes.
const BUSY_DEADLINE: Duration = Duration::from_secs(30);

/// The upkeep of one file.
#[derive(Clone, Debug)]
pub struct Upkeep {
    path: PathBuf,
}

impl Upkeep {
    /// Of this file.
    #[must_use]
    pub fn of(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Which schema the file has, without bringing it up to date; none if there is no file, or nothing of Stepwell's in
    /// it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn schema(&self) -> Result<Option<Schema>> {
        match self.path.exists() {
            true => migrate::standing(&connect(&self.path)?.0),
            false => Ok(None),
        }
    }

    /// Looks whether the file is sound, and whether what it says of itself is so. Nobody waits for it. Answers with
    /// what is wrong.
    ///
    /// # Errors
    /// If the file cannot be read, or is none of Stepwell's.
    pub fn check(&self) -> Result<Vec<String>> {
        let conn = open(&self.path)?;
        let doing = error::of("check the database");
        let mut faults = conn
            .prepare(sql!("upkeep", "faults"))
            .and_then(|mut ask| {
                ask.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
            })
            .map_err(&doing)?;
        faults.retain(|fault| fault != "ok");
        if !faults.is_empty() {
            return Ok(faults);
        }
        let count =
            |statement: &str| conn.query_row(statement, [], |row| row.get::<_, i64>(0)).map_err(&doing);
        match count(sql!("upkeep", "miscounted"))? {
            0 => {}
            n => faults.push(format!("{n} counters are not what they count")),
        }
        match count(sql!("upkeep", "without_payload"))? {
            0 => {}
            n => faults.push(format!("{n} jobs have no payload")),
        }
        Ok(faults)
    }

    /// Copies the file as it stands at one moment, while it is used. The copy appears under its name when it is whole
    /// and on the disk. Answers with its size.
    ///
    /// # Errors
    /// If the file cannot be read, or there is something under the other name, or it cannot be written.
    pub fn backup(&self, to: &Path) -> Result<u64> {
        let conn = open(&self.path)?;
        write_copy(&conn, to, |_| Ok(()))
    }

    /// Makes the file from a backup. Its event log gets another id, because it may lack what was told of the store
    /// before. Answers with its size.
    ///
    /// # Errors
    /// If the backup is not sound, or there is something under this file's name, or it cannot be written.
    pub fn restore(&self, backup: &Path, generation: [u8; 16]) -> Result<u64> {
        for suffix in ["", "-wal", "-shm"] {
            unused(&beside(&self.path, suffix))?;
        }
        let faults = Self::of(backup).check()?;
        if let Some(fault) = faults.first() {
            return Err(Error::refused(format!("the backup is damaged ({fault}); take another one")));
        }
        let conn = open(backup)?;
        let ask = |question: &str| conn.query_row(question, [], |row| row.get::<_, bool>(0));
        // One of an earlier release knows of no copies.
        let knows = ask(sql!("upkeep", "knows_copies")).map_err(error::of("look at the backup"))?;
        if knows && ask(sql!("upkeep", "is_part_of_copy")).map_err(error::of("look at the backup"))? {
            return Err(Error::refused(
                "the backup holds the beginning of a copy of another store; take another one",
            ));
        }
        write_copy(&conn, &self.path, |copy| {
            let begin = || {
                copy.execute(sql!("upkeep", "begin_another_log"), params![generation])?;
                if knows { copy.execute_batch(sql!("upkeep", "forget_copy")) } else { Ok(()) }
            };
            begin().map_err(error::of("give the event log another id"))
        })
    }

    /// Gives room that is no longer used back to the disk. Whoever wants to write waits for it. Answers with the size
    /// before and after.
    ///
    /// # Errors
    /// If the file cannot be written, or others hold it for too long.
    pub fn vacuum(&self) -> Result<(u64, u64)> {
        let before = size(&self.path)?;
        let conn = open(&self.path)?;
        let turn = Turn::open(&self.path, BUSY_DEADLINE, Arc::new(Closing::default()))
            .map_err(|error| Error::storage("open the lock files", error))?;
        turn.take(&Patience::new(BUSY_DEADLINE))?;
        let compacted = conn.execute_batch(sql!("upkeep", "compact"));
        let moved =
            compacted.and_then(|()| conn.query_row(sql!("upkeep", "move_all_of_log"), [], |_| Ok(())));
        turn.end();
        moved.map_err(error::of("compact the database"))?;
        Ok((before, size(&self.path)?))
    }
}

fn size(path: &Path) -> Result<u64> {
    fs::metadata(path).map(|file| file.len()).map_err(|error| Error::storage("look at the database", error))
}

/// A connection to a file of Stepwell's.
pub(crate) fn open(path: &Path) -> Result<Connection> {
    if !path.exists() {
        return Err(Error::refused(format!("there is no file {}; name another", path.display())));
    }
    match connect(path)? {
        (conn, true) => Ok(conn),
        (_, false) => {
            Err(Error::refused(format!("{} is no store of Stepwell's; name another", path.display())))
        }
    }
}

/// A connection to a file that there is, and whether it is one of Stepwell's. Reading a write-ahead log writes to its
/// index, so it is never read-only.
fn connect(path: &Path) -> Result<(Connection, bool)> {
    connection::check_library(rusqlite::version_number(), rusqlite::version())?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_DEADLINE)?;
        let is_ours: bool = conn.query_row(sql!("upkeep", "is_stepwell"), [], |row| row.get(0))?;
        Ok((conn, is_ours))
    };
    open().map_err(error::of("open the database"))
}

/// Refuses a name that stands for something already.
fn unused(path: &Path) -> Result<()> {
    match path.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::refused(format!("{} exists; move it away, or name another", path.display()))),
        Err(error) => Err(Error::storage(format!("look at {}", path.display()), error)),
    }
}

/// Writes a copy under another name, finishes it, and gives it its own name once it is on the disk.
fn write_copy(conn: &Connection, to: &Path, finish: impl FnOnce(&Connection) -> Result<()>) -> Result<u64> {
    unused(to)?;
    let part = beside(to, ".part");
    // It is nobody's: a copy that was interrupted.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::storage(format!("remove {}", part.display()), error));
        }
        _ => {}
    }
    let written = write_part(conn, &part, finish).and_then(|()| settle(&part, to));
    if written.is_err() {
        drop(fs::remove_file(&part));
    }
    written?;
    size(to)
}

fn write_part(conn: &Connection, part: &Path, finish: impl FnOnce(&Connection) -> Result<()>) -> Result<()> {
    // Only this user may read what is in it, whatever the mask says.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(part).map_err(|error| Error::storage(format!("create {}", part.display()), error))?;
    let name = part.to_str().ok_or_else(|| Error::refused("the path is not UTF-8; name another"))?;
    conn.execute(sql!("upkeep", "copy"), [name]).map_err(error::of("copy the database"))?;
    let copy = Connection::open_with_flags(part, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(error::of("open the copy"))?;
    finish(&copy)?;
    copy.close().map_err(|(_, failure)| error::from("close the copy", failure))
}

/// Puts a whole file in its place: after a power loss it is there whole, or not at all.
fn settle(part: &Path, to: &Path) -> Result<()> {
    let settle = || {
        File::open(part)?.sync_all()?;
        fs::hard_link(part, to)?;
        fs::remove_file(part)?;
        let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    };
    settle().map_err(|error| Error::storage(format!("put the copy in place as {}", to.display()), error))
}
