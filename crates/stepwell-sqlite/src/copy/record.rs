//! Rows, out of the file and into it.

use rusqlite::{
    Row, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use stepwell_core::{
    JobId,
    store::copy::{Column, Kind, Record, Table, Value},
};

/// Reads a row. What is not what it should be is told with its column: nothing of it can be kept elsewhere.
pub(super) fn decode(table: Table, row: &Row<'_>) -> rusqlite::Result<Result<Record, String>> {
    let mut values = Vec::with_capacity(table.columns().len());
    for (nth, column) in table.columns().iter().enumerate() {
        match value(*column, row.get_ref(nth)?) {
            Ok(value) => values.push(value),
            Err(found) => {
                let place = Record(values).place(table);
                return Ok(Err(format!("column `{}` of {place} is {found}", column.name)));
            }
        }
    }
    Ok(Ok(Record(values)))
}

fn value(column: Column, found: ValueRef<'_>) -> Result<Value, String> {
    let other = |wanted: &str| Err(format!("{}, not {wanted}", found.data_type()));
    match (column.kind, found) {
        (_, ValueRef::Null) => Ok(Value::None),
        (Kind::Integer, ValueRef::Integer(n)) => Ok(Value::Integer(n)),
        (Kind::Count, ValueRef::Integer(n)) if u32::try_from(n).is_ok() => Ok(Value::Integer(n)),
        (Kind::Boolean, ValueRef::Integer(n)) => Ok(Value::Boolean(n != 0)),
        (Kind::Text | Kind::Name, ValueRef::Text(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err("not valid UTF-8".into()),
        },
        (Kind::Id, ValueRef::Blob(bytes)) => match bytes.try_into() {
            Ok(bytes) => Ok(Value::Id(bytes)),
            Err(_) => Err(format!("{} bytes long, not 16", bytes.len())),
        },
        (Kind::Integer | Kind::Boolean, _) => other("an integer"),
        (Kind::Count, _) => other("a number of 32 bits"),
        (Kind::Text | Kind::Name, _) => other("text"),
        (Kind::Id, _) => other("bytes"),
    }
}

/// A value as it is bound.
pub(super) struct Bound<'a>(pub(super) &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::None => ValueRef::Null,
            Value::Integer(n) => ValueRef::Integer(*n),
            Value::Boolean(yes) => ValueRef::Integer(i64::from(*yes)),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Id(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Makes a record what this store keeps of it: an id of an inbox row that is a UUID is stored as its bytes.
pub(super) fn own(table: Table, mut record: Record) -> Record {
    if table == Table::InboxDone
        && let Some(Value::Text(text)) = record.0.first()
        && let Ok(id) = text.parse::<JobId>()
    {
        record.0[0] = Value::Id(*id.as_bytes());
    }
    record
}
