//! Something that moves on standard error while long work goes on.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;

/// Between two steps of what moves.
const TICK: Duration = Duration::from_millis(100);

/// What moves, if somebody sees it.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// A file whose size says how far it is.
    grows: Option<PathBuf>,
}

impl Bar {
    /// Nothing.
    pub(crate) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), grows: None }
    }
    /// For work of which nobody knows how long it takes.
    pub(crate) fn of_work(out: Output, words: &'static str) -> Self {
        if !out.may_move() {
            return Self::hidden();
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
        let bar = ProgressBar::new_spinner().with_message(words);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(TICK);
        Self { bar, grows: None }
    }
    /// For a file that is copied into another.
    pub(crate) fn of_copy(out: Output, from: &Path, grows: PathBuf) -> Self {
        if !out.may_move() {
            return Self::hidden();
        }
        let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {elapsed}");
        let bar = ProgressBar::new(std::fs::metadata(from).map_or(0, |file| file.len()));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(TICK);
        Self { bar, grows: Some(grows) }
    }
    /// For steps that are counted.
    pub(crate) fn of_steps(out: Output, words: &'static str, steps: u64) -> Self {
        if !out.may_move() {
            return Self::hidden();
        }
        let style = ProgressStyle::with_template("{msg:10} {wide_bar} {pos}/{len}");
        let bar = ProgressBar::new(steps).with_message(words);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(TICK);
        Self { bar, grows: None }
    }
    /// Nothing of it stays: what is said now is not mixed with it.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
    /// Another step was taken.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }
    /// Keeps it true for as long as somebody waits for this, which does not end.
    pub(crate) async fn follow(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            if let Some(size) = self.grows.as_ref().and_then(|path| std::fs::metadata(path).ok()) {
                self.bar.set_position(size.len());
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}
