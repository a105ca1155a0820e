//! Whether the records of two stores are the same.

use std::{cmp::Ordering, thread};

use stepwell_core::{
    Error, Result,
    store::copy::{Digest, End, Record, Table},
};

use super::{copying::CopiedTable, progress::Meter, stream::Stream};

/// Records after which somebody is told how far it is.
const TOLD_EVERY: u64 = 1_000;

/// Reads a table of both stores. Answers with what it comes to, which is the same in both.
pub(super) fn compare<A: End + ?Sized, B: End + ?Sized>(
    source: &mut A,
    destination: &mut B,
    table: Table,
    meter: &mut Meter<'_>,
) -> Result<CopiedTable> {
    thread::scope(|scope| {
        let mut here = Stream::begin(scope, source, table, 0)?;
        let mut there = Stream::begin(scope, destination, table, 0)?;
        let (mut digest, mut records) = (Digest::default(), 0);
        loop {
            match (here.next()?, there.next()?) {
                (None, None) => break,
                (Some(here), Some(there)) if here == there => digest.add(&here),
                (here, there) => return Err(difference(table, here.as_ref(), there.as_ref())),
            }
            records += 1;
            if records % TOLD_EVERY == 0 {
                meter.add(table, TOLD_EVERY);
            }
        }
        meter.add(table, records % TOLD_EVERY);
        Ok(CopiedTable { name: table.name(), records, sha256: digest.finish() })
    })
}

/// What is told of the first record that is not the same.
fn difference(table: Table, here: Option<&Record>, there: Option<&Record>) -> Error {
    let order = match (here, there) {
        (Some(here), Some(there)) => here.key(table).cmp(there.key(table)),
        (Some(_), None) => Ordering::Less,
        (None, _) => Ordering::Greater,
    };
    let place = |record: Option<&Record>| record.map(|record| record.place(table)).unwrap_or_default();
    let what = match order {
        Ordering::Less => format!("{} is missing in the copy", place(here)),
        Ordering::Greater => format!("{} is in the copy only", place(there)),
        Ordering::Equal => {
            let columns = table.columns().iter().zip(here.into_iter().flat_map(|here| &here.0));
            let other = there.into_iter().flat_map(|there| &there.0);
            let differs = columns.zip(other).find(|((_, here), there)| here != there);
            let column = differs.map_or("", |((column, _), _)| column.name);
            format!("{} differs in `{column}`", place(here))
        }
    };
    Error::refused(format!(
        "the copy is not what was copied: {what}; somebody has changed one of the stores by hand: remove the copy, and \
         make another"
    ))
}

#[cfg(test)]
mod tests {
    use stepwell_core::store::copy::Value;

    use super::*;

    #[test]
    fn a_difference_is_named_by_its_table_key_and_column() {
        let record = |key: i64, body: &str| Record(vec![Value::Integer(key), Value::Text(body.into())]);
        let said = |here: Option<(i64, &str)>, there: Option<(i64, &str)>| {
            let of = |found: Option<(i64, &str)>| found.map(|(key, body)| record(key, body));
            difference(Table::Payload, of(here).as_ref(), of(there).as_ref()).to_string()
        };
        for (said, expected) in [
            (said(Some((7, "a")), Some((7, "b"))), "`payload` 7 differs in `body`"),
            (said(Some((7, "a")), Some((8, "a"))), "`payload` 7 is missing in the copy"),
            (said(Some((7, "a")), None), "`payload` 7 is missing in the copy"),
            (said(Some((8, "a")), Some((7, "a"))), "`payload` 7 is in the copy only"),
            (said(None, Some((7, "a"))), "`payload` 7 is in the copy only"),
        ] {
            assert!(said.contains(expected), "{said}");
        }
    }
}
