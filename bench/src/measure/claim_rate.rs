//! What history and waiting work cost: draining the same jobs in an empty file and beside millions of others.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Stepwell},
    table::Number,
};

pub(crate) const FINISHED_RATIO: &str = "÷ drain without finished jobs";
pub(crate) const SCHEDULED_RATIO: &str = "÷ drain without scheduled jobs";

pub(crate) fn beside_finished(bench: &mut Bench) -> Result<()> {
    let finished = bench.options.finished;
    beside(bench, Crowd { name: "finished", ratio: FINISHED_RATIO, finished, scheduled: 0 })
}

pub(crate) fn beside_scheduled(bench: &mut Bench) -> Result<()> {
    let scheduled = bench.options.scheduled;
    beside(bench, Crowd { name: "scheduled", ratio: SCHEDULED_RATIO, finished: 0, scheduled })
}

/// The jobs that are only to be in the way.
struct Crowd {
    name: &'static str,
    ratio: &'static str,
    finished: u64,
    scheduled: u64,
}

fn beside(bench: &mut Bench, crowd: Crowd) -> Result<()> {
    let (jobs, rounds) = (bench.options.jobs, bench.options.rounds);
    let Crowd { name, ratio, finished, scheduled } = crowd;
    let sizes = [("jobs", jobs)];
    let measure = format!("drain beside {} {name}", Number((finished + scheduled) as f64));
    bench.in_turn(rounds, &[Bare, Stepwell], |turn| {
        let alone = turn.fresh("alone")?;
        turn.child("bulk", &alone, &sizes)?;
        let report = turn.child("drain", &alone, &sizes)?;
        turn.expect(&alone, jobs, jobs)?;
        let rate_alone = report.figure("jobs_per_second")?;

        // The crowd stays from round to round, and the jobs drained beside it join the finished ones.
        let beside = if turn.round == 1 { turn.fresh("beside")? } else { turn.place("beside")? };
        if turn.round == 1 {
            turn.child("seed", &beside, &[("finished", finished), ("scheduled", scheduled)])?;
        }
        turn.child("bulk", &beside, &sizes)?;
        let report = turn.child("drain", &beside, &sizes)?;
        let drained = turn.round * jobs;
        turn.expect(&beside, finished + scheduled + drained, finished + drained)?;
        let rate = turn.record(&measure, "jobs/s", &report, "jobs_per_second")?;
        turn.record_value(ratio, "×", &report, rate / rate_alone);
        Ok(())
    })
}
