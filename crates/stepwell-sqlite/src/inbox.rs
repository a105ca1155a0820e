//! What the writer is told, and in which portions it takes it.

use std::{
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

use stepwell_core::{Result, time::Stopwatch};
use tokio::sync::oneshot;

use crate::batch::Op;

/// How long a batch waits for the rest of those who were in the one before, which have just been answered: as a rule
/// they come again at once, and a commit for half of them would make the other half wait for two. It is a fraction of
/// what the disk takes, and who is alone never waits.
const REST: Duration = Duration::from_micros(80);

/// What the writer is told.
pub(crate) enum Message {
    /// Something to do.
    Op(Box<dyn Op>),
    /// The file changed; see whether somebody else wrote.
    Probe,
    /// Finish, and close.
    Close(oneshot::Sender<Result<()>>),
}

/// Where the operations of one batch come from, after the first.
pub(crate) trait Supply {
    /// The next one that is there.
    fn next(&mut self) -> Option<Box<dyn Op>>;
    /// Whether there is already something to do after this batch.
    fn has_more(&mut self) -> bool;
}

/// No more than the first.
pub(crate) struct Alone;

impl Supply for Alone {
    fn next(&mut self) -> Option<Box<dyn Op>> {
        None
    }
    fn has_more(&mut self) -> bool {
        false
    }
}

/// The messages, in order.
pub(crate) struct Inbox {
    receiver: Receiver<Message>,
    /// One that was looked at before its time.
    ahead: Option<Message>,
    /// Operations of this batch, and of the one before.
    ops: usize,
    before: usize,
}

impl Inbox {
    pub(crate) fn new(receiver: Receiver<Message>) -> Self {
        Self { receiver, ahead: None, ops: 0, before: 0 }
    }
    /// The next message, if it is there.
    pub(crate) fn try_take(&mut self) -> Result<Message, TryRecvError> {
        match self.ahead.take() {
            Some(message) => Ok(message),
            None => self.receiver.try_recv(),
        }
    }
    /// Waits for the next message; none if nobody can send any more.
    pub(crate) fn take(&mut self) -> Option<Message> {
        self.ahead.take().or_else(|| self.receiver.recv().ok())
    }
    /// The next operations are another batch.
    pub(crate) fn begin_batch(&mut self) {
        (self.before, self.ops) = (self.ops, 1);
    }
}

impl Supply for Inbox {
    fn next(&mut self) -> Option<Box<dyn Op>> {
        let mut waited: Option<Stopwatch> = None;
        loop {
            match self.try_take() {
                Ok(Message::Op(op)) => {
                    self.ops += 1;
                    return Some(op);
                }
                // Every transaction looks for other writers anyway.
                Ok(Message::Probe) => {}
                Ok(close @ Message::Close(_)) => {
                    self.ahead = Some(close);
                    return None;
                }
                Err(TryRecvError::Empty) if self.ops < self.before => {
                    if waited.get_or_insert_with(Stopwatch::start).elapsed() >= REST {
                        return None;
                    }
                    std::thread::yield_now();
                }
                Err(_) => return None,
            }
        }
    }
    fn has_more(&mut self) -> bool {
        if self.ahead.is_none() {
            self.ahead = self.receiver.try_recv().ok();
        }
        self.ahead.is_some()
    }
}
