//! What all records of a table, or of a store, come to.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::{
    head::Head,
    record::{Record, Value},
    table::Table,
};

/// A hash over records in the order of their keys. It is the same for every kind of store.
#[derive(Clone, Debug, Default)]
pub struct Digest(Sha256);

impl Digest {
    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        // Every value says how long it is, so that no two lists of values read the same.
        self.0.update((record.0.len() as u64).to_le_bytes());
        for value in &record.0 {
            match value {
                Value::None => self.0.update([0]),
                Value::Integer(n) => {
                    self.0.update([1]);
                    self.0.update(n.to_le_bytes());
                }
                Value::Boolean(yes) => self.0.update([2, u8::from(*yes)]),
                Value::Text(text) => {
                    self.0.update([3]);
                    self.0.update((text.len() as u64).to_le_bytes());
                    self.0.update(text.as_bytes());
                }
                Value::Id(bytes) => {
                    self.0.update([4]);
                    self.0.update(bytes);
                }
            }
        }
    }
    /// What it comes to, in hexadecimal digits.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
    /// What a whole store comes to: its head, and the hash of each of its tables.
    #[must_use]
    pub fn of_store(head: &Head, tables: &[(Table, String)]) -> String {
        let mut digest = Self::default();
        digest.add(&Record(head.copied().into()));
        for (table, hash) in tables {
            digest.add(&Record(vec![Value::Text(table.name().into()), Value::Text(hash.clone())]));
        }
        digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&[Value]]) -> String {
        let mut digest = Digest::default();
        for values in values {
            digest.add(&Record(values.to_vec()));
        }
        digest.finish()
    }

    #[test]
    fn values_do_not_run_together() {
        let text = |text: &str| Value::Text(text.into());
        let all = [
            of(&[&[text("ab"), text("c")]]),
            of(&[&[text("a"), text("bc")]]),
            of(&[&[text("ab")], &[text("c")]]),
            of(&[&[text("ab"), text("c"), Value::None]]),
            of(&[&[Value::Integer(1)]]),
            of(&[&[Value::Boolean(true)]]),
            of(&[&[text("1")]]),
            of(&[]),
        ];
        for (nth, one) in all.iter().enumerate() {
            assert!(all.iter().skip(nth + 1).all(|other| other != one), "{nth}");
        }
        assert_eq!(all[0], of(&[&[text("ab"), text("c")]]));
        assert_eq!(all[0].len(), 64);
    }
}
