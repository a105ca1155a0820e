//! What a store must be able to do to be an end of a copy.

use crate::error::Result;

use super::{Arrived, Head, Record, Standing, Table};

/// Where records go in batches, as they are read.
pub type Batches<'a> = &'a mut dyn FnMut(Vec<Record>) -> Result<()>;

/// A store, as a whole. Nobody else writes to it while it is sealed.
#[expect(clippy::missing_errors_doc, reason = "every method fails if the store does, and as its text says")]
pub trait End: Send {
    /// Where it is, for people: without a password.
    fn location(&self) -> String;
    /// How it stands to being copied.
    fn standing(&mut self) -> Result<Standing>;
    /// What is true of the whole store.
    fn head(&mut self) -> Result<Head>;
    /// How many records a table has.
    fn count(&mut self, table: Table) -> Result<u64>;
    /// Reads a table in the order of its key, all but the first so many records.
    fn read(&mut self, table: Table, skip: u64, batches: Batches<'_>) -> Result<()>;
}

/// The end that is read.
#[expect(clippy::missing_errors_doc, reason = "every method fails if the store does, and as its text says")]
pub trait Source: End {
    /// Refuses if somebody works on the store, who would be locked out: see [`in_use`](super::in_use).
    fn check_unused(&mut self) -> Result<()>;
    /// Seals the store for a copy, unless somebody works on it. From then on nothing changes in it.
    fn seal(&mut self, id: [u8; 16], to: &str) -> Result<()>;
    /// Notes that the copy has been made. The store stays sealed. Refuses if it is not sealed for that copy any more:
    /// it may have changed since.
    fn note_done(&mut self, id: [u8; 16]) -> Result<()>;
    /// Lets the store be used again, unless somebody has it open. Its log gets another id, because what follows may be
    /// another story than what the copy goes on with.
    fn unseal(&mut self, generation: [u8; 16]) -> Result<()>;
}

/// The end that is written.
#[expect(clippy::missing_errors_doc, reason = "every method fails if the store does, and as its text says")]
pub trait Destination: End {
    /// Seals the store, and notes what is to come.
    fn begin(&mut self, id: [u8; 16], from: &str) -> Result<()>;
    /// Writes the records that come next, and notes that they have arrived: both or neither. Refuses if something else
    /// has arrived before them than what is given, because somebody else makes the same copy.
    fn write(&mut self, records: Vec<Record>, before: Arrived) -> Result<()>;
    /// Notes that a table has arrived as a whole, and the next one begins.
    fn turn_to(&mut self, next: Table, before: Arrived) -> Result<()>;
    /// Makes what the store has for itself out of what has arrived, such as counters. It may be done again.
    fn settle(&mut self, head: &Head) -> Result<()>;
    /// Opens the store to everybody.
    fn open(&mut self) -> Result<()>;
}
