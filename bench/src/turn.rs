//! One subject's turn in one round.
use std::{
    fs,
    path::{Path, PathBuf},
};

use stepwell_bench_subject::{Report, Result};

use crate::{bench::Bench, child, counts::Counts, subject::Subject};

pub(crate) struct Turn<'b> {
    pub(crate) bench: &'b mut Bench,
    pub(crate) subject: Subject,
    /// From 1.
    pub(crate) round: u64,
}

impl Turn<'_> {
    /// A file of the subject's that lasts from round to round.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.bench.dir().join(self.subject.name()).join(name).join("jobs.db")
    }

    /// The same, without what was in it or beside it.
    pub(crate) fn fresh(&self, name: &str) -> Result<PathBuf> {
        let file = self.file(name);
        if let Some(dir) = file.parent() {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            fs::create_dir_all(dir)?;
        }
        Ok(file)
    }

    /// Starts the subject's program with one command and waits for its report.
    pub(crate) fn child(&self, command: &str, db: &Path, sizes: &[(&str, u64)]) -> Result<Report> {
        let report = child::run(self.bench.program(self.subject)?, command, db, sizes)
            .map_err(|error| format!("`{command}`: {error}"))?;
        for fault in ["lost", "repeated"] {
            if let Some(count) = report.figures.get(fault).filter(|count| **count != 0.0) {
                return Err(format!("`{command}`: {count} jobs {fault}").into());
            }
        }
        Ok(report)
    }

    /// Compares the file with what must be in it now.
    pub(crate) fn expect(&self, db: &Path, jobs: u64, completed: u64) -> Result<()> {
        self.expect_that(db, jobs, completed, |found| found == completed)
    }

    /// The same, where more may have been completed.
    pub(crate) fn expect_at_least(&self, db: &Path, jobs: u64, completed: u64) -> Result<()> {
        self.expect_that(db, jobs, completed, |found| found >= completed)
    }

    fn expect_that(&self, db: &Path, jobs: u64, completed: u64, holds: impl Fn(u64) -> bool) -> Result<()> {
        let found = Counts::read(self.subject, db)?;
        if found.jobs == jobs && holds(found.completed) {
            return Ok(());
        }
        Err(format!("the store has {found}, not {}", Counts { jobs, completed }).into())
    }

    /// Puts a figure of the report into the table and returns it.
    pub(crate) fn record(
        &mut self,
        measure: &str,
        unit: &'static str,
        report: &Report,
        figure: &str,
    ) -> Result<f64> {
        let value = report.figure(figure)?;
        self.record_value(measure, unit, report, value);
        Ok(value)
    }

    /// Puts a value into the table that was worked out from several reports, of which this is the last.
    pub(crate) fn record_value(&mut self, measure: &str, unit: &'static str, report: &Report, value: f64) {
        self.bench.table.add(measure, self.subject, unit, report, value);
    }
}
