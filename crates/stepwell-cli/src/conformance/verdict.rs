//! What came of it, and how it is told.

use std::collections::BTreeMap;

use console::Style;
use serde::Serialize;

use super::{rule::Rule, stage::Breach};
use crate::{
    failure::{FailedTo, Failure},
    output::{Output, clean},
};

/// Examples of a breach that are told.
const SEEN_MAX: usize = 3;

/// Whether a rule is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    /// Wherever it was looked at.
    Kept,
    /// Somewhere it is not.
    Broken,
    /// Nobody could look, because another rule was broken first.
    Unseen,
}

/// What is known of a rule.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    rule: &'static str,
    says: &'static str,
    status: Status,
    /// What was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    seen: Vec<String>,
}

/// What scenarios have shown.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    rules: BTreeMap<Rule, (Status, Vec<String>)>,
}

impl Verdicts {
    /// Takes in what a scenario has shown of its rules.
    pub(super) fn add(&mut self, scenario: &str, rules: &[Rule], breaches: &[Breach], played: bool) {
        for rule in rules {
            let status = if played { Status::Kept } else { Status::Unseen };
            let known = self.rules.entry(*rule).or_insert((status, Vec::new()));
            if known.0 == Status::Kept && !played {
                known.0 = Status::Unseen;
            }
        }
        for breach in breaches {
            let known = self.rules.entry(breach.rule).or_insert((Status::Broken, Vec::new()));
            known.0 = Status::Broken;
            let seen = format!("{scenario}: {}", clean(&breach.seen));
            if known.1.len() < SEEN_MAX && !known.1.contains(&seen) {
                known.1.push(seen);
            }
        }
    }
    /// Whether every rule is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.rules.values().all(|(status, _)| *status == Status::Kept)
    }
    /// Leaves out rules that nobody asked about, unless they are broken.
    pub(super) fn only(&mut self, wanted: &[Rule]) {
        if !wanted.is_empty() {
            self.rules.retain(|rule, (status, _)| wanted.contains(rule) || *status == Status::Broken);
        }
    }

    fn list(&self) -> Vec<Verdict> {
        let verdict = |(rule, (status, seen)): (&Rule, &(Status, Vec<String>))| Verdict {
            rule: rule.id(),
            says: rule.says(),
            status: *status,
            seen: seen.clone(),
        };
        self.rules.iter().map(verdict).collect()
    }
    /// Says it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn tell(&self, out: &Output) -> Result<(), Failure> {
        let verdicts = self.list();
        if out.is_json() {
            return out.line(&serde_json::to_string(&verdicts).failed_to("write what was found")?);
        }
        for verdict in &verdicts {
            tell_one(out, verdict)?;
        }
        if out.is_for_people() {
            let n = |status| verdicts.iter().filter(|verdict| verdict.status == status).count();
            let (kept, broken, unseen) = (n(Status::Kept), n(Status::Broken), n(Status::Unseen));
            out.line(&format!("rules kept: {kept}, broken: {broken}, not seen: {unseen}"))?;
        }
        Ok(())
    }
}

fn tell_one(out: &Output, verdict: &Verdict) -> Result<(), Failure> {
    let (word, mark, style) = match verdict.status {
        Status::Kept => ("kept", "✓", Style::new().green()),
        Status::Broken => ("BROKEN", "✗", Style::new().red()),
        Status::Unseen => ("unseen", "?", Style::new().yellow()),
    };
    let Verdict { rule, says, seen, .. } = verdict;
    if !out.is_for_people() {
        return out.line(&format!("{word}\t{rule}\t{says}\t{}", seen.join(" | ")));
    }
    out.line(&format!("{} {rule:<4}{says}", style.apply_to(mark)))?;
    seen.iter().try_for_each(|seen| out.line(&format!("      → {seen}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(verdicts: &Verdicts, rule: Rule) -> Status {
        verdicts.rules[&rule].0
    }

    #[test]
    fn a_rule_is_kept_only_if_it_was_seen_and_never_broken() {
        let mut verdicts = Verdicts::default();
        let breach = Breach { rule: Rule::Beats, seen: "none".into() };
        verdicts.add(
            "one",
            &[Rule::Beats, Rule::Registers, Rule::Leaves],
            std::slice::from_ref(&breach),
            true,
        );
        verdicts.add("two", &[Rule::Beats, Rule::Leaves], &[], true);
        verdicts.add("three", &[Rule::Leaves], &[], false);
        assert_eq!(status(&verdicts, Rule::Beats), Status::Broken);
        assert_eq!(status(&verdicts, Rule::Registers), Status::Kept);
        assert_eq!(status(&verdicts, Rule::Leaves), Status::Unseen);
        assert!(!verdicts.is_kept());
        verdicts.only(&[Rule::Registers]);
        assert_eq!(verdicts.rules.keys().collect::<Vec<_>>(), [&Rule::Registers, &Rule::Beats]);
    }
}
