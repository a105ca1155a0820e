//! What a phase says while it runs, until it is written down.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stepwell_core::{
    Clock, Json, Name,
    job::Progress,
    limits,
    machine::{Command, LogLine},
};
use tokio::sync::Notify;

/// What a phase has said and nobody has written down yet.
pub(crate) struct Notes {
    said: Mutex<Said>,
    clock: Clock,
    /// Woken when there is something to write down and there was nothing before.
    pub(crate) dirty: Notify,
}

#[derive(Default)]
struct Said {
    progress: Option<Progress>,
    lines: Vec<LogLine>,
    /// A cursor that was to be saved, and of which nobody has said that it is, with its number.
    cursor: Option<(u64, Json)>,
    cursors: u64,
    /// Whether what was said before is on its way into the store.
    writing: bool,
    /// Whether the phase has ended.
    ended: bool,
}

impl Said {
    /// Adds lines at the end. When there are too many, the oldest go.
    fn append(&mut self, lines: impl IntoIterator<Item = LogLine>) {
        self.lines.extend(lines);
        let excess = self.lines.len().saturating_sub(limits::LOG_LINES_MAX);
        self.lines.drain(..excess);
    }
    fn annotation(&mut self) -> Option<(Option<Progress>, Vec<LogLine>)> {
        let (progress, lines) = (self.progress.take(), std::mem::take(&mut self.lines));
        (progress.is_some() || !lines.is_empty()).then_some((progress, lines))
    }
}

impl Notes {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { said: Mutex::default(), clock, dirty: Notify::new() }
    }
    /// Takes what was said since the last time, to write it down while the phase runs. [`written`](Self::written) must
    /// follow.
    pub(crate) fn take(&self) -> Option<Command> {
        let mut said = lock(&self.said);
        let (progress, lines) = said.annotation()?;
        said.writing = true;
        Some(Command::Annotate { progress, lines })
    }
    /// What was taken has been written, or is given back because it could not be: then it goes with the next, in its
    /// place. Answers whether the phase has ended meanwhile.
    pub(crate) fn written(&self, unwritten: Option<Command>) -> bool {
        let mut said = lock(&self.said);
        said.writing = false;
        if let Some(Command::Annotate { progress, lines }) = unwritten {
            // What was said since is newer.
            said.progress = said.progress.take().or(progress);
            let since = std::mem::replace(&mut said.lines, lines);
            said.append(since);
            self.dirty.notify_one();
        }
        said.ended
    }
    /// The phase has ended. Answers whether something that it said is still on its way into the store.
    pub(crate) fn end(&self) -> bool {
        let mut said = lock(&self.said);
        said.ended = true;
        said.writing
    }
    /// Everything that is to be written with the end of a phase.
    pub(crate) fn rest(&self, phase: &Name) -> Vec<Command> {
        let mut said = lock(&self.said);
        let annotation = said.annotation();
        let annotation = annotation.map(|(progress, lines)| Command::Annotate { progress, lines });
        let cursor = said.cursor.take();
        let cursor = cursor.map(|(_, value)| Command::SaveCheckpoint { phase: phase.clone(), value });
        annotation.into_iter().chain(cursor).collect()
    }
    /// A cursor is on its way into the store. It is kept until it is known to be there: whatever keeps it from getting
    /// there, it goes with the end of the phase then.
    pub(crate) fn begin_save(&self, value: &Json) -> u64 {
        let mut said = lock(&self.said);
        said.cursors += 1;
        // What the store is going to refuse must not go with the end of the phase, which would be refused with it.
        if value.bytes() <= limits::CHECKPOINT_BYTES_MAX && value.problem(limits::JSON_DEPTH_MAX).is_none() {
            said.cursor = Some((said.cursors, value.clone()));
        }
        said.cursors
    }
    /// A cursor need not be kept any longer.
    pub(crate) fn forget_cursor(&self, nth: u64) {
        let mut said = lock(&self.said);
        said.cursor.take_if(|(kept, _)| *kept == nth);
    }
    pub(crate) fn progress(&self, progress: Progress) {
        self.say(|said| said.progress = Some(progress));
    }
    pub(crate) fn log(&self, phase: &Name, text: String) {
        let line = LogLine { at: self.clock.now(), phase: Some(phase.clone()), text };
        self.say(|said| said.append([line]));
    }
    fn say(&self, change: impl FnOnce(&mut Said)) {
        change(&mut lock(&self.said));
        self.dirty.notify_one();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Notes {
        Notes::new(Clock::manual(std::time::UNIX_EPOCH))
    }
    fn say(notes: &Notes, done: u64, line: &str) {
        notes.progress(Progress { done, total: 9, note: None });
        notes.log(&"a".into(), line.to_owned());
    }
    /// How far, and the lines.
    fn told(command: &Command) -> (Option<u64>, Vec<&str>) {
        match command {
            Command::Annotate { progress, lines } => {
                let lines = lines.iter().map(|line| &*line.text).collect();
                (progress.as_ref().map(|progress| progress.done), lines)
            }
            other => panic!("{other:?} is no annotation"),
        }
    }

    #[test]
    fn what_could_not_be_written_goes_with_the_next_in_its_place() {
        let notes = notes();
        say(&notes, 1, "one");
        let taken = notes.take().unwrap();
        assert!(notes.take().is_none());
        say(&notes, 2, "two");
        assert!(!notes.written(Some(taken)), "the phase goes on");
        assert_eq!(told(&notes.take().unwrap()), (Some(2), vec!["one", "two"]));
        notes.written(None);
        assert!(notes.rest(&"a".into()).is_empty());
    }

    #[test]
    fn what_is_kept_has_a_bound_and_the_oldest_go() {
        let notes = notes();
        let line = |n: usize| notes.log(&"a".into(), n.to_string());
        (0..limits::LOG_LINES_MAX).for_each(line);
        let taken = notes.take();
        (0..10).for_each(line);
        notes.written(taken);
        let rest = notes.take().unwrap();
        let (_, lines) = told(&rest);
        assert_eq!((lines.len(), lines[0], lines[lines.len() - 1]), (limits::LOG_LINES_MAX, "10", "9"));
    }

    #[test]
    fn the_end_waits_for_what_is_on_its_way() {
        let notes = notes();
        say(&notes, 1, "one");
        let taken = notes.take();
        assert!(notes.end());
        assert!(notes.written(taken), "the phase has ended meanwhile");
        assert!(!notes.end());
        assert_eq!(told(&notes.rest(&"a".into())[0]), (Some(1), vec!["one"]));
    }

    #[test]
    fn only_the_last_cursor_is_kept_and_only_until_it_is_stored() {
        let notes = notes();
        let cursor = |text: &str| notes.begin_save(&Json::from_text(text).unwrap());
        let kept = |notes: &Notes| match notes.rest(&"a".into()).pop() {
            Some(Command::SaveCheckpoint { value, .. }) => Some(value.as_str().to_owned()),
            _ => None,
        };
        let first = cursor("1");
        let second = cursor("2");
        notes.forget_cursor(first);
        assert_eq!(kept(&notes), Some("2".into()));
        let third = cursor("3");
        notes.forget_cursor(second);
        notes.forget_cursor(third);
        assert_eq!(kept(&notes), None);
        let large = format!("\"{}\"", "x".repeat(limits::CHECKPOINT_BYTES_MAX));
        cursor(&large);
        assert_eq!(kept(&notes), None, "the store would refuse it");
    }
}
