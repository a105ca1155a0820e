//! What a subject's store says about its jobs, read by the driver itself after the subject has ended.
use std::fmt;

use rusqlite::{Connection, OpenFlags};
use stepwell_bench_subject::Result;

use crate::{
    store::{Kind, Place, Store},
    subject::Subject,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) jobs: u64,
    pub(crate) completed: u64,
}

impl Counts {
    pub(crate) fn read(store: &Store, kind: Kind, subject: Subject, place: &Place) -> Result<Self> {
        let (table, completed) = match (kind, subject) {
            (_, Subject::Bare) => ("job", "state = 2"),
            (Kind::Sqlite, Subject::Peer) => ("jobs", "status = 'succeeded'"),
            (Kind::Postgres, Subject::Peer) => ("graphile_worker._private_jobs", "false"),
            (Kind::Sqlite, Subject::Stepwell) => ("stepwell_jobs", "state = 'completed'"),
            (Kind::Postgres, Subject::Stepwell) => ("stepwell.stepwell_jobs", "state = 'completed'"),
        };
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {completed}) FROM {table}");
        if kind == Kind::Postgres {
            let row = store.look(place, &sql)?;
            let count = |column: usize| -> Result<u64> {
                let value = row.get(column).and_then(Option::as_deref).ok_or("a count is missing")?;
                Ok(value.parse()?)
            };
            return Ok(Self { jobs: count(0)?, completed: count(1)? });
        }
        // Not read-only: a file in WAL mode needs its side files, which only a writer may create.
        let connection = Connection::open_with_flags(&place.address, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let (jobs, completed): (i64, i64) =
            connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { jobs: jobs.try_into()?, completed: completed.try_into()? })
    }

    /// What is left of these jobs in a store of this subject's: graphile deletes a job that has ended.
    pub(crate) fn as_kept_by(self, kind: Kind, subject: Subject) -> Self {
        match (kind, subject) {
            (Kind::Postgres, Subject::Peer) => Self { jobs: self.jobs - self.completed, completed: 0 },
            _ => self,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs of which {} are completed", self.jobs, self.completed)
    }
}
