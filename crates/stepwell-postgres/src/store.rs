//! The store itself: what goes to a committer, and what to a reader.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use stepwell_core::{
    Clock, Error, Event, Job, JobId, Json, Name, PlanSpec, Result, SessionId,
    event::EventFilter,
    explain::Facts,
    job::PlanRef,
    lease::Fence,
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
use tokio::sync::oneshot;

use crate::{
    batch::{Task, Wants},
    beat::Beats,
    committer::State,
    error,
    ledger::Ledger,
    maintain::{self, STEP_MAX},
    read::{Reader, Readers},
    session::Sessions,
    target::Target,
};

/// How often a store that closes looks whether everything is written.
const LOOK: Duration = Duration::from_millis(1);

/// A store on a PostgreSQL database.
pub struct Postgres {
    pub(crate) state: Arc<State>,
    pub(crate) target: Arc<Target>,
    pub(crate) committers: Arc<Mutex<Vec<JoinHandle<()>>>>,
    pub(crate) wake: Arc<Mutex<Option<JoinHandle<()>>>>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) beats: Arc<Beats>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) clock: Clock,
    pub(crate) description: Description,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("location", &self.description.location).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Transactions that were committed since the store was opened, for measurements: many operations share one.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.state.commits.load(Ordering::Relaxed)
    }

    /// Hands work to the committers.
    fn write<T, F>(&self, work: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    {
        self.hand_over(Wants::default(), false, work)
    }
    /// The same for work of which it is known what it will look at.
    fn hand_over<T, F>(
        &self,
        wants: Wants,
        if_wanted: bool,
        work: F,
    ) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    {
        let (op, answer) = Task::with_answer(wants, if_wanted, work);
        // If the store is closed, so is the answer's other end.
        self.state.queue.add(op);
        wait(answer)
    }

    /// Asks a reader.
    fn read<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Reader) -> Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        let state = &self.state;
        let answer = self.readers.ask(question);
        Box::pin(async move {
            match wait(answer).await {
                Err(failure) if failure.is_fatal() => {
                    state.give_up(&failure);
                    Err(failure)
                }
                // What a damaged database says is not passed on.
                answer => state.fatal().map_or(answer, Err),
            }
        })
    }

    async fn maintain_in_steps(&self, request: Maintain) -> Result<Maintained> {
        self.write(maintain::number).await?;
        if let Err(error) = self.write(|ledger| ledger.step(Ledger::open_tomorrow)).await {
            // There is a day to do it again.
            tracing::warn!(%error, "tomorrow's partition of the log is not made yet");
        }
        // Whatever an application has put into the inbox, the others' jobs are seen to.
        let taking_in = self.write(maintain::take_in).await;
        let (sessions, asking) = (self.sessions.clone(), request.session);
        let dead = self.write(move |ledger| maintain::find_dead(ledger, &sessions, asking)).await?;
        let mut done = Maintained::default();
        // The death of these is committed: what they have claimed by now is all that they will ever own.
        for known in dead {
            let (id, jitter) = (known.id, request.jitter);
            let (jobs, gone) = self.write(move |ledger| maintain::reap(ledger, &known, jitter)).await?;
            done.reaped += jobs;
            done.more |= jobs >= STEP_MAX;
            if gone {
                self.sessions.forget(id);
            }
        }
        let (expired, forced) = self.write(maintain::close_late).await?;
        done.closed = expired + forced;
        done.taken_in = taking_in?;
        done.more |= [done.taken_in, expired, forced].into_iter().any(|n| n >= STEP_MAX);
        Ok(done)
    }
}

async fn wait<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    answer.await.map_err(|_| Error::closed())?
}

/// What new jobs will look at. What a database could not even be asked for is left out, for it would be asked for
/// together with what others want.
fn wants_of(jobs: &[NewJob]) -> Wants {
    let plain = |text: &str| !text.contains('\0');
    let mut wants = Wants { keys: jobs.len(), ..Wants::default() };
    for job in jobs.iter().filter(|job| plain(&job.kind)) {
        if wants.kinds.last() != Some(&job.kind) {
            wants.kinds.push(job.kind.clone());
        }
        if let Some(queue) =
            job.queue.as_ref().filter(|queue| wants.names.last() != Some(queue) && plain(queue))
        {
            wants.names.push(queue.clone());
        }
        if let Some(unique) = job.unique.as_ref().filter(|unique| plain(unique.as_str())) {
            wants.uniques.push((job.kind.clone(), unique.as_str().to_owned()));
        }
        if let Some(once) = job.once.as_ref().filter(|once| plain(&once.key)) {
            wants.settings.push((operations::ONCE.into(), once.key.clone()));
        }
    }
    wants
}

impl Store for Postgres {
    fn describe(&self) -> Description {
        let generation = self.target.head.generation().to_string();
        Description { generation, ..self.description.clone() }
    }
    fn generation(&self) -> Arc<str> {
        self.target.head.generation()
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn listen(&self, listener: Listener) {
        self.state.listen(listener);
    }
    fn head(&self) -> u64 {
        self.target.head.last().1
    }

    fn enqueue(&self, jobs: Vec<NewJob>) -> Answer<'_, Vec<Result<Enqueued>>> {
        Box::pin(self.hand_over(wants_of(&jobs), false, move |ledger| {
            let mut answers = Vec::with_capacity(jobs.len());
            for job in &jobs {
                match ledger.step(|ledger| operations::enqueue(ledger, job, ledger.now)) {
                    Err(failure) if error::is_of_store(&failure) => return Err(failure),
                    answer => answers.push(answer),
                }
            }
            Ok(answers)
        }))
    }
    fn apply(&self, request: Request) -> Answer<'_, Applied> {
        let wants = Wants { jobs: vec![request.job], ..Wants::default() };
        Box::pin(self.hand_over(wants, false, move |ledger| {
            ledger.step(|ledger| operations::apply(ledger, &request, ledger.now))
        }))
    }
    fn claim(&self, request: ClaimRequest) -> Answer<'_, ClaimedBatch> {
        let wants = Wants {
            names: request.plans.iter().map(|plan| plan.spec.kind.clone()).collect(),
            queues: request.lanes.iter().map(|lane| lane.queue.clone()).collect(),
            ..Wants::default()
        };
        // Jobs that are claimed for somebody who has gone would wait until his lease runs out.
        Box::pin(self.hand_over(wants, true, move |ledger| {
            ledger.step(|ledger| operations::claim(ledger, &request, ledger.now))
        }))
    }
    fn register(&self, plans: Vec<PlanSpec>) -> Answer<'_, Vec<PlanRef>> {
        Box::pin(self.write(move |ledger| {
            ledger.step(|ledger| plans.iter().map(|plan| operations::register(ledger, plan)).collect())
        }))
    }
    fn change_queue(&self, queue: Name, change: QueueChange) -> Answer<'_, Queue> {
        Box::pin(self.write(move |ledger| {
            ledger.step(|ledger| {
                ledger.hold_queues(&change)?;
                operations::change_queue(ledger, &queue, &change, ledger.now)
            })
        }))
    }
    fn maintain(&self, request: Maintain) -> Answer<'_, Maintained> {
        Box::pin(self.maintain_in_steps(request))
    }
    fn prune(&self, retention: Retention) -> Answer<'_, Pruned> {
        Box::pin(async move {
            let pruning = self.write(move |ledger| {
                maintain::prune_inbox(ledger)?;
                ledger.step(|ledger| operations::prune(ledger, &retention, ledger.now, STEP_MAX))
            });
            let pruned = pruning.await?;
            self.write(|ledger| ledger.step(Ledger::drop_days)).await?;
            Ok(pruned)
        })
    }

    fn put_settings(&self, puts: Vec<PutSetting>) -> Answer<'_, Vec<u64>> {
        Box::pin(
            self.write(move |ledger| {
                ledger.step(|ledger| operations::put_settings(ledger, &puts, ledger.now))
            }),
        )
    }
    fn fan_out(&self, request: FanOut) -> Answer<'_, ()> {
        let wants =
            Wants { jobs: request.reports.iter().map(|(job, _)| *job).collect(), ..wants_of(&request.jobs) };
        Box::pin(self.hand_over(wants, false, move |ledger| {
            // What was read of another log is not written about this one.
            let generation = ledger.conn.target().head.generation();
            if request.generation.as_deref().is_some_and(|read| *read != *generation) {
                return Err(Error::version_mismatch(0));
            }
            ledger.step(|ledger| operations::fan_out(ledger, &request, ledger.now))
        }))
    }

    fn open_session(&self, session: Session) -> Answer<'_, ()> {
        let ttl = self.sessions.ttl;
        Box::pin(self.write(move |ledger| ledger.step(|ledger| ledger.open_session(&session, ttl))))
    }
    fn beat(&self, session: SessionId) -> Result<Beat> {
        match self.state.fatal() {
            Some(fatal) => Err(fatal),
            None => self.beats.beat(session),
        }
    }
    fn tell(&self, session: SessionId, state: SessionState) -> Answer<'_, ()> {
        Box::pin(self.write(move |ledger| ledger.step(|ledger| ledger.tell(session, state))))
    }
    fn want(&self, session: SessionId, desired: Desired) -> Answer<'_, Desired> {
        Box::pin(self.write(move |ledger| ledger.step(|ledger| ledger.want(session, desired))))
    }
    fn close_session(&self, session: SessionId) -> Answer<'_, ()> {
        Box::pin(self.write(move |ledger| {
            ledger.step(|ledger| {
                // First it is marked dead, which waits for claims of its own. What it owns then is reaped by the next
                // pass of maintenance.
                if ledger.bury(session, None)? {
                    ledger.remove_session(session)?;
                }
                Ok(())
            })
        }))
    }

    fn job(&self, id: JobId) -> Answer<'_, Option<Job>> {
        self.read(move |reader| reader.job(id))
    }
    fn payload(&self, id: JobId) -> Answer<'_, Option<Json>> {
        self.read(move |reader| reader.payload(id))
    }
    fn result(&self, id: JobId, phase: Name) -> Answer<'_, Option<Json>> {
        self.read(move |reader| reader.result(id, &phase))
    }
    fn checkpoint(&self, id: JobId, phase: Name) -> Answer<'_, Option<Json>> {
        self.read(move |reader| reader.checkpoint(id, &phase))
    }
    fn elements(&self, id: JobId, phase: Name) -> Answer<'_, Vec<Element>> {
        self.read(move |reader| reader.elements(id, &phase))
    }
    fn log(&self, id: JobId) -> Answer<'_, Vec<LogLine>> {
        self.read(move |reader| reader.log(id))
    }
    fn list(&self, filter: JobFilter, page: PageRequest) -> Answer<'_, Page<Job>> {
        self.read(move |reader| reader.list(&filter, &page))
    }
    fn counts(&self) -> Answer<'_, Vec<Count>> {
        self.read(Reader::counts)
    }
    fn events(&self, after: u64, limit: usize, filter: EventFilter) -> Answer<'_, EventPage> {
        self.read(move |reader| reader.events(after, limit, &filter))
    }
    fn history(&self, id: JobId, after: u64, limit: usize) -> Answer<'_, Vec<Event>> {
        self.read(move |reader| reader.history(id, after, limit))
    }
    fn queues(&self) -> Answer<'_, Vec<Queue>> {
        self.read(Reader::queues)
    }
    fn sessions(&self) -> Answer<'_, Vec<Session>> {
        self.read(Reader::sessions)
    }
    fn wanted(&self) -> Answer<'_, Vec<(SessionId, Desired)>> {
        self.read(Reader::wanted)
    }
    fn nodes(&self) -> Answer<'_, Vec<Node>> {
        let now = self.clock.now();
        self.read(move |reader| reader.nodes(now))
    }
    fn health(&self) -> Answer<'_, Health> {
        let now = self.clock.now();
        self.read(move |reader| reader.health(now))
    }
    fn facts(&self, job: Job) -> Answer<'_, Facts> {
        let now = self.clock.now();
        self.read(move |reader| reader.facts(&job, now))
    }
    fn owned(&self, session: SessionId) -> Answer<'_, Vec<(JobId, Fence, bool)>> {
        self.read(move |reader| reader.owned(session))
    }
    fn inbox_outcome(&self, id: JobId) -> Answer<'_, Option<InboxOutcome>> {
        self.read(move |reader| reader.inbox_outcome(id))
    }
    fn setting(&self, scope: Name, key: String) -> Answer<'_, Option<Setting>> {
        self.read(move |reader| reader.setting(&scope, &key))
    }
    fn settings(&self, request: SettingsRequest) -> Answer<'_, Settings> {
        self.read(move |reader| reader.settings(&request))
    }
    fn cursor(&self, name: Name) -> Answer<'_, Option<u64>> {
        self.read(move |reader| reader.cursor(&name))
    }
    fn plan(&self, kind: Name) -> Answer<'_, Option<(PlanSpec, PlanRef)>> {
        self.read(move |reader| reader.plan(&kind))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            // Threads are waited for, which an application's runtime must not be.
            let (done, ended) = oneshot::channel::<()>();
            let ending = self.ending();
            let thread = std::thread::Builder::new().name("stepwell-close".into());
            let started = thread.spawn(move || {
                ending();
                drop(done);
            });
            match started {
                Ok(_) => drop(ended.await),
                Err(_) => self.ending()(),
            }
            Ok(())
        })
    }
}

impl Postgres {
    /// What ends everything, in order. A second time there is nothing left to end.
    fn ending(&self) -> impl FnOnce() + Send + use<> {
        let Self { state, target, committers, wake, readers, beats, .. } = self;
        let (state, target, committers) = (state.clone(), target.clone(), committers.clone());
        let (wake, readers, beats) = (wake.clone(), readers.clone(), beats.clone());
        move || {
            state.closing.begin();
            state.queue.close();
            let mut committers = committers.lock().unwrap_or_else(PoisonError::into_inner);
            // What waits is still written, if that is possible soon. After that nobody waits for the database any more.
            while !state.closing.is_over() && !committers.iter().all(JoinHandle::is_finished) {
                std::thread::sleep(LOOK);
            }
            target.end();
            beats.close();
            readers.close();
            let wake = wake.lock().unwrap_or_else(PoisonError::into_inner).take();
            for thread in committers.drain(..).chain(wake) {
                drop(thread.join());
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.ending()();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stepwell_core::machine::Command;
    use stepwell_postgres_rig::Database;

    use super::*;
    use crate::{options::PostgresOptions, sql::sql};

    #[tokio::test]
    async fn after_a_panic_everybody_is_told_and_nobody_waits() {
        let database = Database::create().unwrap();
        let mut options = PostgresOptions::new(database.url(), [7; 16]);
        options.committers = 1;
        let store = Postgres::open(&options).unwrap();
        let calls = async {
            let panics = store.write(|_| -> Result<()> { panic!("as a test wants it") }).await;
            assert!(panics.unwrap_err().is_fatal());
            assert!(store.write(|_| Ok(())).await.unwrap_err().is_fatal());
        };
        tokio::time::timeout(Duration::from_secs(20), calls).await.unwrap();
    }

    fn new_job(n: u8) -> NewJob {
        NewJob::new(JobId::from_bytes([n; 16]), "k", Json::of(&n).unwrap())
    }
    /// Whether it can be written and read as ever.
    async fn check(store: &Postgres, n: u8) {
        let jobs = store.enqueue(vec![new_job(n), new_job(n + 100)]).await.unwrap();
        assert!(jobs.iter().all(Result::is_ok), "{jobs:?}");
        let id = JobId::from_bytes([n; 16]);
        let cancel = Command::Cancel { grace: Duration::ZERO };
        let request = Request { job: id, fence: Fence::None, commands: vec![cancel] };
        assert!(store.apply(request).await.unwrap().changed);
        assert_eq!(store.payload(id).await.unwrap(), Some(Json::of(&n).unwrap()));
        assert_eq!(store.plan("k".into()).await.unwrap(), None);
        assert_eq!(
            store.events(0, 100, EventFilter::default()).await.unwrap().events.len(),
            3 * usize::from(n)
        );
    }
    /// The servers' ends of both connections.
    async fn processes(store: &Postgres) -> [i32; 2] {
        let process = |row: Option<tokio_postgres::Row>| row.unwrap().get(0);
        let written =
            store.write(move |ledger| ledger.query_opt("look", sql!("meta", "process"), &[]).map(process));
        let read =
            store.read(move |reader| reader.query_opt("look", sql!("meta", "process"), &[]).map(process));
        [written.await.unwrap(), read.await.unwrap()]
    }
    async fn on_each_connection(store: &Postgres, text: &'static str) {
        store.write(move |ledger| ledger.run(text)).await.unwrap();
        store.read(move |reader| reader.run(text)).await.unwrap();
    }
    fn open_one(url: String) -> Postgres {
        let mut options = PostgresOptions::new(url, [7; 16]);
        (options.committers, options.readers) = (1, 1);
        Postgres::open(&options).unwrap()
    }

    #[tokio::test]
    async fn a_statement_that_somebody_has_taken_away_is_prepared_anew() {
        let database = Database::create().unwrap();
        let store = open_one(database.url());
        check(&store, 1).await;
        on_each_connection(&store, "DEALLOCATE ALL").await;
        check(&store, 2).await;
        assert!(store.target.is_pooled(), "who else could have done it");
        check(&store, 3).await;
    }

    #[tokio::test]
    async fn a_name_that_somebody_has_given_is_not_insisted_on() {
        const TAKE: &str = "DO $$ BEGIN FOR n IN 0..20000 LOOP EXECUTE format('PREPARE s%s AS SELECT 1', n); \
            END LOOP; END $$";
        let database = Database::create().unwrap();
        let store = open_one(database.url());
        // What is prepared already would be in its way.
        on_each_connection(&store, "DEALLOCATE ALL").await;
        on_each_connection(&store, TAKE).await;
        check(&store, 1).await;
    }

    #[tokio::test]
    async fn a_pooler_that_was_not_seen_shows() {
        let database = Database::create().unwrap();
        let store = Postgres::open(&PostgresOptions::new(database.bouncer_url().unwrap(), [7; 16])).unwrap();
        assert!(store.target.is_pooled());
        store.target.set_pooled(false);
        for n in 1..20 {
            check(&store, n).await;
            // The pooler takes other connections, and ours know nothing of it. It may be one that keeps statements.
            let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
            database.query(terminate).unwrap();
        }
    }

    #[tokio::test]
    async fn a_table_may_change_under_a_node() {
        let database = Database::create().unwrap();
        let store = open_one(database.url());
        check(&store, 1).await;
        check(&store, 2).await;
        // As a migration of a newer release may.
        database.query("ALTER TABLE stepwell.plan ALTER COLUMN hash TYPE varchar").unwrap();
        let before = processes(&store).await;
        check(&store, 3).await;
        let after = processes(&store).await;
        assert!(before[0] != after[0] && before[1] != after[1], "both had to connect again");
        assert!(!store.target.is_pooled());
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_on_the_disk_whatever_the_server_has() {
        let database = Database::create().unwrap();
        for (server, here) in [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")] {
            let set = format!("ALTER DATABASE {} SET synchronous_commit = {server}", database.name());
            database.query(&set).unwrap();
            let store = Postgres::open(&PostgresOptions::new(database.url(), [7; 16])).unwrap();
            let look = |ledger: &mut Ledger| {
                let row = ledger.query_opt("look", sql!("meta", "synchronous"), &[])?;
                row.map(|row| crate::ledger::get::<String>(&row, 0, "look")).transpose()
            };
            assert_eq!(store.write(look).await.unwrap().as_deref(), Some(here));
            assert_eq!(store.describe().durability, format!("synchronous_commit={here}"));
        }
    }
}
