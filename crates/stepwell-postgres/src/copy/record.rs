//! Rows, out of the database and into it.

use stepwell_core::store::copy::{Kind, Record, Table, Value};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{connection::Param, error::Failure};

/// Reads a row.
pub(super) fn decode(table: Table, row: &Row) -> Result<Record, Failure> {
    let mut values = Vec::with_capacity(table.columns().len());
    for (nth, column) in table.columns().iter().enumerate() {
        let value = match column.kind {
            Kind::Integer => row.try_get::<_, Option<i64>>(nth)?.map(Value::Integer),
            // It is stored with a sign that it does not have.
            Kind::Count => row
                .try_get::<_, Option<i32>>(nth)?
                .map(|count| Value::Integer(i64::from(count.cast_unsigned()))),
            Kind::Boolean => row.try_get::<_, Option<bool>>(nth)?.map(Value::Boolean),
            Kind::Text | Kind::Name => row.try_get::<_, Option<String>>(nth)?.map(Value::Text),
            Kind::Id => row.try_get::<_, Option<Uuid>>(nth)?.map(|id| Value::Id(id.into_bytes())),
        };
        values.push(value.unwrap_or(Value::None));
    }
    Ok(Record(values))
}

/// The values of one column of many records.
pub(super) enum List {
    Integer(Vec<Option<i64>>),
    Count(Vec<Option<i32>>),
    Boolean(Vec<Option<bool>>),
    Text(Vec<Option<String>>),
    Id(Vec<Option<Uuid>>),
}

impl List {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Integer => Self::Integer(Vec::new()),
            Kind::Count => Self::Count(Vec::new()),
            Kind::Boolean => Self::Boolean(Vec::new()),
            Kind::Text | Kind::Name => Self::Text(Vec::new()),
            Kind::Id => Self::Id(Vec::new()),
        }
    }
    /// Adds a value, unless it does not belong here.
    fn push(&mut self, value: Value) -> bool {
        match (self, value) {
            (Self::Integer(list), Value::None) => list.push(None),
            (Self::Integer(list), Value::Integer(n)) => list.push(Some(n)),
            (Self::Count(list), Value::None) => list.push(None),
            (Self::Count(list), Value::Integer(n)) => match u32::try_from(n) {
                Ok(n) => list.push(Some(n.cast_signed())),
                Err(_) => return false,
            },
            (Self::Boolean(list), Value::None) => list.push(None),
            (Self::Boolean(list), Value::Boolean(yes)) => list.push(Some(yes)),
            (Self::Text(list), Value::None) => list.push(None),
            (Self::Text(list), Value::Text(text)) => list.push(Some(text)),
            (Self::Id(list), Value::None) => list.push(None),
            (Self::Id(list), Value::Id(bytes)) => list.push(Some(Uuid::from_bytes(bytes))),
            _ => return false,
        }
        true
    }
    pub(super) fn param(&self) -> Param<'_> {
        match self {
            Self::Integer(list) => list,
            Self::Count(list) => list,
            Self::Boolean(list) => list,
            Self::Text(list) => list,
            Self::Id(list) => list,
        }
    }
}

/// Turns records into a list for each column, or names the column in which something stands that cannot.
pub(super) fn lists(table: Table, records: Vec<Record>) -> Result<Vec<List>, String> {
    let columns = table.columns();
    let mut lists: Vec<List> = columns.iter().map(|column| List::of(column.kind)).collect();
    for record in records {
        let place = record.place(table);
        for ((list, column), value) in lists.iter_mut().zip(columns).zip(record.0) {
            if !list.push(value) {
                return Err(format!(
                    "column `{}` of {place} is of another kind than it should be",
                    column.name
                ));
            }
        }
    }
    Ok(lists)
}
