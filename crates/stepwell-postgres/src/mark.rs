//! How a connection finds out what became of a commit that was not answered.

use stepwell_core::{Error, Result, Timestamp};

use crate::{
    connection::Call,
    ledger::{Ledger, Trouble, get},
    sql::sql,
};

/// A row of nobody that has committed for so long is removed.
const KEPT_MICROS: i64 = 30 * 86_400_000_000;

/// The row of this connection's commits, and the number of the last that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    id: i64,
    n: i64,
}

impl Mark {
    /// How the next transaction is marked.
    fn next(&mut self, now: Timestamp) -> Call<'static> {
        self.n += 1;
        Call::new(sql!("committer", "mark")).with(self.id).with(self.n).with(now.as_micros())
    }
}

impl Ledger {
    /// Makes the row, if there is none yet. It outlives the connection: a new one asks about the commits of the old.
    pub(crate) fn register(&mut self) -> Result<()> {
        const REGISTER: &str = "register a committer";
        if self.mark.is_none() {
            let now = self.now.as_micros();
            let row =
                self.query_opt(REGISTER, sql!("committer", "register"), &[&now, &(now - KEPT_MICROS)])?;
            let row = row.ok_or_else(|| Error::fatal("the database gave no number for a committer"))?;
            self.mark = Some(Mark { id: get(&row, 0, REGISTER)?, n: 0 });
        }
        Ok(())
    }

    /// Writes all that a transaction writes at its end: the counters' deltas, and its mark.
    pub(crate) fn write_mark(&mut self) -> Result<()> {
        let now = self.now;
        let Some(mark) = &mut self.mark else {
            return Err(Error::fatal("a connection commits that is not registered"));
        };
        let calls: Vec<Call<'_>> =
            self.counters.take(self.part).into_iter().chain([mark.next(now)]).collect();
        let written = self.conn.together(None, &calls);
        let answers = written.map_err(|failure| self.failed("mark a transaction", failure))?;
        if answers.last().is_some_and(|rows| !rows.is_empty()) {
            return Ok(());
        }
        // It had nothing to commit for a month, and somebody has removed the row.
        (self.mark, self.trouble) = (None, Some(Trouble::Again));
        Err(Error::storage("mark a transaction", "its row is gone, and another one is made"))
    }

    /// Whether the transaction with this mark was committed; nothing if nobody can know any more.
    pub(crate) fn fate(&mut self, mark: Mark) -> Result<Option<bool>> {
        const ASK: &str = "ask what became of a commit";
        let row = self.query_opt(ASK, sql!("committer", "fate"), &[&mark.id, &mark.n])?;
        row.map(|row| get(&row, 0, ASK)).transpose()
    }
}
