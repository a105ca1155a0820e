//! From the beginning of the enqueue call to the beginning of the handler, on an idle worker.
//!
//! The bare store stands for the disk: its figure is one commit of one job, so that a ratio to it counts commits.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Bare, Peer, Stepwell},
};

pub(crate) const P50: &str = "start latency, p50";
pub(crate) const P99: &str = "start latency, p99";
const ACROSS_P50: &str = "start latency, other process, p50";
pub(crate) const ACROSS_P99: &str = "start latency, other process, p99";

const JOBS: u64 = 200;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let (jobs, rounds) = (bench.options.jobs.min(JOBS), bench.options.rounds);
    let sizes = [("jobs", jobs)];
    bench.in_turn(rounds, &[Bare, Peer, Stepwell], |turn| {
        let db = turn.fresh("latency")?;
        if turn.subject == Bare {
            let report = turn.child("commit", &db, &sizes)?;
            turn.expect(&db, jobs, 0)?;
            turn.record(P50, "ms", &report, "enqueue_p50_ms")?;
            turn.record(P99, "ms", &report, "enqueue_p99_ms")?;
            return Ok(());
        }
        let report = turn.child("latency", &db, &sizes)?;
        turn.expect(&db, jobs, jobs)?;
        turn.record(P50, "ms", &report, "p50_ms")?;
        turn.record(P99, "ms", &report, "p99_ms")?;
        Ok(())
    })?;
    // effectum's file belongs to one process, and what Stepwell must reach is not measured by others.
    bench.in_turn(rounds, &[Stepwell], |turn| {
        let db = turn.fresh("latency")?;
        let report = turn.child("latency-across", &db, &sizes)?;
        turn.expect(&db, jobs, jobs)?;
        turn.record(ACROSS_P50, "ms", &report, "p50_ms")?;
        turn.record(ACROSS_P99, "ms", &report, "p99_ms")?;
        Ok(())
    })
}
