//! What these tests share: stores on a database of their own, and what its log must be.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code, of which each binary uses a part"
)]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use stepwell_core::{Event, JobId, Json, Timestamp, event::EventFilter, machine::NewJob, store::Store};
use stepwell_postgres::{Postgres, PostgresOptions};

/// A node on this database.
pub fn node(url: String, committers: usize) -> Postgres {
    Postgres::open(&PostgresOptions { committers, ..PostgresOptions::new(url, [7; 16]) }).unwrap()
}

/// A job that nobody else has.
pub fn new_job(kind: &str) -> NewJob {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let id = JobId::from_parts(Timestamp::from_micros(1_780_000_000_000_000), random);
    NewJob::new(id, kind, Json::from_text("{}").unwrap())
}

/// Everything in the log, in its order, which has no gap: neither in the whole nor in what is said of any job.
pub async fn sound_log(store: &Postgres) -> Vec<Event> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = store.events(after, 1_000, EventFilter::default()).await.unwrap();
        events.extend(page.events);
        if page.next == after {
            assert_eq!(page.head, after, "everything has a position");
            break;
        }
        after = page.next;
    }
    let mut seqs: BTreeMap<JobId, u64> = BTreeMap::new();
    for (nth, event) in (1..).zip(&events) {
        assert_eq!(event.pos, nth, "no position is left out, or given twice");
        let seq = seqs.entry(event.job).or_default();
        *seq += 1;
        assert_eq!(event.job_seq, *seq, "what is said of a job comes in the order in which it happened");
    }
    events
}
