//! Who follows the events while everything goes wrong.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use stepwell::JobId;

use super::{check::Log, work::queue};

/// A reader on a way of its own that fails as well.
pub(crate) struct Follower {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    log: Log,
    problem: Option<String>,
}

impl Follower {
    pub(crate) async fn start(url: String) -> Self {
        let stepwell = queue(&url, "follower").open().await.unwrap();
        let mut events = stepwell.events().after(0).subscribe();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let theirs = Arc::clone(&seen);
        tokio::spawn(async move {
            // The queue is open as long as somebody has it.
            let _open = stepwell;
            while let Some(event) = events.next().await {
                let seen = &mut *theirs.lock().unwrap();
                if let Err(problem) = seen.log.take(&event) {
                    seen.problem.get_or_insert(problem);
                }
            }
        });
        Self { seen }
    }

    /// Those of these jobs that have not ended.
    pub(crate) fn open(&self, jobs: &BTreeSet<JobId>) -> Vec<JobId> {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.problem, None);
        jobs.iter().filter(|job| !seen.log.has_completed(**job)).copied().collect()
    }

    pub(crate) fn ends(&self) -> Vec<u64> {
        self.seen.lock().unwrap().log.ends()
    }

    pub(crate) fn last_pos(&self) -> u64 {
        self.seen.lock().unwrap().log.last_pos()
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.seen.lock().unwrap().problem.clone()
    }

    pub(crate) fn digest(&self) -> Option<(u64, u64)> {
        self.seen.lock().unwrap().log.digest_until(u64::MAX)
    }
}
