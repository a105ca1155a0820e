//! In which order everything is checked and started.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use stepwell_core::{Clock, Error, Result, store::Description};
use uuid::Uuid;

use crate::{
    checkpoint::Checkpointer,
    connection, error,
    head::Head,
    inbox::{Inbox, Message},
    ledger::Ledger,
    live::Live,
    lock::{Patience, Turn, beside},
    migrate,
    options::{Durability, SqliteOptions},
    read::{READERS, Readers},
    recover,
    session::Sessions,
    store::{Pen, Sqlite},
    volume,
    wake::Watch,
    writer::{Shared, Writer},
};

/// A step of the clock that an operator should know about.
const CLOCK_STEP_NOTICED: Duration = Duration::from_mins(1);

impl Sqlite {
    /// Opens a store. It blocks until the file is checked and, after an unclean stop, put in order.
    ///
    /// # Errors
    /// If the file, its directory or the library cannot be used, each with what to do about it; or if another program
    /// holds
    /// the file for longer than the deadline.
    pub fn open(options: SqliteOptions) -> Result<Self> {
        connection::check_library(rusqlite::version_number(), rusqlite::version())?;
        let path = absolute(&options.path)?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !options.allow_network_file_system {
            volume::check(directory)?;
        }
        let clock = options.clock.clone().unwrap_or_else(Clock::system);
        let unwritable = |error: std::io::Error| {
            Error::refused(format!(
                "cannot create files in {}: {error}; the database needs lock files beside it: create the \
                 directory, or give \
                 this user write permission on it",
                directory.display()
            ))
        };
        let shared = Arc::new(Shared::default());
        let turn = Turn::open(&path, options.busy_deadline, shared.closing.clone()).map_err(unwritable)?;
        let live = Arc::new(Live::open(&beside(&path, "-live"), &clock).map_err(unwritable)?);
        let sessions = Arc::new(Sessions::new(path.clone(), options.session_ttl));
        let wal = beside(&path, "-wal");

        let mut ledger = open_ledger(&path, &options, &turn, &clock, live.clone())?;
        let mut notices = Vec::new();
        let head = Head::read(&ledger.conn)?;
        let behind = clock.not_before(head.clock);
        if behind > CLOCK_STEP_NOTICED {
            notices.push(format!(
                "the machine's clock is {} s behind the latest time in the store, which goes on from there; \
                 set the clock",
                behind.as_secs()
            ));
        }
        let left_behind = recover::left_behind(&ledger, &sessions)?;
        if !left_behind.is_empty() {
            recover::check(&path, connection::reader(&path, &options)?, &shared)?;
        }
        ledger.look_for_others()?;
        let generation = Uuid::from_bytes(ledger.generation()?).to_string();
        let mut writer = Writer::new(ledger, turn, shared.clone(), wal.clone());
        writer.ledger.head = head;
        writer.know_head();
        let reaped = recover::reap_gone(&mut writer, &sessions)?;
        if !left_behind.is_empty() {
            notices.push(format!(
                "the last stop was unclean: the file was checked, and {reaped} jobs were taken from {} dead sessions",
                left_behind.len()
            ));
        }

        let description = Description {
            store: "sqlite",
            location: path.display().to_string(),
            durability: match options.durability {
                Durability::Full => "synchronous=FULL".to_owned(),
                Durability::Relaxed => {
                    "synchronous=NORMAL (a power loss may take back the last of it)".to_owned()
                }
            },
            generation,
            notices,
        };
        let (pen, readers) = match options.inline {
            true => (
                Pen::Inline(Mutex::new(Some(Box::new(writer)))),
                Readers::inline(connection::reader(&path, &options)?),
            ),
            false => {
                let connections =
                    (0..READERS).map(|_| connection::reader(&path, &options)).collect::<Result<_>>()?;
                let writer = writer.with_helpers(Checkpointer::start(&path, &options)?)?;
                let (sender, thread) = start(writer)?;
                let watch = Watch::start(wal, shared.clone(), sender.clone())?;
                (Pen::threaded(sender, thread, watch), Readers::spawn(connections)?)
            }
        };
        Ok(Self::new(pen, readers, shared, sessions, live, clock, description))
    }
}

fn start(writer: Writer) -> Result<(Sender<Message>, std::thread::JoinHandle<()>)> {
    let (sender, inbox) = channel();
    let thread = std::thread::Builder::new().name("stepwell-writer".into());
    let thread = thread.spawn(move || writer.serve(Inbox::new(inbox)));
    Ok((sender, thread.map_err(|error| Error::storage("start the writer", error))?))
}

/// The same file has the same lock files, by whatever path it is opened.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        if path.is_dir() {
            return Err(Error::refused(format!("{} is a directory; name a file", path.display())));
        }
        return Ok(path);
    }
    let name = path.file_name().ok_or_else(|| Error::refused("the path names no file"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|error| {
        Error::refused(format!("cannot use the directory {}: {error}; create it first", parent.display()))
    })?;
    Ok(parent.join(name))
}

/// Opens the writing connection, and brings the schema up to date while nobody else writes.
pub(crate) fn open_ledger(
    path: &Path,
    options: &SqliteOptions,
    turn: &Turn,
    clock: &Clock,
    live: Arc<Live>,
) -> Result<Ledger> {
    turn.take(&Patience::new(options.busy_deadline))?;
    let opened = connection::writer(path, options, turn);
    turn.end();
    let conn = opened?;
    turn.begin(&conn)?;
    let migrated = migrate::run(&conn, options.generation, clock.now())
        .and_then(|()| conn.execute_batch("COMMIT").map_err(error::of("bring the schema up to date")));
    if migrated.is_err() && !conn.is_autocommit() {
        drop(conn.execute_batch("ROLLBACK"));
    }
    turn.end();
    migrated?;
    Ok(Ledger::new(conn, clock.clone(), live))
}
