//! The thread that gives many answers, so that the writer can go on.

use std::{
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
};

use stepwell_core::{Error, Result};

use crate::batch::Op;

/// Answers that the writer gives by itself: for a few, waking another thread would only make them late.
const FEW: usize = 8;

/// Operations that are over, and why none of them happened if so.
struct Settled {
    ops: Vec<Box<dyn Op>>,
    failure: Option<Error>,
}

/// Where answers are given. Whoever waits may hear of two commits in another order than they happened in; each answer
/// is true when it is given.
#[derive(Default)]
pub(crate) struct Answers {
    /// None where everything happens on the caller's thread.
    thread: Option<(Sender<Settled>, JoinHandle<()>)>,
}

impl Answers {
    /// Starts the thread.
    pub(crate) fn start() -> Result<Self> {
        let (sender, settled) = channel::<Settled>();
        let thread = std::thread::Builder::new().name("stepwell-answer".into());
        let thread = thread.spawn(move || settled.iter().for_each(give));
        let thread = thread.map_err(|error| Error::storage("start the thread that answers", error))?;
        Ok(Self { thread: Some((sender, thread)) })
    }

    /// Answers everybody, now or soon.
    ///
    /// A writer with nothing else to do answers by itself.
    pub(crate) fn settle(&self, ops: Vec<Box<dyn Op>>, failure: Option<Error>, busy: bool) {
        let Some((sender, _)) = self.thread.as_ref().filter(|_| busy) else {
            return give(Settled { ops, failure });
        };
        // A claim does not wait behind hundreds of jobs that have ended: it is what makes the next ones run.
        let (mut now, mut soon): (Vec<_>, Vec<_>) = ops.into_iter().partition(|op| op.answers() <= FEW);
        if now.len() > FEW {
            soon.append(&mut now);
        }
        if !soon.is_empty()
            && let Err(unsent) = sender.send(Settled { ops: soon, failure: failure.clone() })
        {
            give(unsent.0);
        }
        give(Settled { ops: now, failure });
    }
}

fn give(settled: Settled) {
    for op in settled.ops {
        op.settle(settled.failure.as_ref());
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            // It ends when it has given what it was sent.
            drop(sender);
            drop(thread.join());
        }
    }
}
