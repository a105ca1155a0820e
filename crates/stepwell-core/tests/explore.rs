//! Every state that the real machine can reach with one job and two workers, either of which may be a zombie at any
//! time. In each, everything that may happen does happen, and every invariant of `docs/lifecycle.md` that speaks of
//! one job is checked on what comes of it.
//!
//! `STEPWELL_EXPLORE_STATES=10000000 cargo test --release -p stepwell-core --test explore` goes further: more runs, and
//! longer memories. Without it every scope is explored to its end.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod explore {
    pub(crate) mod action;
    pub(crate) mod check;
    pub(crate) mod fold;
    pub(crate) mod mutant;
    pub(crate) mod scope;
    pub(crate) mod search;
    pub(crate) mod spec;
    pub(crate) mod step;
    pub(crate) mod world;
}

use std::env;

use explore::{
    check::check_enqueued,
    mutant::{self, Machine, Mutant},
    scope::{self, Scope},
    search::{self, Report},
    step::{COMMANDS, Coverage, TRANSITIONS},
};

/// Of the default run, in all scopes.
const STATES_MIN: usize = 300_000;
/// More than any scope has within the bounds of the default run.
const SCOPE_STATES_MAX: usize = 700_000;
/// A mutant that needs more states than this to be noticed is not caught.
const MUTANT_STATES_MAX: usize = 100_000;

#[test]
fn every_reachable_state_keeps_the_contract() {
    let wanted: Option<usize> = env::var("STEPWELL_EXPLORE_STATES")
        .ok()
        .map(|n| n.parse().expect("STEPWELL_EXPLORE_STATES is a number"));
    let scopes = scope::all(wanted.map_or(0, scale_for));
    let mut left = wanted.unwrap_or_default();
    let mut coverage = Coverage::default();
    let (mut states, mut transitions, mut depth) = (0, 0, 0);
    for (done, scope) in scopes.iter().enumerate() {
        check_enqueued(scope);
        let states_max = wanted.map_or(SCOPE_STATES_MAX, |_| left / (scopes.len() - done));
        let report = search::explore(scope, &Machine(None), states_max, &mut coverage);
        println!("{:10} {}", scope.name, told(&report));
        if let Some((violation, trace)) = report.violation {
            panic!(
                "{} in {}: {}\n  {}",
                violation.invariant,
                scope.name,
                violation.detail,
                trace.join("\n  ")
            );
        }
        assert!(wanted.is_some() || report.is_live, "{} is too large to be followed to its ends", scope.name);
        left = left.saturating_sub(report.states);
        (states, transitions) = (states + report.states, transitions + report.transitions);
        depth = depth.max(report.depth);
    }
    println!("in all: {states} states, {transitions} transitions, at most {depth} deep");
    println!("commands decided: {:?}", coverage.commands);
    println!("transitions taken: {:?}", coverage.transitions);
    assert!(
        states >= STATES_MIN.min(wanted.unwrap_or(STATES_MIN)),
        "{states} states are too few to mean much"
    );
    for command in COMMANDS {
        assert!(coverage.commands.contains_key(command), "no {command} was ever sent");
    }
    for t in TRANSITIONS {
        assert!(coverage.transitions.contains_key(t), "{t} was never taken");
    }
}

#[test]
fn every_mutant_is_caught() {
    let scopes = scope::all(0);
    let missed: Vec<&str> =
        mutant::ALL.iter().filter(|mutant| !catches(&scopes, mutant)).map(|it| it.name).collect();
    println!("{} mutants", mutant::ALL.len());
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// How far the bounds must be widened to hold this many states.
fn scale_for(states: usize) -> u32 {
    match states {
        ..=4_000_000 => 1,
        4_000_001..=10_000_000 => 2,
        _ => 4,
    }
}

fn catches(scopes: &[Scope], mutant: &Mutant) -> bool {
    let scope = scopes.iter().find(|scope| scope.name == mutant.scope).expect("the mutant's scope exists");
    let report = search::explore(scope, &Machine(Some(*mutant)), MUTANT_STATES_MAX, &mut Coverage::default());
    match &report.violation {
        Some((violation, trace)) => {
            println!("{:6} after {:2} steps  {}", violation.invariant, trace.len(), mutant.name);
            true
        }
        None => {
            println!("MISSED in {} states: {}", report.states, mutant.name);
            false
        }
    }
}

fn told(report: &Report) -> String {
    let Report { states, transitions, depth, is_complete, is_live, .. } = report;
    let end = match (is_complete, is_live) {
        (true, true) => "complete, and every state can reach an end",
        (true, false) => "complete",
        (false, _) => "cut off",
    };
    format!("{states:9} states {transitions:10} transitions, {depth:3} deep, {end}")
}
