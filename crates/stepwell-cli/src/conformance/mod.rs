//! The conformance kit: is a worker, in whatever language, what the protocol for workers says?
//!
//! Each scenario has a real server of its own, with a store in memory and short leases. Between it and the worker is a
//! gate, which writes down every request and answer, and loses, refuses or holds those that it is told to. A scenario
//! starts the worker, gives it jobs, does something to it, and compares what it did with the rules. Scenarios run at
//! once: they mostly wait.
//!
//! - `rule`: what is asked of a worker. `kinds`: the jobs that a worker under test works.
//! - `call`, `exchange`: requests and answers. `journal`: all of them, in order. `trick`: what may happen to one.
//! - `gate`: where they pass. `site`: a server with its gate. `program`: a worker, as a process.
//! - `stage`: what a scenario works with. `scenarios`: one file each. `traffic`: what holds in all of them.
//! - `run`: all of it. `verdict`: what came of it, and how it is told.

mod call;
mod exchange;
mod gate;
mod journal;
mod kinds;
mod program;
mod rule;
mod run;
mod scenarios;
mod site;
mod stage;
mod traffic;
mod trick;
mod verdict;

pub(crate) use rule::Rule;
pub(crate) use run::{Options, run};
