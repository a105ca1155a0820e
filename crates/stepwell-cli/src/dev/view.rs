//! What is shown while jobs run: bars on a terminal, plain lines elsewhere, JSON if asked for.

use std::{collections::BTreeMap, io::IsTerminal};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use stepwell::{Change, Event};

const PHASES: [&str; 4] = ["read", "hash", "compress", "catalog"];

pub(super) enum View {
    Bars { all: MultiProgress, bars: BTreeMap<&'static str, ProgressBar> },
    Lines { done: u64, next: u64 },
    Json,
}

impl View {
    pub(super) fn new(json: bool, files: u64) -> Self {
        if json {
            return Self::Json;
        }
        if !std::io::stdout().is_terminal() {
            return Self::Lines { done: 0, next: 1_000 };
        }
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>9} {wide_bar} {pos}/{len} {per_sec}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |phase: &'static str| {
            let bar = all.add(ProgressBar::new(files)).with_style(style.clone()).with_prefix(phase);
            (phase, bar)
        };
        let bars = PHASES.into_iter().map(bar).collect();
        Self::Bars { all, bars }
    }
    /// Says something, in words or as an object.
    pub(super) fn say(&self, words: &str, object: Value) {
        match self {
            Self::Json => println!("{object}"),
            Self::Lines { .. } => println!("{words}"),
            Self::Bars { all, .. } => all.println(words).unwrap_or_else(|_| println!("{words}")),
        }
    }
    /// Says what happened.
    pub(super) fn show(&mut self, event: &Event) {
        match self {
            Self::Json => {
                let line = json!({
                    "type": event.event_type.as_str(), "pos": event.pos, "jobId": event.job,
                    "kind": event.kind, "phase": event.phase, "data": event.data,
                });
                println!("{line}");
            }
            Self::Bars { bars, .. } => {
                if let Change::PhaseCompleted { phase } = &event.change
                    && let Some(bar) = bars.get(&**phase)
                {
                    bar.inc(1);
                }
            }
            Self::Lines { done, next } => {
                if event.event_type.is_terminal() {
                    *done += 1;
                    if done == next {
                        println!("{done} jobs ended");
                        *next *= 2;
                    }
                }
            }
        }
    }
    /// Puts the bars away.
    pub(super) fn end(&self) {
        if let Self::Bars { bars, .. } = self {
            bars.values().for_each(ProgressBar::finish);
        }
    }
}
