//! What the rules let pass, each with its reason. An entry that is no longer needed is a fault.

use super::fault::Fault;

/// A rule that does not hold in one file.
pub(crate) struct Exception {
    pub(crate) rule: &'static str,
    pub(crate) path: &'static str,
    /// Why, as a sentence for the next reader.
    #[expect(dead_code, reason = "it is written for people")]
    pub(crate) reason: &'static str,
}

/// The list. It should shrink.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "sleeps",
        path: "crates/stepwell-sim/src/disk.rs",
        reason: "A slow disk is one that takes its time.",
    },
    Exception {
        rule: "sleeps",
        path: "crates/stepwell-postgres-rig/src/process.rs",
        reason: "A server tells nobody that it is ready.",
    },
    Exception {
        rule: "clock",
        path: "crates/stepwell-postgres/sql/clock.sql",
        reason: "The one clock of several nodes is the database's, and this is where it is read.",
    },
];

/// Leaves out the faults of `rule` that are excepted, and adds one for each exception that excuses nothing.
pub(crate) fn excuse(rule: &str, faults: Vec<Fault>, exceptions: &[Exception]) -> Vec<Fault> {
    let (excused, mut left): (Vec<_>, Vec<_>) = faults
        .into_iter()
        .partition(|fault| exceptions.iter().any(|entry| entry.rule == rule && entry.path == fault.path));
    let idle = exceptions
        .iter()
        .filter(|entry| entry.rule == rule && !excused.iter().any(|fault| fault.path == entry.path))
        .map(|entry| {
            Fault::new(entry.path, 0, format!("the exception from `{rule}` is no longer needed: remove it"))
        });
    left.extend(idle);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[Exception] = &[Exception { rule: "clock", path: "a.rs", reason: "It is one." }];

    #[test]
    fn an_exception_holds_for_its_rule_and_file_only() {
        let faults = vec![Fault::new("a.rs", 1, "x"), Fault::new("b.rs", 1, "x")];
        assert_eq!(excuse("clock", faults.clone(), ONE), faults[1..]);
        assert_eq!(excuse("entropy", faults.clone(), ONE), faults);
    }

    #[test]
    fn an_exception_that_excuses_nothing_is_a_fault() {
        let left = excuse("clock", Vec::new(), ONE);
        assert_eq!(left.len(), 1);
        assert!(left[0].message.contains("no longer needed"), "{}", left[0]);
    }
}
