//! One caller and 64 callers, each waiting until its job is durable before it enqueues the next.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Peer, Stepwell},
};

pub(crate) const MANY: &str = "enqueue, 64 callers";
const ONE: &str = "enqueue, 1 caller";

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (jobs, rounds) = (bench.options.jobs, bench.options.rounds);
    // A single caller pays for each commit alone, and needs fewer jobs to be measured as well.
    let kinds = [(MANY, 64, jobs), (ONE, 1, jobs.div_ceil(25))];
    bench.in_turn(rounds, &[Bare, Peer, Stepwell], |turn| {
        for (measure, callers, jobs) in kinds {
            let db = turn.fresh("callers")?;
            let report = turn.child("callers", &db, &[("jobs", jobs), ("callers", callers)])?;
            turn.expect(&db, jobs, 0)?;
            turn.record(measure, "jobs/s", &report, "jobs_per_second")?;
        }
        Ok(())
    })
}
