//! A copy in the making.

use std::fmt;

use stepwell_core::{
    Error, Result,
    store::copy::{Arrived, Destination, Digest, Note, Source, Table},
};
use tokio::sync::oneshot;

use super::{
    carry::carry,
    compare::compare,
    place::Place,
    progress::{Meter, Progress, Step, Told},
    terms::{self, Terms},
};
use crate::{crash_point, entropy::Entropy};

/// A copy of a whole store in the making.
#[must_use = "nothing happens until `.run()` is called"]
pub struct Copying {
    from: Place,
    to: Place,
    told: Told,
}

/// What was copied. Both stores hold exactly this.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Where it was, without a password.
    pub from: String,
    /// Where it is now.
    pub to: String,
    /// Whether an earlier copy went on that was interrupted.
    pub resumed: bool,
    /// The tables, in the order in which they were copied.
    pub tables: Vec<CopiedTable>,
    /// Records of all tables together.
    pub records: u64,
    /// What everything comes to, in hexadecimal digits: the same for the same content in any kind of store.
    pub sha256: String,
}

/// What was copied of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopiedTable {
    /// Its name.
    pub name: &'static str,
    /// How many records.
    pub records: u64,
    /// What they come to.
    pub sha256: String,
}

impl Copying {
    /// A copy of one store to another.
    pub fn new(from: Place, to: Place) -> Self {
        Self { from, to, told: Box::new(|_| {}) }
    }
    /// Who is told how far it is, several times a second at the usual speed.
    pub fn on_progress(mut self, told: impl FnMut(Progress) + Send + 'static) -> Self {
        self.told = Box::new(told);
        self
    }

    /// Copies everything, and compares what has arrived with what was there.
    ///
    /// From the beginning on the source is sealed: it can be read, and every attempt to write is refused. It stays so
    /// after the copy was made, because the same work must not be done in two places; [`unseal`] takes that back. The
    /// destination can be used once it is whole.
    ///
    /// If it is interrupted, by an error, a crash or because the future is dropped, the same call goes on where it
    /// stood. A future that is dropped does not end what has been begun: wait for it, or end the process.
    ///
    /// # Errors
    /// If somebody works on the source, unless all of their queues are paused and nothing of theirs runs; if the
    /// destination holds anything but the beginning of this copy; if either cannot be opened, read or written; or if,
    /// in the end, the two are not the same. Each says what to do.
    pub async fn run(self) -> Result<Copied> {
        let Self { from, to, mut told } = self;
        apart(move || {
            let entropy = Entropy::new(false);
            let mut source = from.source(&entropy)?;
            let here = source.standing()?;
            if here.note.is_none() {
                // Before anything is made at the other end.
                source.check_unused()?;
            }
            let mut destination = to.destination(&entropy)?;
            let terms = terms::agree(&here, &destination.standing()?)?;
            let (source, destination) = (&mut *source, &mut *destination);
            let (id, arrived) = match terms {
                Terms::Anew => {
                    let id = entropy.generation();
                    terms::check_empty(destination)?;
                    terms::begin(source, destination, id)?;
                    (id, Arrived::nothing())
                }
                Terms::On(id, arrived) => (id, arrived),
            };
            copy(source, destination, (id, arrived), &mut told)
        })
        .await
    }
}

impl fmt::Debug for Copying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copying").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

/// Lets a store be used again that is sealed because it was copied, or was to be.
///
/// Use either it or the copy. Whoever follows its events is told that this is another log, because what comes now may
/// be another story than the copy's; and a copy that was interrupted cannot go on.
///
/// # Errors
/// If the store is not sealed, or cannot be opened or written, or if somebody works on it.
pub async fn unseal(place: Place) -> Result<()> {
    apart(move || {
        let entropy = Entropy::new(false);
        let mut store = place.source(&entropy)?;
        match store.standing()?.note {
            Some(Note::Source { .. }) => store.unseal(entropy.generation()),
            Some(Note::Destination { from, .. }) => Err(Error::refused(format!(
                "it holds the beginning of a copy of {from}; run `stepwell db copy` again, or remove it"
            ))),
            None => Err(Error::refused("it is not sealed; use it as it is")),
        }
    })
    .await
}

/// Does the copying, once it is clear that it may be done.
fn copy(
    source: &mut dyn Source,
    destination: &mut dyn Destination,
    (id, arrived): ([u8; 16], Arrived),
    told: &mut Told,
) -> Result<Copied> {
    let counts = Table::ALL.into_iter().map(|table| Ok((table, source.count(table)?)));
    let counts = counts.collect::<Result<Vec<_>>>()?;
    let total = counts.iter().map(|(_, records)| records).sum();
    let mut meter = Meter::new(Step::Copying, total, told);
    let whole = counts.iter().filter(|(table, _)| *table < arrived.table);
    meter.add(arrived.table, whole.map(|(_, records)| records).sum::<u64>() + arrived.records);
    carry(source, destination, arrived, &mut meter)?;
    let head = source.head()?;
    destination.settle(&head)?;
    crash_point::pass("copy-settled");
    let mut meter = Meter::new(Step::Comparing, total, told);
    let tables = Table::ALL.into_iter().map(|table| compare(source, destination, table, &mut meter));
    let tables = tables.collect::<Result<Vec<CopiedTable>>>()?;
    if !destination.head()?.is_copy_of(&head) {
        return Err(Error::refused(
            "the copy is not what was copied: the head of its log differs; remove the copy, and make another",
        ));
    }
    // In this order: of a source that says so nobody makes another copy, and this one can still be finished.
    source.note_done(id)?;
    crash_point::pass("copy-done");
    destination.open()?;
    let hashes = Table::ALL.into_iter().zip(tables.iter().map(|table| table.sha256.clone()));
    Ok(Copied {
        from: source.location(),
        to: destination.location(),
        resumed: arrived != Arrived::nothing(),
        records: tables.iter().map(|table| table.records).sum(),
        sha256: Digest::of_store(&head, &hashes.collect::<Vec<_>>()),
        tables,
    })
}

/// Runs on a thread of its own: it waits for disks and databases, for as long as it takes.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("stepwell-copy".into());
    let work = move || {
        // Nobody may be waiting any more, which changes nothing.
        drop(done.send(work()));
    };
    thread.spawn(work).map_err(|error| Error::storage("start the thread that copies", error))?;
    let panicked = |_| Error::fatal("copying failed; this is a defect of Stepwell");
    ended.await.map_err(panicked)?
}
