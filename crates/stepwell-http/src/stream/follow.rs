//! What is found, in order, with gaps and resets.

use std::{collections::VecDeque, sync::Arc};

use stepwell::{EventCursor, Found, JobId, Result, Stepwell, wire::Frame};

use super::wanted::{Start, Wanted, seen};
use crate::{
    access::Grant,
    hub::{Hub, place},
};

/// One thing that whoever follows is told.
pub(crate) enum Told {
    Event(Arc<Frame>),
    /// Events were missed; the log goes on with this `pos`.
    Gap {
        from: u64,
        oldest: u64,
    },
    /// The place was of another log; this one begins with this `pos`.
    Reset {
        oldest: u64,
        generation: Arc<str>,
    },
}

/// What a look finds.
pub(crate) enum Look {
    /// Something to tell.
    Told(Vec<Told>),
    /// Nothing so far, but there is more to look through.
    More,
    /// Nothing, and no more until the log grows.
    Nothing,
}

/// A place in the log, on behalf of somebody.
pub(crate) struct Follow {
    cursor: EventCursor,
    /// The part of a job's own history that comes before the cursor.
    past: Option<Past>,
    grant: Arc<Grant>,
    waiting: VecDeque<Told>,
    /// Whether the reader is yet to be told that its place was of another log.
    reset: bool,
    /// Whether the job itself was checked, so that its events are theirs whatever queue it went through.
    checked: bool,
}

/// What has happened to a job, read from its own history and not searched for in the log.
struct Past {
    stepwell: Stepwell,
    job: JobId,
    wanted: Wanted,
    after: u64,
    /// The last `pos` that is not the cursor's.
    until: u64,
}

impl Past {
    /// The next piece; nothing more when there is none.
    async fn read(&mut self) -> Result<Option<Vec<Arc<Frame>>>> {
        if self.after >= self.until {
            return Ok(None);
        }
        let mut frames = self.stepwell.history_frames(self.job, self.after, BATCH).await?;
        self.after = frames.last().map_or(self.until, |last| last.pos());
        frames.retain(|frame| frame.pos() <= self.until && self.wanted.matches(frame));
        Ok(Some(frames))
    }
}

/// Events that are read at once.
const BATCH: usize = 256;
/// Pages that are looked through in vain before somebody else has a turn.
const PAGES_IN_VAIN_MAX: usize = 8;

impl Follow {
    /// Begins to follow the log.
    pub(crate) fn begin(hub: &Hub, grant: Arc<Grant>, wanted: &Wanted, start: Start) -> Self {
        let after = match start {
            Start::Now => None,
            Start::After(pos) => Some(pos),
            Start::Reset => Some(0),
        };
        let (waiting, reset) = (VecDeque::new(), start == Start::Reset);
        Self { cursor: wanted.cursor(hub, after), past: None, grant, waiting, reset, checked: false }
    }

    /// Begins to follow one job, from its beginning unless another place is named.
    pub(crate) async fn begin_with_job(
        hub: &Hub,
        grant: Arc<Grant>,
        wanted: &Wanted,
        job: JobId,
        start: Start,
    ) -> Result<Self> {
        let after = if let Start::After(pos) = start { pos } else { 0 };
        let mut waiting = VecDeque::new();
        // Found out before the history is read: what is removed later is in the history that was read.
        let mut found = wanted.cursor(hub, Some(after));
        let (first, generation) = (found.look(1).await?, found.generation());
        match first {
            Some(Found::Gap { oldest }) if after > 0 => waiting.push_back(Told::Gap { from: after, oldest }),
            Some(Found::Reset { oldest }) => waiting.push_back(Told::Reset { oldest, generation }),
            _ if start == Start::Reset => waiting.push_back(Told::Reset { oldest: 1, generation }),
            _ => {}
        }
        let after = if waiting.iter().any(|told| matches!(told, Told::Reset { .. })) { 0 } else { after };
        // Taken before the history, so that nothing falls in between.
        let cursor = wanted.cursor(hub, None);
        let (stepwell, until) = (hub.stepwell.clone(), cursor.pos());
        let past = Some(Past { stepwell, job, wanted: wanted.clone(), after, until });
        Ok(Self { cursor, past, grant, waiting, reset: false, checked: true })
    }

    /// What there is, at most so much.
    pub(crate) async fn look(&mut self, at_most: usize) -> Result<Look> {
        let at_most = at_most.min(BATCH);
        for _ in 0..PAGES_IN_VAIN_MAX {
            if !self.waiting.is_empty() {
                let n = self.waiting.len().min(at_most);
                return Ok(Look::Told(self.waiting.drain(..n).collect()));
            }
            if !self.read_more(at_most).await? {
                return Ok(Look::Nothing);
            }
            // Much that is not wanted must not keep others from their turn.
            tokio::task::yield_now().await;
        }
        Ok(Look::More)
    }

    /// Answers false if there is nothing more to read.
    async fn read_more(&mut self, at_most: usize) -> Result<bool> {
        if let Some(past) = &mut self.past {
            match past.read().await? {
                Some(frames) => self.waiting.extend(frames.into_iter().map(Told::Event)),
                None => self.past = None,
            }
            return Ok(true);
        }
        let from = self.cursor.pos();
        // Of what a limited grant may not see, more has to be looked at than is told.
        let at_most = if self.grant.is_limited() { BATCH } else { at_most };
        let found = self.cursor.look(at_most).await?;
        let more = found.is_some() || self.reset;
        if std::mem::take(&mut self.reset) {
            // The oldest `pos` is only told if it is not the first.
            let oldest = match &found {
                Some(Found::Gap { oldest } | Found::Reset { oldest }) => *oldest,
                _ => 1,
            };
            self.waiting.push_back(Told::Reset { oldest, generation: self.cursor.generation() });
        } else {
            match found {
                Some(Found::Gap { oldest }) => self.waiting.push_back(Told::Gap { from, oldest }),
                Some(Found::Reset { oldest }) => {
                    self.waiting.push_back(Told::Reset { oldest, generation: self.cursor.generation() });
                }
                _ => {}
            }
        }
        if let Some(Found::Events(frames)) = found {
            let theirs = if self.checked { frames } else { seen(&self.grant, frames) };
            self.waiting.extend(theirs.into_iter().map(Told::Event));
        }
        Ok(more)
    }
    /// Takes back what was not told after all.
    pub(crate) fn put_back(&mut self, rest: impl DoubleEndedIterator<Item = Told>) {
        rest.rev().for_each(|told| self.waiting.push_front(told));
    }
    /// Everything up to this `pos` was told, or is not wanted, once nothing is waiting.
    pub(crate) fn pos(&self) -> u64 {
        self.past.as_ref().map_or_else(|| self.cursor.pos(), |past| past.after)
    }
    /// The id of the log that the place is in, until a reset tells of another one.
    pub(crate) fn generation(&self) -> Arc<str> {
        self.cursor.generation()
    }
    /// The place, for others.
    pub(crate) fn place(&self) -> String {
        place(&self.generation(), self.pos())
    }
    /// Whether everything up to the place was told.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.waiting.is_empty() && !self.reset
    }
    /// Waits until there may be more. Answers false when there will never be.
    pub(crate) async fn grown(&mut self) -> bool {
        self.cursor.grown().await
    }
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }
}
