//! Enqueueing a thousand jobs per call.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Peer, Stepwell},
};

pub(crate) const BULK: &str = "bulk enqueue";

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (jobs, rounds) = (bench.options.jobs, bench.options.rounds);
    bench.in_turn(rounds, &[Bare, Peer, Stepwell], |turn| {
        let db = turn.fresh("bulk")?;
        let report = turn.child("bulk", &db, &[("jobs", jobs)])?;
        turn.expect(&db, jobs, 0)?;
        turn.record(BULK, "jobs/s", &report, "jobs_per_second")?;
        Ok(())
    })
}
