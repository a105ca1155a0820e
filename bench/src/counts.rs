//! What a subject's file says about its jobs, read with the driver's own SQLite after the subject has ended.
use std::{fmt, path::Path};

use rusqlite::{Connection, OpenFlags};
use stepwell_bench_subject::Result;

use crate::subject::Subject;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) jobs: u64,
    pub(crate) completed: u64,
}

impl Counts {
    pub(crate) fn read(subject: Subject, db: &Path) -> Result<Self> {
        let (table, completed) = match subject {
            Subject::Bare => ("job", "state = 2"),
            Subject::Effectum => ("jobs", "status = 'succeeded'"),
            Subject::Stepwell => ("stepwell_jobs", "state = 'completed'"),
        };
        // Not read-only: a file in WAL mode needs its side files, which only a writer may create.
        let connection = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {completed}) FROM {table}");
        let (jobs, completed): (i64, i64) =
            connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { jobs: jobs.try_into()?, completed: completed.try_into()? })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} jobs of which {} are completed", self.jobs, self.completed)
    }
}
