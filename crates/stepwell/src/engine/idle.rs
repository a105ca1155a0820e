//! Whether there is anything left to do.

use std::pin::pin;

use stepwell_core::Timestamp;

use super::core::Engine;

/// What claims have come to so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Looks {
    /// Claims that were answered.
    times: u64,
    /// Jobs that they brought.
    jobs: u64,
    /// When the last of them said that the next job is due. The next claim, which may have begun by now, knows nothing
    /// of that yet.
    due: Option<Timestamp>,
}

impl Engine {
    /// A claim was answered with so many jobs, and with when the next one is due.
    pub(super) fn looked(&self, jobs: usize, due: Option<Timestamp>) {
        self.looks.send_modify(|looked| {
            looked.times += 1;
            looked.jobs += jobs as u64;
            looked.due = due;
        });
    }

    /// Waits until nothing runs here and there is nothing to claim. Answers when the next job is due, as far as is
    /// known.
    pub(crate) async fn idle(&self) -> Option<Timestamp> {
        let mut looks = self.looks.subscribe();
        loop {
            let mut landed = pin!(self.flights.landed.notified());
            landed.as_mut().enable();
            if self.flights.running() > 0 {
                landed.await;
                continue;
            }
            let before = *looks.borrow_and_update();
            loop {
                self.work.notify_one();
                looks.changed().await.ok()?;
                let now = *looks.borrow_and_update();
                if now.jobs > before.jobs {
                    break;
                }
                // The first may have begun before the last job left for another queue; the second has not.
                if now.times >= before.times + 2 {
                    return now.due;
                }
            }
        }
    }
}
