//! What is true of a whole store.

use super::record::Value;

/// What is true of a whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The id of its event log. A copy has the same one, so that whoever follows the log goes on where they were.
    pub generation: [u8; 16],
    /// The `pos` that the next event gets.
    pub next_pos: i64,
    /// The first `pos` that is still kept.
    pub floor_pos: i64,
    /// How far retention has read the log.
    pub walk_pos: i64,
    /// The latest time that was ever recorded, in microseconds since the Unix epoch.
    pub clock: i64,
    /// A key that no job has had. It may be larger in the copy.
    pub next_key: i64,
}

impl Head {
    /// What must be the same in a copy.
    #[must_use]
    pub fn copied(&self) -> [Value; 5] {
        [
            Value::Id(self.generation),
            Value::Integer(self.next_pos),
            Value::Integer(self.floor_pos),
            Value::Integer(self.walk_pos),
            Value::Integer(self.clock),
        ]
    }
    /// Whether this is the head of a copy of that store.
    #[must_use]
    pub fn is_copy_of(&self, source: &Self) -> bool {
        self.copied() == source.copied() && self.next_key >= source.next_key
    }
}
