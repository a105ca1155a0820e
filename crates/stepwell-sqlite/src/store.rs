//! The store itself: what goes to the writer, and what to the readers.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering, mpsc::Sender},
    thread::JoinHandle,
};

use stepwell_core::{
    Clock, Event, Job, JobId, Json, Name, PlanSpec, Result, SessionId,
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
    batch::{Op, Task},
    error,
    gathered::Waiting,
    health::{self, Beats},
    inbox::{Alone, Message},
    ledger::{Ledger, closed},
    live::Live,
    maintain::{self, STEP_MAX},
    read::{Reader, Readers},
    session::Sessions,
    wake::Watch,
    writer::{Shared, Writer},
};

/// A store on an SQLite file.
pub struct Sqlite {
    pen: Pen,
    waiting: Arc<Waiting>,
    readers: Readers,
    shared: Arc<Shared>,
    sessions: Arc<Sessions>,
    live: Arc<Live>,
    clock: Clock,
    description: Description,
}

/// Where writing is done.
pub(crate) enum Pen {
    /// On a thread of its own.
    Threaded { sender: Sender<Message>, threads: Mutex<Option<Threads>> },
    /// On the caller's thread.
    Inline(Mutex<Option<Box<Writer>>>),
}

/// The threads behind the pen, in the order in which they end.
pub(crate) struct Threads {
    watch: Watch,
    writer: JoinHandle<()>,
}

impl Pen {
    pub(crate) fn threaded(sender: Sender<Message>, writer: JoinHandle<()>, watch: Watch) -> Self {
        Self::Threaded { sender, threads: Mutex::new(Some(Threads { watch, writer })) }
    }
    fn take_threads(&self) -> Option<Threads> {
        match self {
            Self::Threaded { threads, .. } => threads.lock().unwrap_or_else(PoisonError::into_inner).take(),
            Self::Inline(_) => None,
        }
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("location", &self.description.location).finish_non_exhaustive()
    }
}

impl Sqlite {
    pub(crate) fn new(
        pen: Pen,
        readers: Readers,
        shared: Arc<Shared>,
        sessions: Arc<Sessions>,
        live: Arc<Live>,
        clock: Clock,
        description: Description,
    ) -> Self {
        Self { pen, waiting: Arc::default(), readers, shared, sessions, live, clock, description }
    }

    /// Transactions that were committed since the store was opened, for measurements: many operations share one.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }

    /// Hands work to the writer.
    fn write<T, F>(&self, mut work: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    {
        self.send(move |ledger| {
            ledger.write_through()?;
            work(ledger)
        })
    }

    /// The same for work whose writes may wait until the end of the batch.
    fn write_with_others<T, F>(&self, mut work: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    {
        self.send(move |ledger| {
            ledger.gather();
            work(ledger)
        })
    }

    fn send<T, F>(&self, work: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    {
        self.hand_over(Task::with_answer(work))
    }

    /// The same for work that must not be done if nobody waits for it any more.
    fn send_if_wanted<T, F>(&self, mut work: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnMut(&mut Ledger) -> Result<T> + Send + 'static,
    {
        self.hand_over(Task::if_wanted(move |ledger: &mut Ledger| {
            ledger.gather();
            work(ledger)
        }))
    }

    fn hand_over<T: Send + 'static>(
        &self,
        (op, answer): (Box<dyn Op>, oneshot::Receiver<Result<T>>),
    ) -> impl Future<Output = Result<T>> + Send + use<T> {
        match &self.pen {
            // If the writer is gone, so is the answer's other end.
            Pen::Threaded { sender, .. } => drop(sender.send(Message::Op(op))),
            Pen::Inline(writer) => {
                if let Some(writer) = &mut *writer.lock().unwrap_or_else(PoisonError::into_inner) {
                    writer.batch(op, &mut Alone);
                }
            }
        }
        wait(answer)
    }

    /// Asks a reader.
    fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reader) -> Result<T> + Send + 'static,
    ) -> Answer<'_, T> {
        let shared = &self.shared;
        let answer = self.readers.ask(question);
        Box::pin(async move {
            match wait(answer).await {
                Err(failure) if failure.is_fatal() => {
                    shared.give_up(&failure);
                    Err(failure)
                }
                // What a damaged file says is not passed on.
                answer => shared.fatal().map_or(answer, Err),
            }
        })
    }

    async fn maintain_in_steps(&self, request: Maintain) -> Result<Maintained> {
        let taken_in = self.write(maintain::take_in).await?;
        let (sessions, asking) = (self.sessions.clone(), request.session);
        let turns = self.shared.turns.load(Ordering::Relaxed);
        let dead = self.write(move |ledger| maintain::find_dead(ledger, &sessions, asking, turns)).await?;
        let mut done = Maintained { taken_in, more: taken_in >= STEP_MAX, ..Maintained::default() };
        for known in dead {
            // The session is told only now that its death is durable; until then it could change nothing wrongly.
            self.live.bury(known.id, known.slot)?;
            let (id, jitter) = (known.id, request.jitter);
            let (jobs, gone) = self.write(move |ledger| maintain::reap(ledger, &known, jitter)).await?;
            done.reaped += jobs;
            done.more |= jobs >= STEP_MAX;
            if gone {
                self.sessions.release(id);
            }
        }
        let (expired, forced) = self.write(maintain::close_late).await?;
        done.closed = expired + forced;
        done.more |= expired >= STEP_MAX || forced >= STEP_MAX;
        Ok(done)
    }

    async fn close_session_in_steps(&self, session: SessionId) -> Result<()> {
        self.write(move |ledger| {
            ledger.step(|ledger| {
                // What it still owns is reaped by the next pass of maintenance.
                if !ledger.remove_session(session)? {
                    ledger.bury(session)?;
                }
                Ok(())
            })
        })
        .await?;
        self.live.leave(session);
        self.sessions.release(session);
        Ok(())
    }
}

async fn wait<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    answer.await.map_err(closed)?
}

impl Store for Sqlite {
    fn describe(&self) -> Description {
        self.description.clone()
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn listen(&self, listener: Listener) {
        self.shared.listen(listener);
    }
    fn head(&self) -> u64 {
        self.shared.head.load(Ordering::SeqCst)
    }

    fn enqueue(&self, jobs: Vec<NewJob>) -> Answer<'_, Vec<Result<Enqueued>>> {
        Box::pin(self.write_with_others(move |ledger| {
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
        let Pen::Threaded { sender, .. } = &self.pen else {
            let apply = move |ledger: &mut Ledger| {
                ledger.step(|ledger| operations::apply(ledger, &request, ledger.now))
            };
            return Box::pin(self.write_with_others(apply));
        };
        let (op, answer) = self.waiting.add(request);
        if let Some(op) = op {
            // If the writer is gone, the operation tells everybody when it is dropped.
            drop(sender.send(Message::Op(op)));
        }
        Box::pin(wait(answer))
    }
    fn claim(&self, request: ClaimRequest) -> Answer<'_, ClaimedBatch> {
        // Jobs that are claimed for somebody who has gone would wait until his lease runs out.
        Box::pin(self.send_if_wanted(move |ledger| {
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
            ledger.step(|ledger| operations::change_queue(ledger, &queue, &change, ledger.now))
        }))
    }
    fn maintain(&self, request: Maintain) -> Answer<'_, Maintained> {
        Box::pin(self.maintain_in_steps(request))
    }
    fn prune(&self, retention: Retention) -> Answer<'_, Pruned> {
        Box::pin(self.write(move |ledger| {
            maintain::prune_inbox(ledger)?;
            ledger.step(|ledger| operations::prune(ledger, &retention, ledger.now, STEP_MAX))
        }))
    }

    fn put_settings(&self, puts: Vec<PutSetting>) -> Answer<'_, Vec<u64>> {
        Box::pin(
            self.write(move |ledger| {
                ledger.step(|ledger| operations::put_settings(ledger, &puts, ledger.now))
            }),
        )
    }
    fn fan_out(&self, request: FanOut) -> Answer<'_, ()> {
        Box::pin(
            self.write(move |ledger| ledger.step(|ledger| operations::fan_out(ledger, &request, ledger.now))),
        )
    }

    fn open_session(&self, session: Session) -> Answer<'_, ()> {
        Box::pin(async move {
            let id = session.id;
            self.sessions.hold(id)?;
            let opened = self.write(move |ledger| ledger.step(|ledger| ledger.open_session(&session))).await;
            if opened.is_err() {
                self.live.leave(id);
                self.sessions.release(id);
            }
            opened
        })
    }
    fn beat(&self, session: SessionId) -> Result<Beat> {
        match self.shared.fatal() {
            Some(fatal) => Err(fatal),
            None => self.live.beat(session),
        }
    }
    fn tell(&self, session: SessionId, state: SessionState) -> Answer<'_, ()> {
        Box::pin(self.write(move |ledger| ledger.step(|ledger| ledger.tell(session, state))))
    }
    fn want(&self, session: SessionId, desired: Desired) -> Answer<'_, Desired> {
        Box::pin(self.write(move |ledger| ledger.step(|ledger| ledger.want(session, desired))))
    }
    fn close_session(&self, session: SessionId) -> Answer<'_, ()> {
        Box::pin(self.close_session_in_steps(session))
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
        let (sessions, live, now) = (self.sessions.clone(), self.live.clone(), self.clock.now());
        self.read(move |reader| {
            let mut nodes = reader.nodes()?;
            nodes.iter_mut().for_each(|(node, slot)| sessions.look_at(node, *slot, &live, now));
            Ok(nodes.into_iter().map(|(node, _)| node).collect())
        })
    }
    fn health(&self) -> Answer<'_, Health> {
        let (live, clock, sessions) = (self.live.clone(), self.clock.clone(), self.sessions.clone());
        self.read(move |reader| {
            let beats = Beats { live: &live, clock: &clock, ttl: sessions.ttl };
            health::of(&reader.conn, &sessions.database, &beats)
        })
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
            self.live.close();
            self.shared.closing.begin();
            self.readers.close();
            let closed = match &self.pen {
                Pen::Threaded { sender, .. } => {
                    let (reply, answer) = oneshot::channel();
                    // A second close finds nobody there, which is no error.
                    drop(sender.send(Message::Close(reply)));
                    answer.await.unwrap_or(Ok(()))
                }
                Pen::Inline(writer) => {
                    let writer = writer.lock().unwrap_or_else(PoisonError::into_inner).take();
                    writer.map_or(Ok(()), |mut writer| writer.close())
                }
            };
            if let Some(Threads { watch, writer }) = self.pen.take_threads() {
                drop(watch);
                drop(writer.join());
            }
            self.sessions.release_all();
            closed
        })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.shared.closing.begin();
        self.readers.close();
        if let Some(Threads { watch, writer }) = self.pen.take_threads() {
            drop(watch);
            if let Pen::Threaded { sender, .. } = &self.pen {
                let (reply, _) = oneshot::channel();
                drop(sender.send(Message::Close(reply)));
            }
            drop(writer.join());
        }
    }
}
