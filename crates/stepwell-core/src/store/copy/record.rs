//! A row of a table, in values that every store knows.

use std::fmt;

use uuid::Uuid;

use super::table::Table;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// There is none.
    None,
    /// A number, whichever column it is for.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
    /// Text or a name.
    Text(String),
    /// An id or a token.
    Id([u8; 16]),
}

impl Value {
    /// How many bytes it takes, more or less.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 8,
            _ => 16,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nothing"),
            Self::Integer(n) => n.fmt(f),
            Self::Boolean(yes) => yes.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Id(bytes) => Uuid::from_bytes(*bytes).fmt(f),
        }
    }
}

/// A row of a table: a value for each of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(pub Vec<Value>);

impl Record {
    /// Its key.
    #[must_use]
    pub fn key(&self, table: Table) -> &[Value] {
        self.0.get(..table.key()).unwrap_or(&self.0)
    }
    /// How many bytes it takes, more or less.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Value::bytes).sum()
    }
    /// The record for people: its table and its key.
    #[must_use]
    pub fn place(&self, table: Table) -> String {
        let keys: Vec<String> = self.key(table).iter().map(Value::to_string).collect();
        format!("`{}` {}", table.name(), keys.join(" "))
    }
    /// The column that holds a character which not every store can keep.
    #[must_use]
    pub fn with_nul(&self, table: Table) -> Option<&'static str> {
        let has = |value: &Value| matches!(value, Value::Text(text) if text.contains('\0'));
        let nth = self.0.iter().position(has)?;
        table.columns().get(nth).map(|column| column.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_key() {
        let record = Record(vec![Value::Integer(7), Value::Text("render".into()), Value::Text("1".into())]);
        assert_eq!(record.place(Table::Checkpoint), "`checkpoint` 7 render");
        assert_eq!(record.with_nul(Table::Checkpoint), None);
        let record = Record(vec![Value::Integer(7), Value::Text("a".into()), Value::Text("\0".into())]);
        assert_eq!(record.with_nul(Table::Checkpoint), Some("body"));
    }
}
