//! A thread that owns a writing connection, takes whatever waits, and commits it together.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use stepwell_core::{
    Error, Result,
    store::{Change, Listener},
    time::Stopwatch,
};

use crate::{
    batch::{Committed, Op},
    closing::Closing,
    ledger::{Ledger, Trouble},
    mark::Mark,
    queue::{Queue, Taken},
    wake::News,
};

/// How often a batch is run again because other transactions were in its way.
const AGAIN_MAX: u32 = 10;
/// The pause after the first failure to connect; it doubles up to the second.
const PAUSE: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// What the committers and the others of this store have in common.
#[derive(Default)]
pub(crate) struct State {
    /// Why the store can no longer be trusted, if so.
    fatal: Mutex<Option<Error>>,
    listeners: RwLock<Vec<Listener>>,
    pub(crate) queue: Queue,
    /// Transactions that were committed.
    pub(crate) commits: AtomicU64,
    pub(crate) closing: Closing,
    /// What the other nodes are to be told.
    pub(crate) news: News,
}

impl State {
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
    /// Tells this process and the other nodes what was committed here.
    pub(crate) fn tell(&self, change: Change) {
        if change != Change::default() {
            self.news.add(change);
        }
        self.announce(change);
    }
    /// Tells this process.
    pub(crate) fn announce(&self, change: Change) {
        if change != Change::default() {
            for listener in self.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
                // It is not ours, and must not take the thread with it that tells it.
                if catch_unwind(AssertUnwindSafe(|| listener(change))).is_err() {
                    tracing::error!("a listener of the store panicked");
                }
            }
        }
    }
}

/// A writing connection, and how long it tries.
pub(crate) struct Committer {
    pub(crate) ledger: Ledger,
    state: Arc<State>,
    busy_deadline: Duration,
}

/// A committer's answer to a batch.
type Outcome = std::result::Result<Committed, Error>;

impl Committer {
    pub(crate) fn new(ledger: Ledger, state: Arc<State>, busy_deadline: Duration) -> Self {
        Self { ledger, state, busy_deadline }
    }
    pub(crate) fn start(self) -> Result<JoinHandle<()>> {
        let thread = std::thread::Builder::new().name("stepwell-commit".into());
        thread.spawn(move || self.serve()).map_err(|error| Error::storage("start a committer", error))
    }

    fn serve(mut self) {
        while let Some(Taken { mut ops, since }) = self.state.queue.take() {
            let outcome = self.surely(|committer| committer.commit(&mut ops, since));
            drop(self.surely(|committer| committer.settle(ops, outcome.and_then(|outcome| outcome))));
        }
    }

    /// Does something that may panic. If it does, nothing that this store holds in memory can be trusted any more; but
    /// the thread goes on, so that whoever asks is told so, and waits for nothing.
    fn surely<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T> {
        catch_unwind(AssertUnwindSafe(|| work(self))).map_err(|_| {
            let fatal = Error::fatal("a committer panicked; this is a defect of Stepwell");
            self.state.give_up(&fatal);
            fatal
        })
    }

    fn settle(&mut self, ops: Vec<Box<dyn Op>>, outcome: Outcome) {
        let (change, failure) = match outcome {
            Ok(committed) => (self.note(&committed), self.state.fatal()),
            Err(failure) => (Change::default(), Some(failure)),
        };
        if let Some(fatal) = failure.as_ref().filter(|failure| failure.is_fatal()) {
            self.state.give_up(fatal);
        }
        // Whoever is woken by this begins while the answers are given.
        self.state.tell(change);
        for op in ops {
            op.settle(failure.as_ref());
        }
    }

    /// Lets everybody know how far the log goes, before anybody is told that it has grown.
    fn note(&mut self, committed: &Committed) -> Change {
        self.state.commits.fetch_add(1, Ordering::Relaxed);
        let head = match committed.unnumbered {
            true => self.ledger.number(),
            false => committed.head,
        };
        if let Some(head) = head {
            self.ledger.conn.target().head.grow(self.ledger.generation_n, head);
        }
        committed.change
    }

    /// Commits a batch, however often it has to be tried, until the deadline of its first operation.
    fn commit(&mut self, ops: &mut [Box<dyn Op>], since: Stopwatch) -> Outcome {
        let (mut careful, mut again, mut pause) = (false, 0, PAUSE[0]);
        loop {
            if let Some(fatal) = self.state.fatal() {
                return Err(fatal);
            }
            if self.state.closing.is_over() {
                return Err(Error::closed());
            }
            let outcome = self.ledger.connect().and_then(|()| self.ledger.batch(ops, careful));
            let failure = match outcome {
                Ok(committed) => return Ok(committed),
                Err(failure) => failure,
            };
            let trouble = match self.ledger.trouble.take() {
                None if self.ledger.conn.is_connected() => None,
                None => Some(Trouble::Lost),
                trouble => trouble,
            };
            match trouble {
                Some(Trouble::InDoubt(mark)) => {
                    if self.was_committed(mark, since)? {
                        // Its events may have their positions or not.
                        let Ledger { change, appended, .. } = self.ledger;
                        return Ok(Committed { change, head: None, unnumbered: appended > 0 });
                    }
                }
                Some(Trouble::Again) if again < AGAIN_MAX && since.elapsed() < self.busy_deadline => {
                    self.ledger.roll_back()?;
                    (careful, again) = (true, again + 1);
                }
                Some(Trouble::Lost) if !failure.is_refused() => {
                    self.ledger.conn.disconnect();
                    if since.elapsed() >= self.busy_deadline {
                        let why = format!(
                            "the database cannot be reached ({failure}); start it, or correct its address"
                        );
                        return Err(Error::busy(why, since.elapsed()));
                    }
                    self.state.queue.pause(pause);
                    pause = (2 * pause).min(PAUSE[1]);
                }
                Some(Trouble::Again) => {
                    self.ledger.roll_back()?;
                    let why = format!("other transactions were in the way each time ({failure}); try again");
                    return Err(Error::busy(why, since.elapsed()));
                }
                Some(Trouble::Lost) | None => {
                    self.ledger.roll_back()?;
                    return Err(failure);
                }
            }
        }
    }

    /// What became of a transaction whose commit was sent and not answered. It is never run again before that is known.
    fn was_committed(&mut self, mark: Mark, since: Stopwatch) -> Result<bool> {
        const ASK: &str = "ask what became of a commit";
        let mut pause = PAUSE[0];
        loop {
            match self.ledger.connect().and_then(|()| self.ledger.fate(mark)) {
                Ok(Some(was_committed)) => return Ok(was_committed),
                Ok(None) => {
                    return Err(Error::storage(
                        ASK,
                        "the database does not know any more: read the jobs, and decide",
                    ));
                }
                // It is still open, or the database is away.
                Err(_) => {}
            }
            if since.elapsed() >= 2 * self.busy_deadline || self.state.closing.is_over() {
                return Err(Error::storage(
                    ASK,
                    "there was no answer: what was asked for may have been done",
                ));
            }
            self.state.queue.pause(pause);
            pause = (2 * pause).min(PAUSE[1]);
        }
    }
}
