//! All invariants together.

use std::fmt;

use super::{fold, limits, log, rows, snapshot::Snapshot, step};
use crate::world::World;

/// An invariant that does not hold.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number in `docs/lifecycle.md`, such as `I5`.
    pub invariant: &'static str,
    /// What was found.
    pub found: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.found)
    }
}

/// Collects violations.
#[derive(Default)]
pub(super) struct Findings(Vec<Violation>);

impl Findings {
    /// Notes a violation unless `holds`.
    pub(super) fn expect(&mut self, invariant: &'static str, holds: bool, found: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation { invariant, found: found() });
        }
    }
}

/// What does not hold of one snapshot.
#[must_use]
pub fn check(snapshot: &Snapshot) -> Vec<Violation> {
    let mut findings = Findings::default();
    rows::check(snapshot, &mut findings);
    log::check(snapshot, &mut findings);
    fold::check(snapshot, &mut findings);
    findings.0
}

/// What does not hold of the way from one snapshot to a later one of the same store.
#[must_use]
pub fn check_step(before: &Snapshot, after: &Snapshot) -> Vec<Violation> {
    let mut findings = Findings::default();
    step::check(before, after, &mut findings);
    limits::check(before, after, &mut findings);
    findings.0
}

/// Reads a store and checks it, unless it has been closed.
pub async fn hold(world: &World) {
    match Snapshot::read(world.store()).await {
        Ok(snapshot) => {
            let violations = check(&snapshot);
            assert!(violations.is_empty(), "the invariants hold, but not: {violations:#?}");
        }
        Err(error) => assert!(error.is_closed(), "the store can be read: {error}"),
    }
}
