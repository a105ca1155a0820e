//! How due jobs are found.

use std::cmp::Reverse;

use stepwell_core::{Job, JobState, Name, Timestamp, limits, store::Row};

use crate::{
    state::{ReadyKey, State},
    transition::ready_key,
};

const ALWAYS: (Timestamp, Timestamp) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));

impl State {
    pub(crate) fn stage(&mut self, now: Timestamp, limit: usize) -> usize {
        let due: Vec<(Timestamp, i64)> =
            self.waiting.range(..=(now, i64::MAX)).take(limit).map(|(key, ())| *key).collect();
        for waiting in &due {
            self.waiting.remove(waiting);
            if let Some(row) = self.jobs.get(&waiting.1) {
                self.ready.insert(ready_key(row), ());
            }
        }
        due.len()
    }
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.iter().next().map(|((at, _), ())| *at)
    }
    pub(crate) fn ready(
        &self,
        queue: &Name,
        kinds: &[(Name, u64)],
        now: Timestamp,
        limit: usize,
    ) -> Vec<Row> {
        let mut found: Vec<&ReadyKey> = Vec::new();
        for (kind, generation) in kinds {
            let first = (queue.clone(), kind.clone(), Reverse(i16::MAX), ALWAYS.0, i64::MIN);
            let last = (queue.clone(), kind.clone(), Reverse(i16::MIN), ALWAYS.1, i64::MAX);
            let can_be_claimed = |(_, _, _, _, key): &ReadyKey| {
                self.jobs.get(key).is_some_and(|Row { job, .. }| {
                    job.plan.as_ref().is_none_or(|plan| plan.generation <= *generation)
                        && job.expires_at.is_none_or(|at| at > now)
                })
            };
            let of_kind = self.ready.range(first..=last).map(|(key, ())| key);
            found.extend(of_kind.filter(|key| can_be_claimed(key)).take(limit));
        }
        found.sort_by_key(|(_, _, priority, at, key)| (*priority, *at, *key));
        self.rows(found.into_iter().take(limit).map(|(_, _, _, _, key)| *key))
    }
    /// How many due jobs of its queue come before a pending one.
    pub(crate) fn ahead_of(&self, job: &Job, now: Timestamp) -> u64 {
        let Some(key) = self.keys.get(&job.id) else { return 0 };
        let place = |job: &Job, key: i64| (Reverse(job.priority), job.available_at, key);
        let mine = place(job, *key);
        let is_before = |(key, Row { job: other, .. }): &(&i64, &Row)| {
            other.state == JobState::Pending
                && other.queue == job.queue
                && other.available_at <= now
                && other.expires_at.is_none_or(|at| at > now)
                && place(other, **key) < mine
        };
        self.jobs.iter().filter(is_before).take(limits::LIST_SCAN_MAX).count() as u64
    }
    pub(crate) fn expired(&self, now: Timestamp, limit: usize) -> Vec<Row> {
        self.rows(self.expiring.range(..=(now, i64::MAX)).take(limit).map(|((_, key), ())| *key))
    }
    pub(crate) fn overdue_cancels(&self, now: Timestamp, limit: usize) -> Vec<Row> {
        self.rows(self.cancelling.range(..=(now, i64::MAX)).take(limit).map(|((_, key), ())| *key))
    }
}
