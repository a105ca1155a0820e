//! All of it, from the command to the exit code.

use std::{ffi::OsString, fmt::Write as _, fs, path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    journal::Journal,
    rule::Rule,
    scenarios::{ALL, Scenario},
    stage::{Breach, Stage, Stop, Trial},
    traffic,
    verdict::Verdicts,
};
use crate::{
    failure::{FailedTo, Failure, code},
    output::Output,
};

/// What is tried, and how; the words for it are in `commands::conformance`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) command: Vec<OsString>,
    /// All rules if there are none.
    pub(crate) only: Vec<Rule>,
    pub(crate) lease: Duration,
    pub(crate) patience: Duration,
    pub(crate) at_once: usize,
    pub(crate) trace: Option<PathBuf>,
}

/// What a scenario has shown.
struct Shown {
    scenario: &'static Scenario,
    /// Whether it came to its end.
    played: bool,
    breaches: Vec<Breach>,
    journal: Journal,
    told: Vec<String>,
}

/// Tries a worker, says what was found, and answers with an exit code.
///
/// # Errors
/// If the worker cannot be started, or the kit itself fails.
pub(crate) async fn run(options: Options, out: &Output) -> Result<u8, Failure> {
    let Options { command, only, lease, patience, at_once, trace } = options;
    let trial = Arc::new(Trial { command, lease, patience });
    let room = Arc::new(Semaphore::new(at_once));
    let mut playing = JoinSet::new();
    for scenario in ALL.iter().filter(|scenario| is_wanted(scenario, &only)) {
        let (trial, room) = (trial.clone(), room.clone());
        playing.spawn(async move {
            let _turn = room.acquire_owned().await;
            play(scenario, &trial).await
        });
    }
    let mut all = Vec::new();
    while let Some(shown) = playing.join_next().await {
        all.push(shown.failed_to("play a scenario")??);
    }
    // In the order of the list, whichever was first to end.
    all.sort_by_key(|shown| ALL.iter().position(|scenario| scenario.name == shown.scenario.name));
    let mut verdicts = Verdicts::default();
    for shown in &all {
        verdicts.add(shown.scenario.name, shown.scenario.rules, &shown.breaches, shown.played);
        if !shown.breaches.is_empty() && !shown.told.is_empty() {
            out.say(&format!("in the scenario `{}` the worker said:", shown.scenario.name));
            shown.told.iter().for_each(|line| out.say(&format!("  {line}")));
        }
    }
    if let Some(path) = trace {
        fs::write(&path, lines(&all)).failed_to(format!("write {}", path.display()))?;
    }
    verdicts.only(&only);
    verdicts.tell(out)?;
    Ok(if verdicts.is_kept() { 0 } else { code::FAILURE })
}

fn is_wanted(scenario: &Scenario, only: &[Rule]) -> bool {
    only.is_empty() || scenario.rules.iter().any(|rule| only.contains(rule))
}

async fn play(scenario: &'static Scenario, trial: &Trial) -> Result<Shown, Failure> {
    let mut stage = Stage::set(trial).await?;
    let played = (scenario.play)(&mut stage).await;
    let token = stage.site.token.clone();
    let (mut breaches, journal, told) = stage.strike().await;
    let played = match played {
        Ok(()) => true,
        Err(Stop::Failure(failure)) => return Err(failure),
        Err(Stop::Breach(breach)) => {
            breaches.push(breach);
            false
        }
    };
    breaches.extend(traffic::check(&journal, &token));
    Ok(Shown { scenario, played, breaches, journal, told })
}

/// Everything that was asked and answered, a line each.
fn lines(all: &[Shown]) -> String {
    let mut text = String::new();
    for shown in all {
        for mut line in shown.journal.lines() {
            line["scenario"] = json!(shown.scenario.name);
            // Into a string nothing fails to be written.
            writeln!(text, "{line}").ok();
        }
    }
    text
}
