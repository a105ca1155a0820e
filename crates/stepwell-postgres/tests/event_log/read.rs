//! Readers: each keeps a place in the log and nothing else.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use stepwell_core::{Event, EventType, JobId, event::EventFilter, store::Store};
use stepwell_postgres::Postgres;
use stepwell_postgres_rig::Database;

/// What an event is, to tell it from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    job: JobId,
    job_seq: u64,
    ty: EventType,
}

/// The log as the first reader of each place saw it. All others must see the same.
pub(crate) struct Seen {
    marks: Mutex<Vec<Mark>>,
    end: AtomicU64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { marks: Mutex::default(), end: AtomicU64::new(u64::MAX) }
    }
}

impl Seen {
    fn marks(&self) -> MutexGuard<'_, Vec<Mark>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// From now on nothing is written any more.
    pub(crate) fn ends_at(&self, head: u64) {
        self.end.store(head, Ordering::SeqCst);
    }
    fn see(&self, reader: usize, event: &Event) {
        let Event { pos, job, job_seq, ty, .. } = *event;
        let (mark, mut marks) = (Mark { job, job_seq, ty }, self.marks());
        let nth = usize::try_from(pos).unwrap() - 1;
        match marks.get(nth) {
            Some(known) => assert_eq!(*known, mark, "two readers saw different events at {pos}: {reader}"),
            None => {
                assert_eq!(
                    marks.len(),
                    nth,
                    "reader {reader} saw {pos} before anybody saw what is before it"
                );
                marks.push(mark);
            }
        }
    }
    /// The log is dense, each job's numbers are, and it has the last that each job's row says there is. Answers how
    /// many jobs it speaks of.
    pub(crate) fn check(&self, database: &Database) -> usize {
        let mut seqs: BTreeMap<JobId, u64> = BTreeMap::new();
        for mark in &*self.marks() {
            let seq = seqs.entry(mark.job).or_default();
            *seq += 1;
            assert_eq!(mark.job_seq, *seq, "what is said of {} is in order", mark.job);
        }
        assert_eq!(u64::try_from(self.marks().len()).unwrap(), self.end.load(Ordering::SeqCst));
        let rows = database.query("SELECT uuid, next_seq - 1 FROM stepwell.job").unwrap();
        assert_eq!(rows.len(), seqs.len(), "every job is spoken of, and no other");
        for row in rows {
            let (job, last) = (row[0].as_deref().unwrap(), row[1].as_deref().unwrap());
            let said = seqs[&job.parse().unwrap()];
            assert_eq!(last, said.to_string(), "all that was said of {job} is there");
        }
        seqs.len()
    }
    pub(crate) fn counts(&self) -> BTreeMap<(JobId, EventType), u64> {
        let mut counts = BTreeMap::new();
        for mark in &*self.marks() {
            *counts.entry((mark.job, mark.ty)).or_default() += 1;
        }
        counts
    }
}

/// Reads to the end, and answers how often it was dropped.
///
/// Every tenth sees one kind only: no position tells it what it has missed, but each job's own numbers do.
pub(crate) async fn read(store: Arc<Postgres>, nth: usize, seed: u64, seen: Arc<Seen>) -> u64 {
    let mut random = StdRng::seed_from_u64(seed ^ u64::try_from(nth).unwrap() << 32);
    let kind = nth.is_multiple_of(10).then(|| if nth == 0 { "common" } else { "worked" }.into());
    let filter = EventFilter { kind, ..EventFilter::default() };
    let mut seqs: BTreeMap<JobId, u64> = BTreeMap::new();
    let (mut kept, mut dropped) = (0, 0);
    while kept < seen.end.load(Ordering::SeqCst) {
        let limit = random.random_range(1..400);
        let Ok(page) = store.events(kept, limit, filter.clone()).await else { continue };
        assert!(!page.is_damaged && page.head >= kept && page.head <= seen.end.load(Ordering::SeqCst));
        // Dropped after so many events, whatever else it was given.
        let taken = if random.random_bool(0.3) { random.random_range(0..limit) } else { usize::MAX };
        let (whole, mut last) = (taken >= page.events.len(), kept);
        for event in page.events.iter().take(taken) {
            if filter.kind.is_none() {
                assert_eq!(event.pos, last + 1, "reader {nth}");
                seen.see(nth, event);
            } else {
                assert!(event.pos > last);
                let seq = seqs.entry(event.job).or_default();
                *seq += 1;
                assert_eq!(
                    event.job_seq, *seq,
                    "reader {nth} of one kind, at {} of {}",
                    event.pos, event.job
                );
            }
            last = event.pos;
        }
        dropped += u64::from(!whole);
        kept = if whole { page.next } else { last };
        if whole && page.next == page.head {
            tokio::time::sleep(Duration::from_millis(random.random_range(1..100))).await;
        }
    }
    assert_eq!(kept, seen.end.load(Ordering::SeqCst));
    dropped
}
