//! How many webhooks are delivered to a receiver on this machine, and what telling it of every end costs a drain.
use stepwell_bench_subject::Result;

use crate::{bench::Bench, subject::Subject::Stepwell};

const DRAIN: &str = "drain while each end is delivered";
pub(crate) const RATIO: &str = "÷ drain without webhooks";
pub(crate) const DELIVERIES: &str = "webhook deliveries";

/// Each waits for an answer, so that there are fewer of them a second than jobs.
const JOBS: u64 = 60_000;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (jobs, rounds) = (bench.options.jobs.min(JOBS), bench.options.rounds);
    let sizes = [("jobs", jobs)];
    bench.in_turn(rounds, &[Stepwell], |turn| {
        let alone = turn.fresh("alone")?;
        turn.child("bulk", &alone, &sizes)?;
        let report = turn.child("webhooks", &alone, &sizes)?;
        turn.expect(&alone, jobs, jobs)?;
        let rate_alone = report.figure("jobs_per_second")?;

        let told = turn.fresh("told")?;
        turn.child("bulk", &told, &sizes)?;
        let report = turn.child("webhooks", &told, &[("jobs", jobs), ("endpoints", 1)])?;
        // Each delivery is a job.
        turn.expect(&told, 2 * jobs, 2 * jobs)?;
        let rate = turn.record(DRAIN, "jobs/s", &report, "jobs_per_second")?;
        turn.record_value(RATIO, "×", &report, rate / rate_alone);
        turn.record(DELIVERIES, "deliveries/s", &report, "deliveries_per_second")?;
        Ok(())
    })
}
