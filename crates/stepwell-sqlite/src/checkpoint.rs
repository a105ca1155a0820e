//! The thread that moves the write-ahead log into the file, beside the writer.
//!
//! A checkpoint writes as much as the transactions before it did, and waits for the disk twice. The writer only does
//! the last of it, in which there is little left: SQLite begins the log anew when all of it was moved and nobody reads
//! from it, and while others write, that never comes by itself.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;
use stepwell_core::{Error, Result};

use crate::{connection, options::SqliteOptions, sql::sql};

/// Pages that are not moved yet, after which they are.
const BEHIND: i64 = 1_000;
/// Pages in the log after which the writer moves what is left, if that is not more than [`BEHIND`]: 32 MiB.
const LONG: i64 = 8_000;
/// The same, however much is left.
const TOO_LONG: i64 = 14_000;
/// Commits between two looks at the log.
const LOOK_EVERY: u64 = 4;

/// The thread. It ends when this is dropped.
pub(crate) struct Checkpointer {
    sender: Option<SyncSender<()>>,
    /// Held by the thread while it moves pages: SQLite refuses a second checkpoint at the same time, and does not wait.
    moving: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(path: &Path, options: &SqliteOptions) -> Result<Self> {
        let conn = connection::reader(path, options)?;
        let (sender, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("stepwell-checkpoint".into());
        let moving = Arc::new(Mutex::new(()));
        let ours = moving.clone();
        let run = move || {
            for () in asked {
                let _ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
                move_pages(&conn);
            }
        };
        let thread = thread.spawn(run).map_err(|error| Error::storage("start the checkpoints", error))?;
        Ok(Self { sender: Some(sender), moving, thread: Some(thread) })
    }

    /// Looks whether something has to be moved. Called by the writer between two transactions.
    pub(crate) fn look(&self, conn: &Connection, commits: u64) {
        if !commits.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let look = |row: &rusqlite::Row<'_>| Ok((row.get(1)?, row.get(2)?));
        let Ok((pages, moved)) =
            conn.prepare_cached(sql!("meta", "look_at_log")).and_then(|mut ask| ask.query_row([], look))
        else {
            // What is wrong shows itself at the next write.
            return;
        };
        let (pages, moved): (i64, i64) = (pages, moved);
        let behind = pages - moved;
        if pages >= TOO_LONG {
            // Whoever writes faster than pages can be moved waits here for the thread: else the log has no bound.
            let _mine = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
            move_pages(conn);
        } else if pages >= LONG && behind < BEHIND {
            move_pages(conn);
        } else if behind >= BEHIND
            && let Some(sender) = &self.sender
        {
            // One that is asked already will see these pages, too.
            let _asked_already = sender.try_send(());
        }
    }
}

/// What cannot be moved now, because somebody reads or because the disk is full, stays where it is and is as durable
/// there.
fn move_pages(conn: &Connection) {
    drop(conn.prepare_cached(sql!("meta", "move_log")).and_then(|mut ask| ask.query_row([], |_| Ok(()))));
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
