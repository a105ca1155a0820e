//! One file per measurement: which commands, which figures, and which counts must be found afterwards.
pub(crate) mod bulk;
pub(crate) mod callers;
pub(crate) mod claim_rate;
pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod startup;
pub(crate) mod webhooks;

use stepwell_bench_subject::Result;

use crate::bench::Bench;

#[derive(Clone, Copy)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Bench) -> Result<()>,
}

pub(crate) const ALL: [Measure; 11] = [
    Measure { name: "drain1", run: drain::one_phase },
    Measure { name: "drain3", run: drain::three_phases },
    Measure { name: "callers", run: callers::run },
    Measure { name: "bulk", run: bulk::run },
    Measure { name: "latency", run: latency::run },
    Measure { name: "idle", run: idle::run },
    Measure { name: "memory", run: memory::run },
    Measure { name: "finished", run: claim_rate::beside_finished },
    Measure { name: "scheduled", run: claim_rate::beside_scheduled },
    Measure { name: "startup", run: startup::run },
    Measure { name: "webhooks", run: webhooks::run },
];

/// The measure of this name, or all of them.
pub(crate) fn named(name: &str) -> Result<Vec<Measure>> {
    if name == "all" {
        return Ok(ALL.to_vec());
    }
    let found = ALL.into_iter().find(|measure| measure.name == name);
    Ok(vec![found.ok_or_else(|| format!("there is no measure `{name}`"))?])
}
