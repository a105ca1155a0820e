//! The records, from one store to the other.

use std::thread;

use stepwell_core::{
    Result,
    store::copy::{Arrived, Destination, Source, Table},
};

use super::{progress::Meter, stream::Stream};
use crate::crash_point;

/// Carries over what has not arrived yet.
pub(super) fn carry(
    source: &mut dyn Source,
    destination: &mut dyn Destination,
    mut arrived: Arrived,
    meter: &mut Meter<'_>,
) -> Result<()> {
    let first = arrived.table;
    for table in Table::ALL.into_iter().filter(|table| *table >= first) {
        if table != arrived.table {
            destination.turn_to(table, arrived)?;
            arrived = Arrived::none_of(table);
        }
        arrived = carry_rest(source, destination, arrived, meter)?;
    }
    Ok(())
}

/// Carries over the rest of a table. Answers with what has arrived.
fn carry_rest(
    source: &mut dyn Source,
    destination: &mut dyn Destination,
    mut arrived: Arrived,
    meter: &mut Meter<'_>,
) -> Result<Arrived> {
    thread::scope(|scope| {
        let mut batches = Stream::begin(scope, source, arrived.table, arrived.records)?;
        while let Some(batch) = batches.next_batch()? {
            let n = batch.len() as u64;
            destination.write(batch, arrived)?;
            crash_point::pass("copy-batch");
            arrived = arrived.and(n);
            meter.add(arrived.table, n);
        }
        Ok(arrived)
    })
}
