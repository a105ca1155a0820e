//! One group commit: as many operations as are there, one transaction, one fsync, and then all answers.

use std::time::Duration;

use stepwell_core::{Error, Result, store::Change, time::Stopwatch};
use tokio::sync::oneshot;

use crate::{error, head::Head, ledger::Ledger, lock::Turn, sql::sql};

/// Operations of one batch. More would make the first one wait for nothing.
const OPS_MAX: usize = 1_024;
/// How long a batch may hold the write lock before other processes have their turn.
const HOLD_MAX: Duration = Duration::from_millis(20);

/// One operation, and whoever waits for it.
pub(crate) trait Op: Send {
    /// Does it, and keeps the answer. It may run twice, the second time after the first was rolled back.
    ///
    /// Answers with the error if the store failed, and not just this operation.
    fn run(&mut self, ledger: &mut Ledger) -> Option<Error>;
    /// How many wait for an answer.
    fn answers(&self) -> usize {
        1
    }
    /// Gives the answer, or this error instead.
    fn settle(self: Box<Self>, failure: Option<&Error>);
}

/// An operation that is a function.
pub(crate) struct Task<T, F> {
    work: F,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    /// Whether it is done only if somebody waits for the answer.
    if_wanted: bool,
}

impl<T: Send + 'static, F: FnMut(&mut Ledger) -> Result<T> + Send + 'static> Task<T, F> {
    /// An operation, and where its answer will be.
    pub(crate) fn with_answer(work: F) -> (Box<dyn Op>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { work, answer: None, reply, if_wanted: false }), answer)
    }
    /// The same, for what must not happen if nobody waits for it any more.
    pub(crate) fn if_wanted(work: F) -> (Box<dyn Op>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { work, answer: None, reply, if_wanted: true }), answer)
    }
}

impl<T: Send, F: FnMut(&mut Ledger) -> Result<T> + Send> Op for Task<T, F> {
    fn run(&mut self, ledger: &mut Ledger) -> Option<Error> {
        if self.if_wanted && self.reply.is_closed() {
            return None;
        }
        ledger.tell_time();
        let result = (self.work)(ledger);
        let failure = result.as_ref().err().filter(|failure| error::is_of_store(failure)).cloned();
        self.answer = Some(result);
        failure
    }
    fn settle(self: Box<Self>, failure: Option<&Error>) {
        let answer = match (failure, self.answer) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(answer)) => answer,
            (None, None) => Err(Error::closed()),
        };
        // Nobody may be waiting any more, which changes nothing.
        drop(self.reply.send(answer));
    }
}

/// What a batch came to.
pub(crate) struct Outcome {
    /// The operations, to be answered.
    pub(crate) ops: Vec<Box<dyn Op>>,
    /// Why none of them happened.
    pub(crate) failure: Option<Error>,
    /// What was committed.
    pub(crate) change: Change,
    /// Whether anything was committed.
    pub(crate) committed: bool,
}

impl Ledger {
    /// Runs a batch inside the transaction that was just begun.
    pub(crate) fn batch(
        &mut self,
        turn: &Turn,
        first: Box<dyn Op>,
        mut more: impl FnMut() -> Option<Box<dyn Op>>,
    ) -> Outcome {
        let held = Stopwatch::start();
        let mut ops = Vec::new();
        let mut result = self.prepare();
        let mut next = Some(first);
        while let Some(mut op) = next.take() {
            if result.is_ok()
                && let Some(failure) = op.run(self)
            {
                result = Err(failure);
            }
            ops.push(op);
            if result.is_err() || self.torn {
                break;
            }
            if ops.len() < OPS_MAX && held.elapsed() < HOLD_MAX {
                next = more();
            }
        }
        if result.is_ok() && !self.torn {
            result = self.flush();
        }
        if self.torn && result.is_ok() {
            result = self.again(turn, &mut ops);
        }
        let committed = self.dirty;
        let result = result.and_then(|()| self.finish());
        let change = std::mem::take(&mut self.change);
        match result {
            Ok(()) => Outcome { ops, failure: None, change, committed },
            Err(failure) => {
                let failure = self.roll_back().err().unwrap_or(failure);
                let change = Change { foreign: change.foreign, ..Change::default() };
                Outcome { ops, failure: Some(failure), change, committed: false }
            }
        }
    }

    /// Reads what must be known before anything is written.
    fn prepare(&mut self) -> Result<()> {
        (self.careful, self.torn, self.dirty, self.gathering) = (false, false, false, false);
        if self.look_for_others()? {
            self.change.foreign = true;
        }
        self.head = Head::read(&self.conn)?;
        if self.head.sealed {
            return Err(Error::sealed());
        }
        Ok(())
    }

    /// Whether another connection committed since this was last asked; if so, nothing kept in memory holds any more.
    pub(crate) fn look_for_others(&mut self) -> Result<bool> {
        let read = || self.conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0));
        let data_version: i64 = read().map_err(error::of("look for other writers"))?;
        let changed = data_version != self.data_version;
        if changed {
            self.data_version = data_version;
            self.forget();
        }
        Ok(changed)
    }

    /// Runs the operations once more, each in a savepoint: one of them failed half-way.
    fn again(&mut self, turn: &Turn, ops: &mut [Box<dyn Op>]) -> Result<()> {
        self.roll_back()?;
        // A program that knows nothing of turns may have slipped in between.
        turn.begin_again(&self.conn)?;
        self.prepare()?;
        self.careful = true;
        self.gathering = false;
        for op in ops {
            if let Some(failure) = op.run(self) {
                return Err(failure);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if !self.dirty {
            // Nothing was written, and nothing needs to reach the disk.
            return self.run("ROLLBACK");
        }
        self.counters.flush(&self.conn)?;
        self.head.clock = self.now.max(self.head.clock);
        self.head.write(&self.conn)?;
        self.run("COMMIT")
    }

    /// Takes everything back. SQLite may have done so already: after a full disk, for one.
    fn roll_back(&mut self) -> Result<()> {
        self.forget();
        self.pending.clear();
        self.change = Change { foreign: self.change.foreign, ..Change::default() };
        match self.conn.is_autocommit() {
            true => Ok(()),
            false => self.run("ROLLBACK"),
        }
    }

    /// Reads the generation of the log.
    pub(crate) fn generation(&self) -> Result<[u8; 16]> {
        let read = || self.conn.query_row(sql!("meta", "generation"), [], |row| row.get(0));
        read().map_err(error::of("read the generation of the log"))
    }
}
