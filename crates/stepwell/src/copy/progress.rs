//! How far a copy has come.

use stepwell_core::store::copy::Table;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Records are written to the destination.
    Copying,
    /// All records of both stores are compared.
    Comparing,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// The table that it is done to.
    pub table: &'static str,
    /// Records that this step is done with, over all tables.
    pub done: u64,
    /// Records in all.
    pub total: u64,
}

/// Who is told.
pub(super) type Told = Box<dyn FnMut(Progress) + Send>;

/// Counts, and tells.
pub(super) struct Meter<'a> {
    step: Step,
    done: u64,
    total: u64,
    told: &'a mut Told,
}

impl<'a> Meter<'a> {
    pub(super) fn new(step: Step, total: u64, told: &'a mut Told) -> Self {
        Self { step, done: 0, total, told }
    }
    pub(super) fn add(&mut self, table: Table, records: u64) {
        self.done += records;
        (self.told)(Progress { step: self.step, table: table.name(), done: self.done, total: self.total });
    }
}
