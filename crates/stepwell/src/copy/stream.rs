//! Records as they are read, ahead of whoever takes them.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread::Scope,
};

use stepwell_core::{
    Error, Result,
    store::copy::{End, Record, Table},
};

/// Batches that are read ahead.
const AHEAD_MAX: usize = 2;

/// The records of a table, on their way from a thread that reads them.
pub(super) struct Stream {
    batches: Receiver<Result<Vec<Record>>>,
    batch: std::vec::IntoIter<Record>,
}

impl Stream {
    /// Begins to read a table, all but the first so many records.
    pub(super) fn begin<'scope, E: End + ?Sized>(
        scope: &'scope Scope<'scope, '_>,
        end: &'scope mut E,
        table: Table,
        skip: u64,
    ) -> Result<Self> {
        let (sender, batches) = sync_channel(AHEAD_MAX);
        let read = move || {
            // If nobody takes them any more, somebody has another reason to give up.
            let mut pass = |batch| sender.send(Ok(batch)).map_err(|_| Error::closed());
            if let Err(error) = end.read(table, skip, &mut pass) {
                drop(sender.send(Err(error)));
            }
        };
        let reading = std::thread::Builder::new().name("stepwell-copy".into()).spawn_scoped(scope, read);
        reading.map_err(|error| Error::storage("start a thread that reads", error))?;
        Ok(Self { batches, batch: Vec::new().into_iter() })
    }
    /// The batch that comes next; none after the last.
    pub(super) fn next_batch(&mut self) -> Result<Option<Vec<Record>>> {
        self.batches.recv().ok().transpose()
    }
    /// The record that comes next; none after the last.
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        loop {
            if let Some(record) = self.batch.next() {
                return Ok(Some(record));
            }
            match self.next_batch()? {
                Some(batch) => self.batch = batch.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
