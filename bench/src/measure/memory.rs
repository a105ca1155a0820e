//! Resident memory of a whole process: at rest, and at most while it drains many jobs.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Peer, Stepwell},
};

pub(crate) const REST: &str = "memory at rest";
pub(crate) const PEAK: &str = "memory, draining 100,000";

/// The goal speaks of this many, whatever the other measurements take.
const JOBS: u64 = 100_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    bench.in_turn(1, &[Peer, Stepwell], |turn| {
        let db = turn.fresh("memory")?;
        let report = turn.child("idle", &db, &[("seconds", 1)])?;
        turn.expect(&db, 0, 0)?;
        turn.record(REST, "MiB", &report, "rest_mib")?;
        Ok(())
    })?;
    bench.in_turn(1, &[Bare, Peer, Stepwell], |turn| {
        let db = turn.fresh("memory")?;
        turn.child("bulk", &db, &[("jobs", JOBS)])?;
        let report = turn.child("drain", &db, &[("jobs", JOBS)])?;
        turn.expect(&db, JOBS, JOBS)?;
        turn.record(PEAK, "MiB", &report, "peak_mib")?;
        Ok(())
    })
}
