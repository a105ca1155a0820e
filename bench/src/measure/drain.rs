//! Running everything that is due.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Peer, Stepwell},
};

pub(crate) const ONE_PHASE: &str = "drain, 1 phase";
pub(crate) const THREE_PHASES: &str = "drain, 3 phases";

pub(crate) fn one_phase(bench: &mut Bench) -> Result<()> {
    drain(bench, ONE_PHASE, 1)
}

pub(crate) fn three_phases(bench: &mut Bench) -> Result<()> {
    drain(bench, THREE_PHASES, 3)
}

fn drain(bench: &mut Bench, measure: &str, phases: u64) -> Result<()> {
    let (jobs, rounds) = (bench.options.jobs, bench.options.rounds);
    bench.in_turn(rounds, &[Bare, Peer, Stepwell], |turn| {
        // The other queues have no phases: one of their jobs stands against one phase.
        let phases = if turn.subject == Peer { 1 } else { phases };
        let sizes = [("jobs", jobs), ("phases", phases)];
        let db = turn.fresh("drain")?;
        turn.child("bulk", &db, &sizes)?;
        let report = turn.child("drain", &db, &sizes)?;
        turn.expect(&db, jobs, jobs)?;
        turn.record(measure, "phases/s", &report, "phases_per_second")?;
        Ok(())
    })
}
