//! What the shared operations ask of the tables.

use std::sync::Arc;

use stepwell_core::{
    JobId, JobState, Json, Name, PlanSpec, Result, SessionId, Timestamp,
    job::PlanRef,
    machine::Transition,
    queue::Queue,
    setting::Setting,
    store::{
        Row, Tables,
        inbox::{InboxEntry, InboxOutcome},
        settled,
    },
    unique::{Holder, Holders},
};

use crate::{events, state::Tx, transition};

impl Tables for Tx<'_> {
    fn job(&mut self, id: JobId) -> Result<Option<Row>> {
        Ok(self.state.row(id).cloned())
    }
    fn payload(&mut self, row: &Row) -> Result<Json> {
        Ok(self.state.payloads.get(&row.key).cloned().unwrap_or_else(Json::null))
    }
    fn settled(&mut self, row: &Row, phase: &Name) -> Result<Option<(String, Json)>> {
        let found = self.state.elements.get(&(row.key, phase.clone(), settled::INDEX));
        Ok(found.map(|element| (element.input_hash.clone(), element.result.clone())))
    }
    fn unique_holders(&mut self, kind: &Name, key: &str) -> Result<Holders> {
        let of = (kind.clone(), key.to_owned());
        let live = self.state.live.get(&of).and_then(|key| self.state.jobs.get(key)).map(|row| row.job.id);
        let (kind, key) = of;
        let all = (kind.clone(), key.clone(), i64::MIN)..=(kind, key, i64::MAX);
        let newest =
            self.state.holders.range(all).next_back().and_then(|((_, _, key), ())| self.state.jobs.get(key));
        let newest = newest.map(|row| Holder { id: row.job.id, enqueued_at: row.job.enqueued_at });
        Ok(Holders { live, newest })
    }
    fn is_tagged(&mut self, kind: &Name, tag: &Name) -> Result<bool> {
        let mut jobs = self.state.jobs.iter();
        Ok(jobs.any(|(_, row)| row.job.kind == *kind && row.job.details.tags.contains(tag)))
    }
    fn insert(&mut self, transition: Transition, payload: &Json) -> Result<()> {
        transition::insert(self, transition, payload)
    }
    fn save(&mut self, before: &Row, transition: Transition) -> Result<()> {
        transition::save(self, before, transition);
        Ok(())
    }

    fn newest_plan(&mut self, kind: &Name) -> Result<Option<(Arc<PlanSpec>, PlanRef)>> {
        Ok(self.state.newest_plan(kind))
    }
    fn plans(&mut self, kind: &Name) -> Result<Vec<(String, u64)>> {
        Ok(self.state.plans_of(kind).map(|(hash, (_, generation))| (hash.clone(), *generation)).collect())
    }
    fn put_plan(&mut self, spec: &PlanSpec, plan_ref: &PlanRef) -> Result<()> {
        self.state.put_plan(spec, plan_ref);
        Ok(())
    }
    fn is_plan_in_use(&mut self, kind: &Name, generation: u64) -> Result<bool> {
        Ok(self.state.is_plan_in_use(kind, generation))
    }

    fn queue(&mut self, name: &Name) -> Result<Option<Queue>> {
        Ok(self.state.queues.get(name).cloned())
    }
    fn running(&mut self, queue: &Name) -> Result<Option<u64>> {
        Ok(Some(self.state.running_in(queue)))
    }
    fn put_queue(&mut self, queue: &Queue) -> Result<()> {
        self.state.queues.insert(queue.name.clone(), queue.clone());
        // Whoever waits for work may find some in a queue that goes on.
        self.change.ready |= queue.paused_at.is_none();
        Ok(())
    }

    fn is_session_alive(&mut self, session: SessionId) -> Result<bool> {
        Ok(self.state.is_session_alive(session))
    }

    fn stage(&mut self, now: Timestamp, limit: usize) -> Result<usize> {
        Ok(self.state.stage(now, limit))
    }
    fn next_due(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.state.next_due())
    }
    fn ready(&mut self, queue: &Name, kinds: &[(Name, u64)], limit: usize) -> Result<Vec<Row>> {
        Ok(self.state.ready(queue, kinds, self.now, limit))
    }
    fn owned(&mut self, session: SessionId, limit: usize) -> Result<Vec<Row>> {
        Ok(self.state.owned(session, limit))
    }
    fn expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        Ok(self.state.expired(now, limit))
    }
    fn overdue_cancels(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        Ok(self.state.overdue_cancels(now, limit))
    }

    fn count(&mut self, state: JobState) -> Result<u64> {
        Ok(self.state.count_of(state))
    }
    fn ended(&mut self, state: JobState, cutoff: Timestamp, excess: u64, limit: usize) -> Result<Vec<Row>> {
        Ok(self.state.ended(state, cutoff, excess, limit))
    }
    fn lowest_cursor(&mut self) -> Result<Option<u64>> {
        Ok(self.state.lowest_cursor())
    }
    fn prune_events(&mut self, cutoff: Timestamp, count_max: u64, limit: usize) -> Result<usize> {
        Ok(events::prune(self.state, cutoff, count_max, limit))
    }

    fn head(&mut self) -> Result<u64> {
        Ok(self.state.head())
    }
    fn cursor(&mut self, name: &Name) -> Result<Option<u64>> {
        Ok(self.state.cursors.get(name).copied())
    }
    fn put_cursor(&mut self, name: &Name, pos: u64) -> Result<()> {
        self.state.cursors.insert(name.clone(), pos);
        Ok(())
    }

    fn setting(&mut self, scope: &Name, key: &str) -> Result<Option<Setting>> {
        Ok(self.state.setting(scope, key).cloned())
    }
    fn put_setting(&mut self, scope: &Name, key: &str, value: Option<&Json>, now: Timestamp) -> Result<u64> {
        Ok(self.state.put_setting(scope, key, value, now))
    }
    fn revision(&mut self, scope: &Name) -> Result<u64> {
        Ok(self.state.revision(scope))
    }
    fn prune_settings(&mut self, scope: &Name, cutoff: Timestamp, limit: usize) -> Result<usize> {
        Ok(self.state.prune_settings(scope, cutoff, limit))
    }

    fn inbox(&mut self, limit: usize) -> Result<Vec<InboxEntry>> {
        Ok(self.state.oldest_inbox_rows(limit))
    }
    fn inbox_made(&mut self, id: JobId) -> Result<Option<JobId>> {
        Ok(self.state.inbox_made(id))
    }
    fn inbox_job(&mut self, idempotency_key: &str) -> Result<Option<JobId>> {
        Ok(self.state.idempotent.get(idempotency_key).copied())
    }
    fn close_inbox(&mut self, entry: &InboxEntry, outcome: &InboxOutcome, _now: Timestamp) -> Result<()> {
        self.state.close_inbox(entry, outcome);
        Ok(())
    }
}
