//! One subject's turn in one round.
use stepwell_bench_subject::{Report, Result};

use crate::{bench::Bench, child, counts::Counts, store::Place, subject::Subject};

pub(crate) struct Turn<'b> {
    pub(crate) bench: &'b mut Bench,
    pub(crate) subject: Subject,
    /// From 1.
    pub(crate) round: u64,
}

impl Turn<'_> {
    /// A place of the subject's that lasts from round to round.
    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        self.bench.store.place(&self.named(name))
    }

    /// The same, without what was in it or beside it.
    pub(crate) fn fresh(&mut self, name: &str) -> Result<Place> {
        let name = self.named(name);
        self.bench.store.fresh(&name)
    }

    fn named(&self, name: &str) -> String {
        format!("{}-{name}", self.subject)
    }

    /// Starts the subject's program with one command and waits for its report.
    pub(crate) fn child(&self, command: &str, place: &Place, sizes: &[(&str, u64)]) -> Result<Report> {
        let report = child::run(self.bench.program(self.subject)?, command, place, sizes)
            .map_err(|error| format!("`{command}`: {error}"))?;
        for fault in ["lost", "repeated"] {
            if let Some(count) = report.figures.get(fault).filter(|count| **count != 0.0) {
                return Err(format!("`{command}`: {count} jobs {fault}").into());
            }
        }
        Ok(report)
    }

    /// Compares the store with what must be in it now.
    pub(crate) fn expect(&self, place: &Place, jobs: u64, completed: u64) -> Result<()> {
        let kind = self.bench.options.store;
        let expected = Counts { jobs, completed }.as_kept_by(kind, self.subject);
        let found = Counts::read(&self.bench.store, kind, self.subject, place)?;
        if found == expected {
            return Ok(());
        }
        Err(format!("the store has {found}, not {expected}").into())
    }

    /// The same, where more may have been completed.
    pub(crate) fn expect_at_least(&self, place: &Place, jobs: u64, completed: u64) -> Result<()> {
        let found = Counts::read(&self.bench.store, self.bench.options.store, self.subject, place)?;
        if found.jobs == jobs && found.completed >= completed {
            return Ok(());
        }
        Err(format!("the store has {found}, not at least {}", Counts { jobs, completed }).into())
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
