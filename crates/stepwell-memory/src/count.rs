//! The counters, and whether they are right.

use std::collections::BTreeMap;

use stepwell_core::{Job, JobState, Name, store::Count};

use crate::state::State;

impl State {
    pub(crate) fn count(&mut self, job: &Job, by: i64) {
        let key = (job.queue.clone(), job.kind.clone(), job.state);
        let n = self.counts.get(&key).copied().unwrap_or(0).saturating_add_signed(by);
        if n == 0 {
            self.counts.remove(&key);
        } else {
            self.counts.insert(key, n);
        }
    }
    pub(crate) fn counted(&self) -> Vec<Count> {
        let count = |((queue, kind, state), n): (&(Name, Name, JobState), &u64)| Count {
            queue: queue.clone(),
            kind: kind.clone(),
            state: *state,
            n: *n,
        };
        self.counts.iter().map(count).collect()
    }
    pub(crate) fn count_of(&self, wanted: JobState) -> u64 {
        self.counts.iter().filter(|((_, _, state), _)| *state == wanted).map(|(_, n)| n).sum()
    }
    /// Jobs of a queue that workers own.
    pub(crate) fn running_in(&self, queue: &Name) -> u64 {
        let of_queue = self.counts.range((queue.clone(), "".into(), JobState::Pending)..);
        of_queue
            .take_while(|((name, _, _), _)| name == queue)
            .filter(|((_, _, state), _)| state.is_owned())
            .map(|(_, n)| n)
            .sum()
    }
    pub(crate) fn recount(&self) -> Result<(), String> {
        let mut found: BTreeMap<(Name, Name, JobState), u64> = BTreeMap::new();
        for (_, row) in self.jobs.iter() {
            *found.entry((row.job.queue.clone(), row.job.kind.clone(), row.job.state)).or_default() += 1;
        }
        let kept: BTreeMap<_, _> = self.counts.iter().map(|(key, n)| (key.clone(), *n)).collect();
        if found == kept { Ok(()) } else { Err(format!("counted {found:?}, but kept {kept:?}")) }
    }
}
