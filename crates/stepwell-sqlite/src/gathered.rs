//! Requests that wait for the writer, gathered: hundreds of jobs that end together cost one message, and not one each.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use stepwell_core::{
    Error, Result,
    store::{Applied, Request, operations},
};
use tokio::sync::oneshot;

use crate::{batch::Op, error, ledger::Ledger};

/// Requests that one operation takes. More would make the first one wait for nothing.
const PER_OP: usize = 256;

/// The requests that wait.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    requests: VecDeque<Asked>,
    /// Operations that are on their way to take them: as many as it needs to take them all.
    ops: usize,
}

/// A request, and whoever waits for its answer.
struct Asked {
    request: Request,
    answer: Option<Result<Applied>>,
    reply: oneshot::Sender<Result<Applied>>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request wait. Answers with the operation that has to be sent for it, unless one that is on its way takes
    /// it along: then it is decided a little earlier than its turn, but never later, and never before a request that
    /// was made before it.
    pub(crate) fn add(
        self: &Arc<Self>,
        request: Request,
    ) -> (Option<Box<dyn Op>>, oneshot::Receiver<Result<Applied>>) {
        let (reply, answer) = oneshot::channel();
        let mut queue = self.lock();
        queue.requests.push_back(Asked { request, answer: None, reply });
        let more = queue.requests.len() > queue.ops * PER_OP;
        queue.ops += usize::from(more);
        drop(queue);
        let op = more.then(|| Box::new(Gathered { waiting: self.clone(), taken: None }) as Box<dyn Op>);
        (op, answer)
    }

    fn take(&self) -> Vec<Asked> {
        let mut queue = self.lock();
        queue.ops = queue.ops.saturating_sub(1);
        let n = queue.requests.len().min(PER_OP);
        queue.requests.drain(..n).collect()
    }
}

/// The operation that decides on them, each by itself.
struct Gathered {
    waiting: Arc<Waiting>,
    /// Those that it has taken; none before it has run.
    taken: Option<Vec<Asked>>,
}

impl Gathered {
    fn taken(&mut self) -> &mut Vec<Asked> {
        self.taken.get_or_insert_with(|| self.waiting.take())
    }
}

impl Op for Gathered {
    fn run(&mut self, ledger: &mut Ledger) -> Option<Error> {
        ledger.tell_time();
        ledger.gather();
        for asked in self.taken() {
            let answer = ledger.step(|ledger| operations::apply(ledger, &asked.request, ledger.now));
            if let Some(failure) = answer.as_ref().err().filter(|failure| error::is_of_store(failure)) {
                return Some(failure.clone());
            }
            asked.answer = Some(answer);
            if ledger.is_torn() {
                break;
            }
        }
        None
    }

    fn answers(&self) -> usize {
        self.taken.as_ref().map_or(1, Vec::len)
    }

    fn settle(mut self: Box<Self>, failure: Option<&Error>) {
        for asked in self.taken().drain(..) {
            let answer = match (failure, asked.answer) {
                (Some(failure), _) => Err(failure.clone()),
                (None, Some(answer)) => answer,
                (None, None) => Err(Error::closed()),
            };
            // Nobody may be waiting any more, which changes nothing.
            drop(asked.reply.send(answer));
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        // The writer has gone: whoever waits must not wait for ever. What was taken has been answered, or goes with
        // this.
        self.taken();
    }
}
