//! What a store keeps of a copy that it is an end of.

use super::table::Table;

/// What a store keeps of a copy that it is an end of. There is none at a store that is neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// It is the source. It is sealed, also after the copy was made: the same work must not be done in two places.
    Source {
        /// The copy.
        id: [u8; 16],
        /// Where it goes, for people.
        to: String,
        /// Whether it has been made.
        done: bool,
    },
    /// It is the destination, and not whole yet. It is sealed.
    Destination {
        /// The copy.
        id: [u8; 16],
        /// Where it comes from, for people.
        from: String,
        /// What has arrived.
        arrived: Arrived,
    },
}

/// How far a copy has come: the tables before this one are whole, and so many records of it are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The table.
    pub table: Table,
    /// How many of its records, from the first.
    pub records: u64,
}

impl Arrived {
    /// Nothing yet.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::none_of(Table::ALL[0])
    }
    /// The tables before this one.
    #[must_use]
    pub const fn none_of(table: Table) -> Self {
        Self { table, records: 0 }
    }
    /// So many more.
    #[must_use]
    pub const fn and(self, records: u64) -> Self {
        Self { records: self.records + records, ..self }
    }
}

/// How a store stands to being copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The id of its event log.
    pub generation: [u8; 16],
    /// What it keeps of a copy.
    pub note: Option<Note>,
}
