//! What is shown while jobs run: bars on a terminal, plain lines elsewhere, JSON if asked for.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use stepwell::{Change, Event, Job};

use super::{
    board::Board,
    file::{PHASES, WorkFile},
};

/// Between two plain lines about how far it is, in ticks.
const LINE_EVERY: u32 = 10;
/// Between two looks at what runs.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Files shown by name.
const NAMED_MAX: usize = 3;

/// What is shown, and how.
pub(super) struct View {
    shape: Shape,
    board: Board,
    files: u64,
    done: HashMap<String, u64>,
}

enum Shape {
    Bars { all: MultiProgress, bars: Vec<(&'static str, ProgressBar)>, now: ProgressBar },
    Lines { ticks: u32, said: u64 },
    Json,
}

impl View {
    pub(super) fn new(json: bool, board: Board) -> Self {
        let shape = if json {
            Shape::Json
        } else if io::stdout().is_terminal() && io::stderr().is_terminal() {
            Shape::Bars { all: MultiProgress::new(), bars: Vec::new(), now: ProgressBar::hidden() }
        } else {
            Shape::Lines { ticks: 0, said: 0 }
        };
        Self { shape, board, files: 0, done: HashMap::new() }
    }
    /// Begins to show how far so many files are, of which some phases were done before.
    pub(super) fn begin(&mut self, files: usize, done: HashMap<String, u64>) {
        (self.files, self.done) = (files as u64, done);
        if let Shape::Lines { said, .. } = &mut self.shape {
            *said = done_of(&self.done, PHASES[3]);
        }
        let Shape::Bars { all, bars, now } = &mut self.shape else { return };
        let style = ProgressStyle::with_template("{prefix:>9} {wide_bar} {pos}/{len}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        for phase in PHASES {
            let bar = all.add(ProgressBar::new(self.files)).with_style(style.clone()).with_prefix(phase);
            bar.set_position(done_of(&self.done, phase));
            bars.push((phase, bar));
        }
        let style =
            ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        *now = all.add(ProgressBar::new_spinner()).with_style(style);
    }
    /// Says something, in words or as an object.
    pub(super) fn say(&self, words: &str, object: &Value) {
        match &self.shape {
            Shape::Json => print(object),
            Shape::Lines { .. } => print(words),
            Shape::Bars { all, .. } => all.println(words).unwrap_or_else(|_| print(words)),
        }
    }
    /// Whether whoever looks is a program.
    pub(super) fn is_json(&self) -> bool {
        matches!(self.shape, Shape::Json)
    }
    /// Shows what happened.
    pub(super) fn show(&mut self, event: &Event) {
        if let Change::PhaseCompleted { phase } = &event.change
            && *event.kind == *WorkFile::KIND
        {
            let done = self.done.entry(phase.to_string()).or_default();
            // A second process may have had its say in between.
            *done = (*done + 1).min(self.files);
        }
        if let Shape::Json = self.shape {
            print(json!({
                "type": event.event_type.as_str(), "pos": event.pos, "jobId": event.job,
                "kind": event.kind, "phase": event.phase, "data": event.data,
            }));
        }
    }
    /// Shows how far it is, now and then.
    pub(super) fn tick(&mut self) {
        match &mut self.shape {
            Shape::Json => {}
            Shape::Bars { bars, now, .. } => {
                for (phase, bar) in bars {
                    bar.set_position(done_of(&self.done, phase));
                }
                let (working, running) = self.board.running(NAMED_MAX);
                let named: Vec<String> =
                    working.iter().map(|file| format!("{} {}", file.phase, file.path)).collect();
                let more = running.saturating_sub(named.len());
                let more = if more > 0 { format!(", and {more} more") } else { String::new() };
                now.set_message(format!("{}{more}", named.join(", ")));
            }
            Shape::Lines { ticks, said } => {
                *ticks += 1;
                let done = done_of(&self.done, PHASES[3]);
                if *ticks >= LINE_EVERY && done != *said {
                    print(format_args!("{done} of {} files are done", self.files));
                    (*ticks, *said) = (0, done);
                }
            }
        }
    }
    /// Puts the bars away.
    pub(super) fn end(&mut self) {
        if let Shape::Bars { bars, now, .. } = &mut self.shape {
            now.finish_and_clear();
            bars.drain(..).for_each(|(_, bar)| bar.finish_and_clear());
        }
    }
}

fn done_of(done: &HashMap<String, u64>, phase: &str) -> u64 {
    done.get(phase).copied().unwrap_or_default()
}

/// Whoever reads may have gone away; the work goes on without.
fn print(line: impl std::fmt::Display) {
    drop(writeln!(io::stdout().lock(), "{line}"));
}
