//! The interface that the engine uses.

use stepwell_core::{
    Clock, Event, Job, JobId, Json, Name, PlanSpec, Result, SessionId,
    event::EventFilter,
    explain::Facts,
    job::PlanRef,
    lease::Fence,
    limits,
    machine::{LogLine, NewJob},
    queue::{Queue, QueueChange},
    retention::Retention,
    session::{Beat, Desired, Node, Session, SessionState},
    setting::{PutSetting, Setting, Settings, SettingsRequest},
    store::{
        Answer, Applied, ClaimRequest, ClaimedBatch, Count, Description, Element, Enqueued, EventPage,
        FanOut, Health, JobFilter, Listener, Maintain, Maintained, Page, PageRequest, Pruned, Request, Store,
        inbox::InboxOutcome, operations,
    },
};

use crate::{
    Memory,
    state::{State, Tx},
};

const LIMIT: usize = limits::MAINTENANCE_BATCH_MAX;

impl Memory {
    fn write<'a, T: Send + 'a>(
        &'a self,
        operation: impl FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move { self.transact(operation) })
    }
    fn look<'a, T: Send + 'a>(&'a self, read: impl FnOnce(&State) -> T + Send + 'a) -> Answer<'a, T> {
        Box::pin(async move { self.read(read) })
    }
}

impl Store for Memory {
    fn describe(&self) -> Description {
        Description {
            store: "memory",
            location: "this process".into(),
            durability: "none: what is stored ends with the process".into(),
            generation: SessionId::from_bytes(self.generation).to_string(),
            notices: Vec::new(),
        }
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn listen(&self, listener: Listener) {
        self.listen_with(listener);
    }
    fn head(&self) -> u64 {
        self.lock().head()
    }

    fn enqueue(&self, jobs: Vec<NewJob>) -> Answer<'_, Vec<Result<Enqueued>>> {
        Box::pin(async move {
            // Nothing is stored of an empty batch either, but a closed store says so.
            self.read(|_| ())?;
            let enqueue = |new: &NewJob| self.transact(|tx| operations::enqueue(tx, new, tx.now));
            Ok(jobs.iter().map(enqueue).collect())
        })
    }
    fn apply(&self, request: Request) -> Answer<'_, Applied> {
        self.write(move |tx| operations::apply(tx, &request, tx.now))
    }
    fn claim(&self, request: ClaimRequest) -> Answer<'_, ClaimedBatch> {
        self.write(move |tx| operations::claim(tx, &request, tx.now))
    }
    fn register(&self, plans: Vec<PlanSpec>) -> Answer<'_, Vec<PlanRef>> {
        self.write(move |tx| plans.iter().map(|plan| operations::register(tx, plan)).collect())
    }
    fn change_queue(&self, queue: Name, change: QueueChange) -> Answer<'_, Queue> {
        self.write(move |tx| operations::change_queue(tx, &queue, &change, tx.now))
    }
    fn maintain(&self, request: Maintain) -> Answer<'_, Maintained> {
        self.write(move |tx| maintain(tx, &request))
    }
    fn prune(&self, retention: Retention) -> Answer<'_, Pruned> {
        self.write(move |tx| operations::prune(tx, &retention, tx.now, LIMIT))
    }

    fn put_settings(&self, puts: Vec<PutSetting>) -> Answer<'_, Vec<u64>> {
        self.write(move |tx| operations::put_settings(tx, &puts, tx.now))
    }
    fn fan_out(&self, request: FanOut) -> Answer<'_, ()> {
        self.write(move |tx| operations::fan_out(tx, &request, tx.now))
    }

    fn open_session(&self, session: Session) -> Answer<'_, ()> {
        self.write(move |tx| tx.state.open_session(session, tx.now, self.session_ttl))
    }
    fn beat(&self, session: SessionId) -> Result<Beat> {
        self.transact(|tx| Ok(Beat { alive: tx.state.beat(session, tx.now, self.session_ttl) }))
    }
    fn tell(&self, session: SessionId, state: SessionState) -> Answer<'_, ()> {
        self.write(move |tx| {
            tx.state.tell(session, state);
            Ok(())
        })
    }
    fn want(&self, session: SessionId, desired: Desired) -> Answer<'_, Desired> {
        self.write(move |tx| {
            tx.change.desired = true;
            tx.state.want(session, desired)
        })
    }
    fn close_session(&self, session: SessionId) -> Answer<'_, ()> {
        self.write(move |tx| {
            tx.state.bury(session);
            Ok(())
        })
    }

    fn job(&self, id: JobId) -> Answer<'_, Option<Job>> {
        self.look(move |state| state.job(id).cloned())
    }
    fn payload(&self, id: JobId) -> Answer<'_, Option<Json>> {
        self.look(move |state| state.payloads.get(&state.key(id)?).cloned())
    }
    fn result(&self, id: JobId, phase: Name) -> Answer<'_, Option<Json>> {
        self.look(move |state| state.result(id, &phase))
    }
    fn checkpoint(&self, id: JobId, phase: Name) -> Answer<'_, Option<Json>> {
        self.look(move |state| state.checkpoints.get(&(state.key(id)?, phase)).cloned())
    }
    fn elements(&self, id: JobId, phase: Name) -> Answer<'_, Vec<Element>> {
        self.look(move |state| state.elements_of(id, phase))
    }
    fn log(&self, id: JobId) -> Answer<'_, Vec<LogLine>> {
        self.look(move |state| state.log_of(id))
    }
    fn list(&self, filter: JobFilter, page: PageRequest) -> Answer<'_, Page<Job>> {
        self.look(move |state| state.list(&filter, &page))
    }
    fn counts(&self) -> Answer<'_, Vec<Count>> {
        self.look(State::counted)
    }
    fn events(&self, after: u64, limit: usize, filter: EventFilter) -> Answer<'_, EventPage> {
        self.look(move |state| state.page_of_events(after, limit, &filter))
    }
    fn history(&self, id: JobId, after: u64, limit: usize) -> Answer<'_, Vec<Event>> {
        self.look(move |state| state.key(id).map_or_else(Vec::new, |key| state.history(key, after, limit)))
    }
    fn queues(&self) -> Answer<'_, Vec<Queue>> {
        self.look(|state| state.queues.iter().map(|(_, queue)| queue.clone()).collect())
    }
    fn sessions(&self) -> Answer<'_, Vec<Session>> {
        self.look(|state| state.live_sessions().cloned().collect())
    }
    fn wanted(&self) -> Answer<'_, Vec<(SessionId, Desired)>> {
        self.look(State::wanted)
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        let now = self.clock.now();
        self.look(move |state| state.nodes(now))
    }
    fn health(&self) -> Answer<'_, Health> {
        let now = self.clock.now();
        self.look(move |state| Health::default().with_late(state.late_sessions(now)))
    }
    fn facts(&self, job: Job) -> Answer<'_, Facts> {
        let now = self.clock.now();
        self.look(move |state| Facts {
            queue: state.queues.get(&job.queue).cloned(),
            sessions: state.live_sessions().cloned().collect(),
            running_in_queue: state.running_in(&job.queue),
            ahead: state.ahead_of(&job, now),
        })
    }
    fn owned(&self, session: SessionId) -> Answer<'_, Vec<(JobId, Fence, bool)>> {
        self.look(move |state| {
            let rows = state.owned(session, usize::MAX);
            let owned = |job: &Job| Some((job.id, job.owner_fence()?, job.cancel_requested_at.is_some()));
            rows.iter().filter_map(|row| owned(&row.job)).collect()
        })
    }
    fn inbox_outcome(&self, id: JobId) -> Answer<'_, Option<InboxOutcome>> {
        self.look(move |state| state.outcomes.get(&id).cloned())
    }
    fn setting(&self, scope: Name, key: String) -> Answer<'_, Option<Setting>> {
        self.look(move |state| state.setting(&scope, &key).cloned())
    }
    fn settings(&self, request: SettingsRequest) -> Answer<'_, Settings> {
        self.look(move |state| state.page_of_settings(&request))
    }
    fn cursor(&self, name: Name) -> Answer<'_, Option<u64>> {
        self.look(move |state| state.cursors.get(&name).copied())
    }
    fn plan(&self, kind: Name) -> Answer<'_, Option<(PlanSpec, PlanRef)>> {
        self.look(move |state| {
            let newest = state.newest_plan(&kind);
            newest.map(|(spec, plan_ref)| (PlanSpec::clone(&spec), plan_ref))
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.lock().closed = true;
            Ok(())
        })
    }
}

/// The inbox first, so that nothing is reaped by a clock that the application's own commits have not seen.
fn maintain(tx: &mut Tx<'_>, request: &Maintain) -> Result<Maintained> {
    let now = tx.now;
    let taken_in = operations::take_in(tx, now, LIMIT)?;
    tx.state.bury_the_late(now, request.session);
    let mut reaped = 0;
    for (session, node) in tx.state.dead_sessions() {
        reaped += operations::reap(tx, session, &node, request.jitter, now, LIMIT - reaped)?;
        tx.state.forget_if_it_owns_nothing(session);
        if reaped == LIMIT {
            break;
        }
    }
    let expired = operations::expire(tx, now, LIMIT)?;
    let forced = operations::force_cancels(tx, now, LIMIT)?;
    let more = [taken_in, reaped, expired, forced].contains(&LIMIT);
    Ok(Maintained { taken_in, reaped, closed: expired + forced, more })
}
