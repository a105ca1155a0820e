//! What Stepwell must reach on a store, what it aims at, and what this run found.
//!
//! The lines are those of the design that these subjects can judge. The best peer on SQLite that syncs is not one of
//! them, so the lines that speak of it are missing.
use std::fmt;

use serde::Serialize;

use crate::{
    measure::{bulk, callers, claim_rate, drain, idle, latency, memory, startup, webhooks},
    store::Kind,
    subject::Subject::{self, Bare, Peer, Stepwell},
    table::{Number, Table},
};

#[derive(Serialize)]
pub(crate) struct Goal {
    level: Level,
    what: &'static str,
    bound: Bound,
    found: Option<f64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
enum Level {
    Must,
    AimsAt,
}
use Level::{AimsAt, Must};

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}
use Bound::{AtLeast, AtMost};

pub(crate) fn judge(kind: Kind, table: &Table) -> Vec<Goal> {
    let found = |measure| table.median(measure, Stepwell);
    let to = |subject: Subject, measure| Some(found(measure)? / table.median(measure, subject)?);
    let goal = |level, what, bound, found| Goal { level, what, bound, found };
    let (drained, called) = (to(Peer, drain::ONE_PHASE), to(Peer, callers::MANY));
    let mut goals = match kind {
        Kind::Sqlite => vec![
            goal(Must, "drain, 1 phase, ÷ effectum", AtLeast(1.2), drained),
            goal(AimsAt, "drain, 1 phase, ÷ bare store", AtLeast(0.7), to(Bare, drain::ONE_PHASE)),
            goal(
                Must,
                "drain, 3 phases, phases ÷ effectum's jobs",
                AtLeast(1.5),
                to(Peer, drain::THREE_PHASES),
            ),
            goal(Must, "64 callers ÷ effectum", AtLeast(0.7), called),
            goal(AimsAt, "64 callers ÷ bare store", AtLeast(0.7), to(Bare, callers::MANY)),
            goal(Must, "bulk enqueue ÷ effectum", AtLeast(1.0), to(Peer, bulk::BULK)),
            goal(AimsAt, "bulk enqueue ÷ bare store", AtLeast(0.9), to(Bare, bulk::BULK)),
            goal(AimsAt, "start latency, p50, in commits", AtMost(1.2), to(Bare, latency::P50)),
            goal(
                Must,
                "start latency from another process, p99, ms",
                AtMost(10.0),
                found(latency::ACROSS_P99),
            ),
            goal(
                AimsAt,
                "start latency from another process, p99, ms",
                AtMost(3.0),
                found(latency::ACROSS_P99),
            ),
        ],
        Kind::Postgres => vec![
            goal(Must, "drain, 1 phase, ÷ graphile", AtLeast(1.0), drained),
            goal(AimsAt, "drain, 1 phase, ÷ bare store", AtLeast(0.8), to(Bare, drain::ONE_PHASE)),
            goal(Must, "64 callers ÷ graphile", AtLeast(10.0), called),
            goal(Must, "start latency, p50, ÷ graphile", AtMost(0.5), to(Peer, latency::P50)),
        ],
    };
    goals.extend([
        goal(Must, "start latency, p50, in commits", AtMost(2.0), to(Bare, latency::P50)),
        goal(Must, "start latency, p99, ms", AtMost(5.0), found(latency::P99)),
        goal(Must, "drain beside finished jobs ÷ without", AtLeast(0.9), found(claim_rate::FINISHED_RATIO)),
        goal(Must, "drain beside scheduled jobs ÷ without", AtLeast(0.9), found(claim_rate::SCHEDULED_RATIO)),
        goal(Must, "idle, % of a core", AtMost(0.2), found(idle::CPU)),
        goal(Must, "memory at rest, MiB", AtMost(20.0), found(memory::REST)),
        goal(Must, "memory while draining 100,000 jobs, MiB", AtMost(64.0), found(memory::PEAK)),
        goal(Must, "start to first claim, ms", AtMost(100.0), found(startup::FIRST_CLAIM)),
        goal(
            Must,
            "webhook deliveries to this machine, per second",
            AtLeast(2_000.0),
            found(webhooks::DELIVERIES),
        ),
        goal(Must, "drain while each end is delivered ÷ without", AtLeast(0.9), found(webhooks::RATIO)),
    ]);
    goals
}

impl Bound {
    fn admits(self, found: f64) -> bool {
        match self {
            AtLeast(least) => found >= least,
            AtMost(most) => found <= most,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtLeast(least) => write!(f, "≥ {least}"),
            AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

/// The goals as lines of text.
pub(crate) struct List<'g>(pub(crate) &'g [Goal]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for goal in self.0 {
            let level = match goal.level {
                Must => "must",
                AimsAt => "aims at",
            };
            let bound = goal.bound.to_string();
            write!(f, "{level:7}  {:47}  {bound:6}  ", goal.what)?;
            match goal.found {
                None => writeln!(f, "not measured")?,
                Some(found) => {
                    let verdict = if goal.bound.admits(found) { "reached" } else { "NOT REACHED" };
                    writeln!(f, "{:>6}  {verdict}", Number(found).to_string())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_include_themselves() {
        assert!(AtLeast(1.2).admits(1.2) && !AtLeast(1.2).admits(1.19));
        assert!(AtMost(64.0).admits(64.0) && !AtMost(64.0).admits(64.1));
    }

    #[test]
    fn what_was_not_measured_is_said() {
        for kind in [Kind::Sqlite, Kind::Postgres] {
            let goals = judge(kind, &Table::new(kind.peer()));
            let list = List(&goals).to_string();
            assert_eq!(list.lines().count(), goals.len());
            assert!(list.lines().all(|line| line.ends_with("not measured")));
        }
    }
}
