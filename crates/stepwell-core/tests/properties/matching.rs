//! How stored phases are matched to a plan, over any series of deploys.
//!
//! A name that a phase gave up is not given to another phase here. Whoever does so must know that the old phase's data
//! is stored under it.

use proptest::prelude::*;
use stepwell_core::{Json, Name, Phase, PhaseSpec, PhaseState, PlanSpec, phase::Recorded};

/// One deploy, and how far the job gets after it.
#[derive(Clone, Debug)]
struct Deploy {
    /// For each phase: whether it is dropped, renamed, followed by a new one, and moved to the end.
    changes: Vec<(bool, bool, bool, bool)>,
    /// Bits that choose inputs among the earlier phases.
    inputs: Vec<u8>,
    ended: usize,
}

fn deploys() -> impl Strategy<Value = Vec<Deploy>> {
    let rarely = || prop::bool::weighted(0.2);
    let change = (rarely(), rarely(), rarely(), rarely());
    let inputs = prop::collection::vec(any::<u8>(), 12);
    let deploy = (prop::collection::vec(change, 12), inputs, 0..4_usize)
        .prop_map(|(changes, inputs, ended)| Deploy { changes, inputs, ended });
    prop::collection::vec(deploy, 1..5)
}

/// The plans of a series of deploys. Names are numbers that are never used twice.
struct Release {
    phases: Vec<(u32, Option<u32>)>,
    names: u32,
}

impl Release {
    fn next(&mut self, deploy: &Deploy) -> PlanSpec {
        let (mut phases, mut moved) = (Vec::new(), Vec::new());
        let changes = deploy.changes.iter().chain(std::iter::repeat(&(false, false, false, false)));
        for ((name, _), (dropped, renamed, followed, late)) in self.phases.iter().zip(changes) {
            let at = if *late { &mut moved } else { &mut phases };
            if *renamed {
                self.names += 1;
                at.push((self.names, Some(*name)));
            } else if !dropped {
                at.push((*name, None));
            }
            if *followed && self.names < 40 {
                self.names += 1;
                at.push((self.names, None));
            }
        }
        phases.append(&mut moved);
        if phases.is_empty() {
            self.names += 1;
            phases.push((self.names, None));
        }
        self.phases = phases;
        let text = |name: u32| Name::from(format!("p{name}"));
        let specs = self.phases.iter().enumerate().map(|(position, (name, from))| {
            let bits = deploy.inputs[position % deploy.inputs.len()];
            let earlier = self.phases[..position].iter().enumerate();
            let inputs = earlier.filter(|(nth, _)| *nth < 8 && bits & (1 << nth) != 0);
            PhaseSpec {
                inputs: inputs.map(|(_, (name, _))| text(*name)).collect(),
                renamed_from: from.map(text),
                ..PhaseSpec::new(text(*name))
            }
        });
        let plan = PlanSpec { kind: "kind".into(), phases: specs.collect() };
        plan.check().unwrap();
        plan
    }
}

/// The definition once more, as it is written and not as it is computed: due is what comes after the last phase that
/// has ended, and whatever a due phase takes in.
fn is_due(plan: &PlanSpec, done: &[bool], position: usize) -> bool {
    let reached = done.iter().rposition(|done| *done).map_or(0, |last| last + 1);
    let is_needed =
        |by: usize| plan.phases[by].inputs.contains(&plan.phases[position].name) && is_due(plan, done, by);
    !done[position] && (position >= reached || (position + 1..done.len()).any(is_needed))
}

fn state_of(phases: &[Phase], name: &Name) -> Option<(usize, PhaseState)> {
    let at = phases.iter().position(|phase| phase.name == *name)?;
    Some((at, phases[at].state))
}

fn check(plan: &PlanSpec, stored: &[Phase]) -> Vec<Phase> {
    let matched = plan.match_phases(stored);
    let phases = &matched.phases;
    if plan.fits(stored) {
        assert_eq!((&**phases, matched.skipped.len()), (stored, 0), "matching what fits changes nothing");
    }

    let again = plan.match_phases(phases);
    assert_eq!((&again.phases, again.skipped.len()), (phases, 0), "a second match changes nothing");

    for before in stored.iter().filter(|phase| phase.state == PhaseState::Completed) {
        let after: Vec<&Phase> =
            phases.iter().filter(|phase| phase.stored_name() == before.stored_name()).collect();
        assert_eq!(after.len(), 1, "`{}` stands there once", before.name);
        assert_eq!((after[0].state, &after[0].result), (before.state, &before.result));
    }
    let results =
        |phases: &[Phase]| phases.iter().filter_map(|phase| phase.result.clone()).collect::<Vec<_>>();
    assert_eq!(results(phases), results(stored), "results stay in the order in which they came to be");

    let letters: String = phases.iter().map(|phase| &phase.state.as_str()[..1]).collect();
    let open = letters.trim_start_matches(['c', 's']);
    assert!(open.chars().all(|letter| letter == 'p'), "{letters}");
    for (position, phase) in phases.iter().enumerate() {
        assert!(
            phases[..position].iter().all(|other| other.name != phase.name),
            "`{}` is there twice",
            phase.name
        );
    }

    let done: Vec<bool> = plan
        .phases
        .iter()
        .map(|spec| {
            let (_, state) = state_of(phases, &spec.name).expect("every phase of the plan is there");
            state == PhaseState::Completed
        })
        .collect();
    let mut last_due = None;
    for (position, spec) in plan.phases.iter().enumerate() {
        let (at, state) = state_of(phases, &spec.name).unwrap();
        assert_eq!(state == PhaseState::Pending, is_due(plan, &done, position), "`{}`", spec.name);
        if state == PhaseState::Pending {
            assert!(last_due < Some(at), "due phases run in the plan's order");
            last_due = Some(at);
            for input in &spec.inputs {
                let (before, state) = state_of(phases, input).unwrap();
                assert!(before < at, "`{input}` comes before `{}`", spec.name);
                assert!(matches!(state, PhaseState::Completed | PhaseState::Pending), "`{input}` is {state}");
            }
        }
    }

    let was_skipped = |phase: &Phase| {
        stored
            .iter()
            .any(|before| before.stored_name() == phase.stored_name() && before.state == PhaseState::Skipped)
    };
    let newly: Vec<&Name> = phases
        .iter()
        .filter(|phase| phase.state == PhaseState::Skipped && !was_skipped(phase))
        .map(|phase| &phase.name)
        .collect();
    assert_eq!(newly, matched.skipped.iter().collect::<Vec<_>>(), "what is newly skipped is said");
    matched.phases
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn matching_keeps_what_ran_and_finds_what_is_due(phases in 1..6_u32, deploys in deploys()) {
        let mut release = Release { phases: (0..phases).map(|name| (name, None)).collect(), names: phases };
        let mut stored = Vec::new();
        let mut results = 0;
        for deploy in &deploys {
            stored = check(&release.next(deploy), &stored);
            let due = stored.iter_mut().filter(|phase| phase.state == PhaseState::Pending);
            for phase in due.take(deploy.ended) {
                results += 1;
                phase.state = PhaseState::Completed;
                phase.result = Some(Recorded::of(&Json::of(&results).unwrap()));
            }
        }
    }
}
