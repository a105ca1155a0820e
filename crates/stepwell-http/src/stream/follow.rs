//! What is found, in order, with gaps and resets.

use std::{collections::VecDeque, sync::Arc};

use stepwell::{EventCursor, Found, Result, wire::Frame};

use super::wanted::{Start, Wanted, seen};
use crate::{access::Grant, hub::Hub};

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
    },
}

/// A place in the log, on behalf of somebody.
pub(crate) struct Follow {
    cursor: EventCursor,
    grant: Arc<Grant>,
    waiting: VecDeque<Told>,
    /// Whether the reader is yet to be told that its place was of another log.
    reset: bool,
    /// Whether the job itself was checked, so that its events are theirs whatever queue it went through.
    checked: bool,
}

/// Events that are read at once.
const BATCH: usize = 256;

impl Follow {
    /// Begins to follow the log.
    pub(crate) fn begin(hub: &Hub, grant: Arc<Grant>, wanted: &Wanted, start: Start) -> Self {
        let after = match start {
            Start::Now => None,
            Start::After(pos) => Some(pos),
            Start::Reset => Some(0),
        };
        let (waiting, reset) = (VecDeque::new(), start == Start::Reset);
        Self { cursor: wanted.cursor(hub, after), grant, waiting, reset, checked: false }
    }

    /// Begins to follow one job, from its beginning unless another place is named. What has happened is read from the
    /// job's own history, and not searched for in the log.
    pub(crate) async fn begin_with_job(
        hub: &Hub,
        grant: Arc<Grant>,
        wanted: &Wanted,
        start: Start,
    ) -> Result<Self> {
        let after = if let Start::After(pos) = start { pos } else { 0 };
        let mut waiting = VecDeque::new();
        // Found out before the history is read: what is removed later is in the history that was read.
        match wanted.cursor(hub, Some(after)).look(1).await? {
            Some(Found::Gap { oldest }) if after > 0 => waiting.push_back(Told::Gap { from: after, oldest }),
            Some(Found::Reset { oldest }) => waiting.push_back(Told::Reset { oldest }),
            _ if start == Start::Reset => waiting.push_back(Told::Reset { oldest: 1 }),
            _ => {}
        }
        let after = if waiting.iter().any(|told| matches!(told, Told::Reset { .. })) { 0 } else { after };
        // Taken before the history, so that nothing falls in between.
        let cursor = wanted.cursor(hub, None);
        let id = wanted.job.unwrap_or_else(|| stepwell::JobId::from_bytes([0; 16]));
        let past = hub.stepwell.history_frames(id).await?.into_iter();
        let past =
            past.filter(|frame| frame.pos() > after && frame.pos() <= cursor.pos() && wanted.matches(frame));
        waiting.extend(past.map(Told::Event));
        Ok(Self { cursor, grant, waiting, reset: false, checked: true })
    }

    /// What there is, at most so much; nothing if there is nothing yet.
    pub(crate) async fn look(&mut self, at_most: usize) -> Result<Vec<Told>> {
        let at_most = at_most.min(BATCH);
        loop {
            if !self.waiting.is_empty() {
                let n = self.waiting.len().min(at_most);
                return Ok(self.waiting.drain(..n).collect());
            }
            let from = self.cursor.pos();
            let found = self.cursor.look(at_most).await?;
            if self.reset {
                self.reset = false;
                // The oldest `pos` is only told if it is not the first.
                let oldest = match &found {
                    Some(Found::Gap { oldest } | Found::Reset { oldest }) => *oldest,
                    _ => 1,
                };
                self.waiting.push_back(Told::Reset { oldest });
            } else {
                match found {
                    Some(Found::Gap { oldest }) => self.waiting.push_back(Told::Gap { from, oldest }),
                    Some(Found::Reset { oldest }) => self.waiting.push_back(Told::Reset { oldest }),
                    _ => {}
                }
            }
            match found {
                Some(Found::Events(frames)) => {
                    let theirs = if self.checked { frames } else { seen(&self.grant, frames) };
                    self.waiting.extend(theirs.into_iter().map(Told::Event));
                    if self.waiting.is_empty() {
                        // Much that is not wanted must not keep others from their turn.
                        tokio::task::yield_now().await;
                    }
                }
                Some(_) => {}
                None if self.waiting.is_empty() => return Ok(Vec::new()),
                None => {}
            }
        }
    }
    /// Everything up to this `pos` was told, or is not wanted, once nothing is waiting.
    pub(crate) fn pos(&self) -> u64 {
        self.cursor.pos()
    }
    /// Whether everything up to the place was told.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.waiting.is_empty()
    }
    /// Waits until there may be more. Answers false when there will never be.
    pub(crate) async fn grown(&mut self) -> bool {
        self.cursor.grown().await
    }
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }
}
