//! What is said in the end.

use std::time::Duration;

use serde_json::json;

use super::{Options, samples::Samples};
use crate::{failure::Failure, output::Output};

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    /// How long it took to store the jobs, and each call.
    pub(super) stored: (Duration, Samples),
    /// How long it took to work them.
    pub(super) worked: Duration,
    /// From the call that stores a job to the beginning of its work, on a queue that is idle.
    pub(super) begun: Samples,
    pub(super) counted: Counted,
}

/// What was counted afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// Jobs that were acknowledged.
    pub(super) stored: u64,
    /// Jobs that the store says to have completed.
    pub(super) completed: u64,
    /// How often one was worked.
    pub(super) worked: u64,
}

/// Where it was measured, in words.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) target: String,
    pub(super) store: String,
    pub(super) durability: String,
}

impl Counted {
    /// Whether all were worked once, and nothing else was.
    pub(super) fn is_right(self) -> bool {
        self.stored == self.completed && self.stored == self.worked
    }
}

/// Says what was measured.
pub(super) fn tell(
    out: Output,
    place: &Place,
    options: &Options,
    measured: &Measured,
) -> Result<(), Failure> {
    let Options { jobs, callers, payload_bytes, slots } = options;
    let Measured { stored: (storing, calls), worked, begun, counted } = measured;
    let per_second = |took: &Duration| (f64::from(*jobs) / took.as_secs_f64().max(1e-6)).round();
    let Counted { stored, completed, worked: times } = counted;
    if out.is_json() {
        let mut enqueue = calls.to_json();
        enqueue["perSecond"] = json!(per_second(storing));
        return out.line(
            &json!({
                "target": place.target, "store": place.store, "durability": place.durability,
                "jobs": jobs, "callers": callers, "payloadBytes": payload_bytes, "slots": slots,
                "enqueue": enqueue, "work": { "perSecond": per_second(worked) }, "begin": begun.to_json(),
                "verified": { "stored": stored, "completed": completed, "worked": times },
            })
            .to_string(),
        );
    }
    out.facts(&[
        ("target", place.target.clone()),
        ("store", format!("{}, {}", place.store, place.durability)),
        ("settings", format!("{jobs} jobs of {payload_bytes} bytes, {callers} callers, {slots} at once")),
        ("enqueue", format!("{} jobs/s, {}", per_second(storing), calls.words())),
        ("work", format!("{} jobs/s", per_second(worked))),
        ("begin", format!("{}, from the call to the first line of the job", begun.words())),
        ("verified", format!("{stored} stored, {completed} completed, worked {times} times")),
    ])
}
