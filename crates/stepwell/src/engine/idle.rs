//! Whether there is anything left to do.

use std::{pin::pin, sync::atomic::Ordering};

use stepwell_core::Timestamp;

use super::core::Engine;

/// What claims have come to so far.
#[derive(Clone, Copy, Default)]
pub(super) struct Looks {
    /// Claims that were answered.
    times: u64,
    /// Jobs that they brought.
    jobs: u64,
}

impl Engine {
    /// A claim was answered with so many jobs.
    pub(super) fn looked(&self, jobs: usize) {
        self.looks.send_modify(|looked| {
            looked.times += 1;
            looked.jobs += jobs as u64;
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
                    let due = self.due.load(Ordering::Acquire);
                    return (due != i64::MAX).then(|| Timestamp::from_micros(due));
                }
            }
        }
    }
}
