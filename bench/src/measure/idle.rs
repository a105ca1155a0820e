//! What an idle worker costs.
use stepwell_bench_subject::Result;

use crate::{
    bench::Bench,
    subject::Subject::{Peer, Stepwell},
};

pub(crate) const CPU: &str = "idle for 10 s";

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    bench.in_turn(1, &[Peer, Stepwell], |turn| {
        let db = turn.fresh("idle")?;
        let report = turn.child("idle", &db, &[("seconds", 10)])?;
        turn.expect(&db, 0, 0)?;
        turn.record(CPU, "% of a core", &report, "cpu_percent")?;
        Ok(())
    })
}
