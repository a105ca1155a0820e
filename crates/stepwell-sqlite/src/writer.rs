//! The thread that owns the writing connection.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::TryRecvError,
    },
    time::Duration,
};

use rusqlite::config::DbConfig;
use stepwell_core::{
    Error, Result,
    store::{Change, Listener},
    time::Stopwatch,
};

use crate::{
    answers::Answers,
    batch::{Op, Task},
    checkpoint::Checkpointer,
    closing::Closing,
    connection::WAL_BYTES_MAX,
    error,
    head::Head,
    inbox::{Alone, Inbox, Message, Supply},
    ledger::Ledger,
    lock::Turn,
};

/// How long the writer goes on without a gap. SQLite's own waiting is by trial: a foreign program that wants to write
/// must
/// find the lock free by chance.
const UNBROKEN_MAX: Duration = Duration::from_millis(25);
/// The gap.
const GAP: Duration = Duration::from_micros(500);
/// The time between two tries to empty the log on a full disk, if the first was in vain: each may write all of it.
const ROOM_EVERY: Duration = Duration::from_secs(1);
/// Commits between two looks at the size of the write-ahead log.
const LOOK_EVERY: u64 = 64;

/// What the writer and the others of this store share.
#[derive(Default)]
pub(crate) struct Shared {
    /// Why the store can no longer be trusted, if so.
    fatal: Mutex<Option<Error>>,
    listeners: RwLock<Vec<Listener>>,
    /// Transactions that were committed.
    pub(crate) commits: AtomicU64,
    /// How often the write lock was had. A process that is idle has it too, in every pass of maintenance, and commits
    /// nothing.
    pub(crate) turns: AtomicU64,
    /// The last `pos` that is known to be committed.
    pub(crate) head: AtomicU64,
    /// Batches that were run, those that wrote nothing included.
    pub(crate) batches: AtomicU64,
    /// Whether the writer waits for something to do.
    pub(crate) idle: AtomicBool,
    /// Whether the file changed since the writer last looked.
    pub(crate) stirred: AtomicBool,
    pub(crate) closing: Arc<Closing>,
}

impl Shared {
    pub(crate) fn fatal(&self) -> Option<Error> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// From now on nothing is acknowledged any more.
    pub(crate) fn give_up(&self, error: &Error) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
    }
    pub(crate) fn listen(&self, listener: Listener) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }
    fn tell(&self, change: Change) {
        if change != Change::default() {
            for listener in self.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
                listener(change);
            }
        }
    }
}

/// The writing connection, and whose turn it is.
pub(crate) struct Writer {
    pub(crate) ledger: Ledger,
    turn: Turn,
    shared: Arc<Shared>,
    wal: std::path::PathBuf,
    /// When the log could not be emptied although the disk was full.
    no_room: Option<Stopwatch>,
    answers: Answers,
    checkpointer: Option<Checkpointer>,
}

impl Writer {
    pub(crate) fn new(ledger: Ledger, turn: Turn, shared: Arc<Shared>, wal: std::path::PathBuf) -> Self {
        Self { ledger, turn, shared, wal, answers: Answers::default(), checkpointer: None, no_room: None }
    }
    /// From now on many answers are given by another thread, and the log is moved by one.
    pub(crate) fn with_helpers(mut self, checkpointer: Checkpointer) -> Result<Self> {
        self.answers = Answers::start()?;
        self.checkpointer = Some(checkpointer);
        Ok(self)
    }

    /// Does one thing, on this thread, in a transaction of its own.
    pub(crate) fn run<T: Send + 'static>(
        &mut self,
        work: impl FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (op, mut answer) = Task::with_answer(work);
        self.batch(op, &mut Alone);
        answer.try_recv().unwrap_or_else(|_| Err(Error::closed()))
    }

    /// Runs a batch, and answers everybody.
    pub(crate) fn batch(&mut self, first: Box<dyn Op>, supply: &mut impl Supply) {
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        let begun = match self.shared.fatal() {
            Some(fatal) => Err(fatal),
            None if self.shared.closing.is_over() => Err(Error::closed()),
            None => self.turn.begin(&self.ledger.conn),
        };
        if let Err(failure) = begun {
            self.note(&failure);
            // All that waited are taken before the first is told: what comes after that is a new try.
            let mut ops = vec![first];
            ops.extend(std::iter::from_fn(|| supply.next()));
            for op in ops {
                op.settle(Some(&failure));
            }
            return;
        }
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        let outcome = self.ledger.batch(&self.turn, first, || supply.next());
        if outcome.committed {
            let commits = self.shared.commits.fetch_add(1, Ordering::Relaxed);
            if commits.is_multiple_of(LOOK_EVERY) {
                self.bound_wal();
            }
        }
        if outcome.failure.as_ref().is_some_and(Error::is_storage_full) {
            self.make_room();
        }
        self.turn.end();
        let committed = outcome.committed;
        if outcome.failure.is_none() {
            self.know_head();
        }
        if let Some(failure) = &outcome.failure {
            self.note(failure);
        }
        // A store that was given up in the meantime, by a check in the background, acknowledges nothing either.
        let failure = outcome.failure.or_else(|| self.shared.fatal());
        self.answers.settle(outcome.ops, failure, supply.has_more());
        self.shared.tell(outcome.change);
        if committed && let Some(checkpointer) = &self.checkpointer {
            checkpointer.look(&self.ledger.conn, self.shared.commits.load(Ordering::Relaxed));
        }
    }

    /// Lets everybody know how far the log goes, before anybody is told that it has grown.
    pub(crate) fn know_head(&self) {
        self.shared.head.store(self.ledger.head.next_pos.saturating_sub(1), Ordering::SeqCst);
    }

    fn note(&self, failure: &Error) {
        if failure.is_fatal() {
            self.shared.give_up(failure);
        }
    }

    /// Empties a write-ahead log that grew because a reader held on to it. If one still does, the next look tries
    /// again.
    fn bound_wal(&self) {
        if std::fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > WAL_BYTES_MAX) {
            drop(self.checkpoint());
        }
    }

    /// The log itself is what a full disk has in reserve: most of it is newer versions of the same pages. Emptied into
    /// the file, it gives its room back, to the next batches among others. It was not emptied by itself, because only
    /// a commit does that.
    fn make_room(&mut self) {
        if self.no_room.is_none_or(|last| last.elapsed() >= ROOM_EVERY) {
            // If the file cannot grow by so much as that, the log stays as it is, and nothing is lost.
            let emptied =
                self.checkpoint().is_ok() && std::fs::metadata(&self.wal).is_ok_and(|wal| wal.len() == 0);
            self.no_room = (!emptied).then(Stopwatch::start);
        }
    }

    fn checkpoint(&self) -> rusqlite::Result<()> {
        self.ledger.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Looks whether another connection committed, and says so.
    pub(crate) fn probe(&mut self) {
        if let Ok(true) = self.ledger.look_for_others() {
            if let Ok(head) = Head::read(&self.ledger.conn) {
                self.ledger.head = head;
                self.know_head();
            }
            self.shared.tell(Change { foreign: true, ..Change::default() });
        }
    }

    /// Puts the write-ahead log away.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.checkpointer = None;
        if self.shared.fatal().is_some() {
            // A disk that failed to sync, or a damaged file, is left as it is: the next start begins with that.
            let _kept = self.ledger.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return Ok(());
        }
        // Another process may use the log: then it stays, which loses nothing.
        match self.checkpoint() {
            Err(failure) if !error::is_busy(&failure) => Err(error::from("close the database", failure)),
            _ => Ok(()),
        }
    }

    /// The writer's life.
    pub(crate) fn serve(mut self, mut inbox: Inbox) {
        let mut unbroken = Stopwatch::start();
        loop {
            let message = match inbox.try_take() {
                Ok(message) => message,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    let message = self.wait(&mut inbox);
                    unbroken = Stopwatch::start();
                    match message {
                        Some(message) => message,
                        None => break,
                    }
                }
            };
            match message {
                Message::Op(op) => {
                    inbox.begin_batch();
                    self.batch(op, &mut inbox);
                }
                Message::Probe => self.probe(),
                Message::Close(reply) => {
                    let closed = self.close();
                    drop(self);
                    drop(reply.send(closed));
                    return;
                }
            }
            if unbroken.elapsed() >= UNBROKEN_MAX {
                std::thread::sleep(GAP);
                unbroken = Stopwatch::start();
            }
        }
        drop(self.close());
    }

    /// Waits for the next message. What the watch saw while the writer was busy is looked at first.
    fn wait(&mut self, inbox: &mut Inbox) -> Option<Message> {
        self.shared.idle.store(true, Ordering::SeqCst);
        if self.shared.stirred.swap(false, Ordering::SeqCst) {
            self.probe();
        }
        let message = inbox.take();
        self.shared.idle.store(false, Ordering::SeqCst);
        self.shared.stirred.store(false, Ordering::SeqCst);
        message
    }
}
