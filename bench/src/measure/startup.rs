//! From the beginning of a process to its first handler, on a large file: half of the jobs are over, half are due.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Stepwell},
};

pub(crate) const FIRST_CLAIM: &str = "start to first claim";

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (jobs, rounds) = (bench.options.scheduled, bench.options.rounds);
    bench.in_turn(rounds, &[Bare, Stepwell], |turn| {
        let db = if turn.round == 1 { turn.fresh("startup")? } else { turn.place("startup")? };
        if turn.round == 1 {
            turn.child("seed", &db, &[("finished", jobs / 2), ("ready", jobs - jobs / 2)])?;
            turn.expect(&db, jobs, jobs / 2)?;
        }
        let report = turn.child("startup", &db, &[])?;
        turn.expect_at_least(&db, jobs, jobs / 2)?;
        turn.record(FIRST_CLAIM, "ms", &report, "first_claim_ms")?;
        Ok(())
    })
}
