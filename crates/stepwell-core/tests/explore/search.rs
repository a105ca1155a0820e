//! Breadth first through every state of a scope, so that the first violation found has the shortest way to it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    action::{self, Action},
    check::{Findings, Violation},
    mutant::Machine,
    scope::Scope,
    step::{Coverage, Step},
    world::World,
};

/// Up to so many states, every transition is kept, so that the way to an end can be followed backwards.
const LIVENESS_STATES_MAX: usize = 4_000_000;
/// The place of no state.
const NOWHERE: u32 = u32::MAX;

/// What an exploration found.
pub(crate) struct Report {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) depth: u32,
    /// Whether every state within the bounds was seen.
    pub(crate) is_complete: bool,
    /// Whether it was checked that every state can still reach an end.
    pub(crate) is_live: bool,
    pub(crate) violation: Option<(Violation, Vec<String>)>,
}

/// The states that were seen: a fingerprint each, and how they were reached. Sized once, so that a state's place is
/// its name.
struct Seen {
    prints: Vec<u64>,
    parents: Vec<u32>,
    actions: Vec<u16>,
    states: usize,
}

impl Seen {
    fn new(states_max: usize) -> Self {
        let places = (states_max * 4 / 3).next_power_of_two();
        Self { prints: vec![0; places], parents: vec![0; places], actions: vec![0; places], states: 0 }
    }
    /// The state's place, and whether it is new.
    fn insert(&mut self, bytes: &[u8], parent: u32, action: u16) -> (u32, bool) {
        let print = fingerprint(bytes);
        let mask = self.prints.len() - 1;
        let mut at = print as usize & mask;
        loop {
            match self.prints[at] {
                0 => {
                    (self.prints[at], self.parents[at], self.actions[at]) = (print, parent, action);
                    self.states += 1;
                    return (at as u32, true);
                }
                other if other == print => return (at as u32, false),
                _ => at = (at + 1) & mask,
            }
        }
    }
    fn trace(&self, mut at: u32) -> Vec<u16> {
        let mut actions = Vec::new();
        while self.parents[at as usize] != NOWHERE {
            actions.push(self.actions[at as usize]);
            at = self.parents[at as usize];
        }
        actions.reverse();
        actions
    }
}

/// 64 bits of a state; with a hundred million states, two meet by chance once in some thousand runs.
fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash ^= u64::from_le_bytes(word);
        hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash = (hash ^ (hash >> 29)).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }
    (hash ^ (hash >> 32)).max(1)
}

/// The states that wait to be expanded, as bytes one after another.
#[derive(Default)]
struct Frontier {
    bytes: Vec<u8>,
    entries: Vec<(u32, u8)>,
}

impl Frontier {
    fn push(&mut self, place: u32, state: &[u8]) {
        self.entries.push((place, u8::try_from(state.len()).unwrap()));
        self.bytes.extend_from_slice(state);
    }
}

/// Explores a scope with a machine, up to `states_max` states.
pub(crate) fn explore(
    scope: &Scope,
    machine: &Machine,
    states_max: usize,
    coverage: &mut Coverage,
) -> Report {
    let mut actions = action::all(scope);
    // A mutant must show in what workers and clients do, and not only to a probe.
    actions.retain(|action| machine.0.is_none() || *action != Action::Misfence);
    let mut seen = Seen::new(states_max);
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut ends: Vec<u32> = Vec::new();
    let keeps_edges = states_max <= LIVENESS_STATES_MAX;
    let mut report =
        Report { states: 0, transitions: 0, depth: 0, is_complete: true, is_live: false, violation: None };
    let matters = |violations: Vec<Violation>| {
        let breaks =
            |violation: &Violation| machine.0.is_none_or(|it| it.breaks.contains(&violation.invariant));
        violations.into_iter().find(breaks)
    };

    let mut frontier = Frontier::default();
    let mut bytes = Vec::new();
    World::first(scope).encode(scope, &mut bytes);
    frontier.push(seen.insert(&bytes, NOWHERE, 0).0, &bytes);
    while !frontier.entries.is_empty() {
        let mut further = Frontier::default();
        let mut from = 0;
        for (place, length) in &frontier.entries {
            let to = from + usize::from(*length);
            let world = World::decode(scope, &frontier.bytes[from..to]);
            from = to;
            let ended = world.job.as_ref().is_none_or(|job| job.state.is_terminal());
            if ended && keeps_edges {
                ends.push(*place);
            }
            for (nth, action) in (0..).zip(&actions) {
                let mut step = Step { scope, machine, coverage, found: Findings::default() };
                let outcome = catch_unwind(AssertUnwindSafe(|| step.take(&world, *action)));
                let (next, violation) = match outcome {
                    Ok(outcome) => (outcome.next, matters(outcome.violations)),
                    Err(_) => (None, Some(panicked(*action))),
                };
                if let Some(violation) = violation {
                    let trace = seen.trace(*place).into_iter().map(|nth| actions[usize::from(nth)]);
                    let trace =
                        trace.chain([*action]).map(|action| action::describe(scope, action)).collect();
                    report.violation = Some((violation, trace));
                    report.states = seen.states;
                    return report;
                }
                let Some(next) = next else { continue };
                next.encode(scope, &mut bytes);
                report.transitions += 1;
                if seen.states >= states_max {
                    report.is_complete = false;
                    continue;
                }
                let (reached, is_new) = seen.insert(&bytes, *place, nth);
                if keeps_edges && reached != *place {
                    edges.push((reached, *place));
                }
                if is_new {
                    // What the canonical form does not forget on purpose, the bytes must hold.
                    assert_eq!(World::decode(scope, &bytes), next, "a state does not survive its encoding");
                    further.push(reached, &bytes);
                }
            }
        }
        frontier = further;
        report.depth += u32::from(!frontier.entries.is_empty());
    }
    report.states = seen.states;
    if keeps_edges && report.is_complete {
        report.is_live = true;
        report.violation = stuck(&seen, edges, &ends).map(|place| {
            let trace = seen.trace(place).into_iter().map(|nth| actions[usize::from(nth)]);
            let detail = "no way leads to an end from here".to_owned();
            let trace = trace.map(|action| action::describe(scope, action)).collect();
            (Violation { invariant: "L2", detail }, trace)
        });
    }
    report
}

fn panicked(action: Action) -> Violation {
    Violation { invariant: "totality", detail: format!("{action:?} panics") }
}

/// A state from which no end can be reached; the one with the shortest way to it.
fn stuck(seen: &Seen, mut edges: Vec<(u32, u32)>, ends: &[u32]) -> Option<u32> {
    edges.sort_unstable();
    edges.dedup();
    let mut can_end = vec![false; seen.prints.len()];
    let mut open: Vec<u32> = ends.to_vec();
    ends.iter().for_each(|place| can_end[*place as usize] = true);
    while let Some(place) = open.pop() {
        let first = edges.partition_point(|(to, _)| *to < place);
        for (_, from) in edges[first..].iter().take_while(|(to, _)| *to == place) {
            if !std::mem::replace(&mut can_end[*from as usize], true) {
                open.push(*from);
            }
        }
    }
    let stuck = (0..seen.prints.len()).filter(|at| seen.prints[*at] != 0 && !can_end[*at]);
    stuck.map(|at| at as u32).min_by_key(|at| seen.trace(*at).len())
}
