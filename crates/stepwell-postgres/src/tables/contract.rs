//! All of it under one trait.

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
    },
    unique::Holders,
};

use crate::ledger::Ledger;

impl Tables for Ledger {
    fn job(&mut self, id: JobId) -> Result<Option<Row>> {
        self.find_job(id)
    }
    fn last_pos(&mut self, row: &Row) -> Result<u64> {
        self.find_last_pos(row)
    }
    fn payload(&mut self, row: &Row) -> Result<Json> {
        self.read_payload(row)
    }
    fn settled(&mut self, row: &Row, phase: &Name) -> Result<Option<(String, Json)>> {
        self.read_settled(row, phase)
    }
    fn unique_holders(&mut self, kind: &Name, key: &str) -> Result<Holders> {
        self.find_holders(kind, key)
    }
    fn is_tagged(&mut self, kind: &Name, tag: &Name) -> Result<bool> {
        self.has_tag(kind, tag)
    }
    fn insert(&mut self, transition: Transition, payload: &Json) -> Result<()> {
        self.insert_job(transition, payload)
    }
    fn save(&mut self, before: &Row, transition: Transition) -> Result<()> {
        self.save_job(before, transition)
    }

    fn newest_plan(&mut self, kind: &Name) -> Result<Option<(Arc<PlanSpec>, PlanRef)>> {
        self.find_newest_plan(kind)
    }
    fn plans(&mut self, kind: &Name) -> Result<Vec<(String, u64)>> {
        self.find_plans(kind)
    }
    fn put_plan(&mut self, spec: &PlanSpec, plan_ref: &PlanRef) -> Result<()> {
        self.store_plan(spec, plan_ref)
    }
    fn is_plan_in_use(&mut self, kind: &Name, generation: u64) -> Result<bool> {
        self.is_worked(kind, generation)
    }

    fn queue(&mut self, name: &Name) -> Result<Option<Queue>> {
        self.find_queue(name)
    }
    fn running(&mut self, queue: &Name) -> Result<Option<u64>> {
        self.count_running(queue)
    }
    fn put_queue(&mut self, queue: &Queue) -> Result<()> {
        self.store_queue(queue)
    }

    fn is_session_alive(&mut self, session: SessionId) -> Result<bool> {
        self.find_session(session)
    }

    fn stage(&mut self, now: Timestamp, limit: usize) -> Result<usize> {
        self.stage_due(now, limit)
    }
    fn next_due(&mut self) -> Result<Option<Timestamp>> {
        self.first_waiting()
    }
    fn ready(&mut self, queue: &Name, kinds: &[(Name, u64)], limit: usize) -> Result<Vec<Row>> {
        self.find_ready(queue, kinds, limit)
    }
    fn owned(&mut self, session: SessionId, limit: usize) -> Result<Vec<Row>> {
        self.find_owned(session, limit)
    }
    fn expired(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        self.find_expired(now, limit)
    }
    fn overdue_cancels(&mut self, now: Timestamp, limit: usize) -> Result<Vec<Row>> {
        self.find_overdue(now, limit)
    }

    fn count(&mut self, state: JobState) -> Result<u64> {
        self.count_state(state)
    }
    fn ended(&mut self, state: JobState, cutoff: Timestamp, excess: u64, limit: usize) -> Result<Vec<Row>> {
        self.find_ended(state, cutoff, excess, limit)
    }
    fn lowest_cursor(&mut self) -> Result<Option<u64>> {
        self.find_lowest_cursor()
    }
    fn prune_events(&mut self, cutoff: Timestamp, count_max: u64, limit: usize) -> Result<usize> {
        self.delete_events(cutoff, count_max, limit)
    }

    fn head(&mut self) -> Result<u64> {
        self.numbered()
    }
    fn cursor(&mut self, name: &Name) -> Result<Option<u64>> {
        self.find_cursor(name)
    }
    fn put_cursor(&mut self, name: &Name, pos: u64) -> Result<()> {
        self.store_cursor(name, pos)
    }

    fn setting(&mut self, scope: &Name, key: &str) -> Result<Option<Setting>> {
        self.find_setting(scope, key)
    }
    fn put_setting(&mut self, scope: &Name, key: &str, value: Option<&Json>, now: Timestamp) -> Result<u64> {
        self.store_setting(scope, key, value, now)
    }
    fn revision(&mut self, scope: &Name) -> Result<u64> {
        self.find_revision(scope)
    }
    fn prune_settings(&mut self, scope: &Name, cutoff: Timestamp, limit: usize) -> Result<usize> {
        self.forget_settings(scope, cutoff, limit)
    }

    fn inbox(&mut self, limit: usize) -> Result<Vec<InboxEntry>> {
        self.read_inbox(limit)
    }
    fn inbox_made(&mut self, id: JobId) -> Result<Option<JobId>> {
        self.find_inbox_made(id)
    }
    fn inbox_job(&mut self, idempotency_key: &str) -> Result<Option<JobId>> {
        self.find_inbox_job(idempotency_key)
    }
    fn close_inbox(&mut self, entry: &InboxEntry, outcome: &InboxOutcome, now: Timestamp) -> Result<()> {
        self.finish_inbox(entry, outcome, now)
    }
}
