//! The phases of a kind, and how a job's stored phases are matched to them on a deploy.

use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    limits,
    name::{self, Name},
    phase::{Phase, PhaseState, short_hash},
    phases::Phases,
    retry::Retry,
};

/// The phases of one kind of job, in the order in which they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    /// The kind.
    pub kind: Name,
    /// Its phases.
    pub phases: Vec<PhaseSpec>,
}

/// The part of a phase that needs no code: what is stored, and what a dashboard shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseSpec {
    /// Its name, unique in the plan.
    pub name: Name,
    /// An earlier name, under which results may be stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<Name>,
    /// The names of the phases whose results it takes, in order. They come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Name>,
    /// When it runs again after a failure.
    pub retry: Retry,
    /// The longest one try may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The queue it runs in, if that is not the job's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// Whether it runs once for each element of its input.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fan_out: bool,
}

impl PhaseSpec {
    /// A phase with no inputs and the default policy.
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            name: name.into(),
            renamed_from: None,
            inputs: Vec::new(),
            retry: Retry::default(),
            timeout_ms: None,
            queue: None,
            fan_out: false,
        }
    }
    fn fresh(&self) -> Phase {
        Phase::pending(self.name.clone(), self.retry.attempts(), self.queue.clone())
    }
    fn is(&self, stored: &Phase) -> bool {
        self.name == stored.name || self.renamed_from.as_ref() == Some(&stored.name)
    }
}

impl PlanSpec {
    /// Checks the plan.
    ///
    /// # Errors
    /// A validation error that names the kind and the phase, if the plan is empty or too long, declares a name
    /// twice, names an input that does not come before the phase, or is renamed from a phase that still exists.
    pub fn check(&self) -> Result<(), Error> {
        let field = format!("plan of `{}`", self.kind);
        let wrong = |problem: String| Err(Error::invalid(&*field, problem));
        name::check("kind", &self.kind)?;
        if self.phases.is_empty() {
            return wrong("declares no phase; a job is a list of at least one".into());
        }
        if self.phases.len() > limits::PHASES_MAX {
            let (found, limit) = (self.phases.len(), limits::PHASES_MAX);
            return wrong(format!(
                "declares {found} phases, the limit is {limit}; use a fan-out phase over a list"
            ));
        }
        for (position, phase) in self.phases.iter().enumerate() {
            name::check("phase", &phase.name)?;
            if let Some(queue) = &phase.queue {
                name::check("queue", queue)?;
            }
            let earlier = &self.phases[..position];
            if earlier.iter().any(|other| other.name == phase.name) {
                return wrong(format!("declares the phase `{}` twice; rename one of them", phase.name));
            }
            if let Some(input) =
                phase.inputs.iter().find(|input| earlier.iter().all(|other| other.name != **input))
            {
                return wrong(format!(
                    "gives `{}` the input `{input}`, which is not an earlier phase",
                    phase.name
                ));
            }
            if phase.fan_out && phase.inputs.len() != 1 {
                return wrong(format!(
                    "fans out `{}` over {} inputs; it takes one list",
                    phase.name,
                    phase.inputs.len()
                ));
            }
            if let Some(old) = &phase.renamed_from
                && self.phases.iter().any(|other| other.name == *old)
            {
                return wrong(format!("renames `{old}` to `{}`, but still declares `{old}`", phase.name));
            }
        }
        Ok(())
    }
    /// The phase with this name.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<&PhaseSpec> {
        self.phases.iter().find(|phase| &*phase.name == name)
    }
    /// A hash of everything that decides which phases run, and where: names, inputs, queues. Not of time-outs and
    /// retries, which may change without a job having to care.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut text = String::new();
        for phase in &self.phases {
            for part in [Some(&phase.name), phase.renamed_from.as_ref(), phase.queue.as_ref()] {
                text.push_str(part.map_or("", |part| part));
                text.push('\n');
            }
            for input in &phase.inputs {
                text.push_str(input);
                text.push('\t');
            }
            text.push(if phase.fan_out { '*' } else { '.' });
        }
        short_hash(&text)
    }
    /// The phases of a job that has not run.
    #[must_use]
    pub fn fresh_phases(&self) -> Phases {
        self.phases.iter().map(PhaseSpec::fresh).collect()
    }

    /// Whether matching these stored phases would change nothing: the job has run under this very plan or not at all.
    /// Nearly every claim finds it so.
    #[must_use]
    pub fn fits(&self, stored: &[Phase]) -> bool {
        let done = stored.iter().take_while(|phase| phase.state == PhaseState::Completed).count();
        stored.len() == self.phases.len()
            && self.phases.iter().zip(stored).enumerate().all(|(position, (spec, phase))| {
                let waits = phase.state == PhaseState::Pending
                    && phase.max_tries == spec.retry.attempts()
                    && phase.queue == spec.queue;
                phase.name == spec.name && (position < done || waits)
            })
    }

    /// Matches a job's stored phases to this plan: what is kept, what runs, what is skipped.
    ///
    /// A phase is due if it has no result and comes after the last one that has, or is an input of a due phase. The
    /// answer holds the phases that ran, in the order in which they did, then those newly skipped, then those that
    /// are due, in the plan's order. A phase that vanished from the plan keeps its result and never runs.
    #[must_use]
    pub fn match_phases(&self, stored: &[Phase]) -> Matched {
        let find = |spec: &PhaseSpec| stored.iter().find(|phase| spec.is(phase));
        let done: Vec<bool> = self
            .phases
            .iter()
            .map(|spec| find(spec).is_some_and(|phase| phase.state == PhaseState::Completed))
            .collect();
        let reached = done.iter().rposition(|done| *done).map_or(0, |last| last + 1);
        let mut due: Vec<bool> = (0..done.len()).map(|position| position >= reached).collect();
        for position in (0..done.len()).rev().filter(|position| !done[*position]) {
            if due[position] {
                for input in &self.phases[position].inputs {
                    if let Some(input) = self.phases.iter().position(|spec| spec.name == *input) {
                        due[input] |= !done[input];
                    }
                }
            }
        }

        let mut matched =
            Matched { phases: Vec::with_capacity(stored.len().max(done.len())), skipped: Vec::new() };
        for phase in stored.iter().filter(|phase| phase.state == PhaseState::Completed) {
            matched.phases.push(match self.phases.iter().find(|spec| spec.is(phase)) {
                Some(spec) => renamed(phase, spec),
                None => phase.clone(),
            });
        }
        for (position, spec) in self.phases.iter().enumerate().filter(|(position, _)| !done[*position]) {
            let mut phase = match find(spec) {
                Some(phase) => renamed(phase, spec),
                None => spec.fresh(),
            };
            phase.max_tries = spec.retry.attempts();
            phase.queue.clone_from(&spec.queue);
            if due[position] {
                phase.state = PhaseState::Pending;
                matched.phases.push(phase);
            } else {
                // A phase skipped at an earlier claim is skipped again without being reported again.
                if phase.state != PhaseState::Skipped {
                    matched.skipped.push(phase.name.clone());
                }
                phase.state = PhaseState::Skipped;
                let behind_what_ran = matched.phases.iter().position(|other| !other.is_closed());
                matched.phases.insert(behind_what_ran.unwrap_or(matched.phases.len()), phase);
            }
        }
        matched
    }
}

fn renamed(stored: &Phase, spec: &PhaseSpec) -> Phase {
    let mut phase = stored.clone();
    if phase.name != spec.name {
        phase.stored_as = Some(stored.stored_name().clone());
        phase.name = spec.name.clone();
    }
    phase
}

/// A job's phases under a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched {
    /// The job's phases from now on.
    pub phases: Vec<Phase>,
    /// Those that are skipped from now on.
    pub skipped: Vec<Name>,
}

/// The generation that a plan takes when a session registers it.
///
/// `known` holds hash and generation of every plan registered for the kind, `newest_in_use` tells whether a live
/// session works with the newest. A plan that differs from the newest becomes the newest, even if it was known before:
/// that is a rollback, and the jobs bound to the plan rolled back from must not wait for ever. Only while the newest is
/// still in use does a known older plan keep its place: that is an old node that restarts in the middle of a rolling
/// deploy.
#[must_use]
pub fn generation_for(hash: &str, known: &[(String, u64)], newest_in_use: bool) -> u64 {
    let newest = known.iter().max_by_key(|(_, generation)| *generation);
    let same = known.iter().filter(|(other, _)| other == hash).map(|(_, generation)| *generation).max();
    match (newest, same) {
        (None, _) => 1,
        (Some((newest_hash, generation)), _) if newest_hash == hash => *generation,
        (Some(_), Some(older)) if newest_in_use => older,
        (Some((_, generation)), _) => generation + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(phases: &[(&str, &[&str])]) -> PlanSpec {
        let phases = phases.iter().map(|(name, inputs)| PhaseSpec {
            inputs: inputs.iter().map(|input| Name::from(*input)).collect(),
            ..PhaseSpec::new(*name)
        });
        PlanSpec { kind: "k".into(), phases: phases.collect() }
    }

    fn ran(plan: &PlanSpec, completed: usize) -> Phases {
        let mut phases = plan.fresh_phases();
        phases.iter_mut().take(completed).for_each(|phase| phase.state = PhaseState::Completed);
        phases
    }

    fn shape(phases: &[Phase]) -> String {
        let letter = |phase: &Phase| phase.state.as_str()[..1].to_uppercase();
        phases.iter().map(|phase| format!("{}:{}", phase.name, letter(phase))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_unchanged_plan_changes_nothing() {
        let plan = plan(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let matched = plan.match_phases(&ran(&plan, 1));
        assert_eq!(shape(&matched.phases), "a:C b:P c:P");
        assert!(matched.skipped.is_empty());
    }

    #[test]
    fn a_phase_inserted_behind_the_position_is_skipped_unless_needed() {
        let old = plan(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let unneeded = plan(&[("a", &[]), ("x", &[]), ("b", &["a"]), ("c", &["b"])]);
        let matched = unneeded.match_phases(&ran(&old, 2));
        assert_eq!(shape(&matched.phases), "a:C b:C x:S c:P");
        assert_eq!(matched.skipped, ["x".into()]);
        assert!(unneeded.match_phases(&matched.phases).skipped.is_empty(), "reported once");

        let needed = plan(&[("a", &[]), ("x", &[]), ("b", &["a"]), ("c", &["b", "x"])]);
        assert_eq!(shape(&needed.match_phases(&ran(&old, 2)).phases), "a:C b:C x:P c:P");
    }

    #[test]
    fn a_vanished_phase_keeps_its_result_and_a_renamed_one_its_place() {
        let old = plan(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let mut new = plan(&[("b2", &[]), ("d", &["b2"])]);
        new.phases[0].renamed_from = Some("b".into());
        let matched = new.match_phases(&ran(&old, 2));
        assert_eq!(shape(&matched.phases), "a:C b2:C d:P");
        assert_eq!(matched.phases[1].stored_name().as_ref(), "b");
        let again = new.match_phases(&matched.phases);
        assert_eq!(again.phases, matched.phases, "a second match changes nothing");
    }

    #[test]
    fn needed_inputs_are_due_through_any_depth() {
        let old = plan(&[("a", &[]), ("z", &[])]);
        let new = plan(&[("x", &[]), ("y", &["x"]), ("a", &[]), ("z", &["y"])]);
        assert_eq!(shape(&new.match_phases(&ran(&old, 1)).phases), "a:C x:P y:P z:P");
        assert_eq!(shape(&new.match_phases(&ran(&old, 2)).phases), "a:C z:C x:S y:S");
    }

    #[test]
    fn wrong_plans_are_refused_by_name() {
        let text = |plan: PlanSpec| plan.check().unwrap_err().to_string();
        assert!(text(plan(&[])).contains("no phase"));
        assert!(text(plan(&[("a", &[]), ("a", &[])])).contains("`a` twice"));
        assert!(text(plan(&[("a", &["b"]), ("b", &[])])).contains("not an earlier phase"));
        let many: Vec<String> = (0..=limits::PHASES_MAX).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &[&str])> = many.iter().map(|name| (&**name, &[][..])).collect();
        assert!(text(plan(&many)).contains("the limit is 100"));
        let mut renamed = plan(&[("a", &[]), ("b", &[])]);
        renamed.phases[1].renamed_from = Some("a".into());
        assert!(text(renamed).contains("still declares `a`"));
    }

    #[test]
    fn generations_rise_on_a_deploy_and_on_a_rollback_but_not_on_an_old_nodes_restart() {
        let known = vec![("old".to_owned(), 1), ("new".to_owned(), 2)];
        assert_eq!(generation_for("old", &[], false), 1);
        assert_eq!(generation_for("new", &known, true), 2);
        assert_eq!(generation_for("newer", &known, true), 3);
        assert_eq!(generation_for("old", &known, true), 1);
        assert_eq!(generation_for("old", &known, false), 3);
    }

    #[test]
    fn the_hash_ignores_retries_and_timeouts() {
        let one = plan(&[("a", &[]), ("b", &["a"])]);
        let mut other = one.clone();
        other.phases[0].retry = Retry::never();
        other.phases[1].timeout_ms = Some(5);
        assert_eq!(one.hash(), other.hash());
        other.phases[1].queue = Some("gpu".into());
        assert_ne!(one.hash(), other.hash());
    }
}
