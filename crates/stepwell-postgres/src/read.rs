//! The readers: a small pool of connections that only read.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use stepwell_core::{
    Error, Job, JobId, JobState, Json, Name, PlanSpec, Result, SessionId, Timestamp,
    explain::Facts,
    job::PlanRef,
    lease::Fence,
    limits,
    machine::LogLine,
    queue::Queue,
    session::{Desired, Node, Session},
    setting::{Setting, Settings, SettingsRequest},
    store::{Count, Element, inbox::InboxOutcome},
    time::Stopwatch,
};
use tokio::sync::oneshot;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    connection::{Conn, Param},
    damaged::Damaged,
    dictionary::Dictionary,
    error::{self, Failure, Kind},
    ledger::get,
    session,
    sql::sql,
    tables::{
        plan,
        row::{self, Held, name_of},
        setting,
    },
};

type Question = Box<dyn FnOnce(&mut Reader) + Send>;

/// Whatever is set holds for one question, so that a pooler may hand the connection on.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '25s'; \
    SET LOCAL idle_in_transaction_session_timeout = '30s'; SET LOCAL jit = off";
/// The pause between two tries to reach the database.
const PAUSE: Duration = Duration::from_millis(100);

const READ_JOB: &str = "read a job";
const READ_BESIDE: &str = "read what belongs to a job";

/// A reading connection.
pub(crate) struct Reader {
    conn: Conn,
    pub(crate) dictionary: Dictionary,
    pub(crate) damaged: Damaged,
    /// Whether the connection was lost under the question.
    lost: bool,
}

/// The pool.
pub(crate) struct Readers {
    questions: Mutex<Option<Sender<Question>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    busy_deadline: Duration,
}

impl Readers {
    /// Readers on threads of their own.
    pub(crate) fn spawn(connections: Vec<Conn>, busy_deadline: Duration) -> Result<Self> {
        let (sender, questions) = channel::<Question>();
        let questions = Arc::new(Mutex::new(questions));
        let mut threads = Vec::new();
        for conn in connections {
            let questions = questions.clone();
            let thread = std::thread::Builder::new().name("stepwell-reader".into());
            let thread = thread.spawn(move || Reader::new(conn).serve(&questions));
            threads.push(thread.map_err(|error| Error::storage("start a reader", error))?);
        }
        Ok(Self { questions: Mutex::new(Some(sender)), threads: Mutex::new(threads), busy_deadline })
    }

    /// Asks one of them. It may ask the database more than once, if the connection is lost in between.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Reader) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (reply, answer) = oneshot::channel();
        let (since, deadline) = (Stopwatch::start(), self.busy_deadline);
        let question = move |reader: &mut Reader| {
            // Nobody may be waiting any more, which changes nothing.
            drop(reply.send(reader.answer(question, since, deadline)));
        };
        if let Some(sender) = &*self.questions.lock().unwrap_or_else(PoisonError::into_inner) {
            drop(sender.send(Box::new(question)));
        }
        answer
    }

    /// Ends them all.
    pub(crate) fn close(&self) {
        drop(self.questions.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(thread.join());
        }
    }
}

impl Reader {
    fn new(conn: Conn) -> Self {
        Self { conn, dictionary: Dictionary::default(), damaged: Damaged::default(), lost: false }
    }
    fn serve(mut self, questions: &Mutex<Receiver<Question>>) {
        loop {
            let question = questions.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match question {
                Ok(question) => question(&mut self),
                Err(_) => return,
            }
        }
    }
    fn answer<T>(
        &mut self,
        question: impl Fn(&mut Self) -> Result<T>,
        since: Stopwatch,
        deadline: Duration,
    ) -> Result<T> {
        loop {
            self.lost = false;
            let answer = self.snapshot(&question);
            if self.conn.target().has_ended() {
                return Err(Error::closed());
            }
            if !self.lost || answer.as_ref().err().is_some_and(Error::is_refused) {
                return answer;
            }
            if since.elapsed() >= deadline {
                let why = answer.err().map_or_else(String::new, |failure| failure.to_string());
                return Err(Error::busy(format!("the database cannot be reached ({why})"), since.elapsed()));
            }
            std::thread::sleep(PAUSE);
        }
    }
    /// Answers out of one consistent state of the database.
    fn snapshot<T>(&mut self, question: impl Fn(&mut Self) -> Result<T>) -> Result<T> {
        let connected = self.conn.connect();
        if connected.map_err(|failure| self.failed("connect to the database", failure))? {
            self.dictionary.clear();
        }
        self.run(BEGIN)?;
        let answer = question(self);
        match self.lost {
            true => answer,
            false => self.run("COMMIT").and(answer),
        }
    }
    pub(crate) fn run(&mut self, text: &str) -> Result<()> {
        self.conn.run(text).map_err(|failure| self.failed("begin to read", failure))
    }
    fn failed(&mut self, doing: &str, failure: Failure) -> Error {
        self.lost |= failure.kind() == Kind::Lost || !self.conn.is_connected();
        error::from(doing, failure)
    }

    pub(crate) fn query(
        &mut self,
        doing: &str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>> {
        self.conn.query(statement, params).map_err(|failure| self.failed(doing, failure))
    }
    pub(crate) fn query_opt(
        &mut self,
        doing: &str,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>> {
        self.query(doing, statement, params).map(|rows| rows.into_iter().next())
    }
    fn number(&mut self, name: &Name) -> Result<Option<i32>> {
        let Self { dictionary, conn, .. } = self;
        dictionary.find(conn, name).map_err(|failure| self.failed("look up a name", failure))
    }
    /// The number of a name, or one that no name has.
    pub(crate) fn known(&mut self, name: &Name) -> Result<i32> {
        Ok(self.number(name)?.unwrap_or(-1))
    }
    pub(crate) fn learn(&mut self, ids: Vec<i32>) -> Result<()> {
        let Self { dictionary, conn, .. } = self;
        dictionary.learn(conn, ids.into_iter()).map_err(|failure| self.failed("look up names", failure))
    }

    /// Decodes rows of jobs, and leaves out those that cannot be decoded.
    pub(crate) fn decode(&mut self, doing: &str, rows: &[Row]) -> Result<Vec<Job>> {
        let Self { dictionary, conn, .. } = self;
        let decoded =
            row::decode_all(conn, dictionary, rows).map_err(|failure| self.failed(doing, failure))?;
        let mut found = Vec::with_capacity(decoded.len());
        for held in decoded {
            match held {
                Ok(held) => {
                    self.damaged.is_whole(held.row.key);
                    found.push(held.row.job);
                }
                Err(damage) => self.damaged.set_aside(&damage),
            }
        }
        Ok(found)
    }

    fn stored(&mut self, id: JobId) -> Result<Option<Held>> {
        let rows = self.query(READ_JOB, sql!("job", "by_uuid"), &[&Uuid::from(id)])?;
        let Self { dictionary, conn, .. } = self;
        let decoded =
            row::decode_all(conn, dictionary, &rows).map_err(|failure| self.failed(READ_JOB, failure))?;
        decoded.into_iter().next().transpose().map_err(|damage| damage.error())
    }
    pub(crate) fn job(&mut self, id: JobId) -> Result<Option<Job>> {
        Ok(self.stored(id)?.map(|held| held.row.job))
    }
    fn text(&mut self, statement: &'static str, params: &[Param<'_>]) -> Result<Option<Json>> {
        let Some(row) = self.query_opt(READ_BESIDE, statement, params)? else { return Ok(None) };
        Json::from_text(get::<String>(&row, 0, READ_BESIDE)?).map(Some)
    }
    pub(crate) fn payload(&mut self, id: JobId) -> Result<Option<Json>> {
        match self.stored(id)? {
            Some(held) => self.text(sql!("beside", "payload"), &[&held.row.key]),
            None => Ok(None),
        }
    }
    pub(crate) fn result(&mut self, id: JobId, phase: &Name) -> Result<Option<Json>> {
        let Some(Held { row, .. }) = self.stored(id)? else { return Ok(None) };
        let recorded = row.job.phases.into_iter().find(|candidate| candidate.stored_name() == phase);
        match recorded.and_then(|phase| phase.result) {
            Some(recorded) if recorded.inline.is_some() => Ok(recorded.inline),
            Some(_) => self.beside(sql!("beside", "result"), row.key, phase),
            None => Ok(None),
        }
    }
    pub(crate) fn checkpoint(&mut self, id: JobId, phase: &Name) -> Result<Option<Json>> {
        match self.stored(id)? {
            Some(held) => self.beside(sql!("beside", "checkpoint"), held.row.key, phase),
            None => Ok(None),
        }
    }
    fn beside(&mut self, statement: &'static str, key: i64, phase: &Name) -> Result<Option<Json>> {
        match self.number(phase)? {
            Some(phase) => self.text(statement, &[&key, &phase]),
            None => Ok(None),
        }
    }
    pub(crate) fn elements(&mut self, id: JobId, phase: &Name) -> Result<Vec<Element>> {
        const READ: &str = "read the elements of a phase";
        let Some(held) = self.stored(id)? else { return Ok(Vec::new()) };
        let Some(phase) = self.number(phase)? else { return Ok(Vec::new()) };
        let rows = self.query(READ, sql!("beside", "elements"), &[&held.row.key, &phase])?;
        let element = |row: &Row| {
            let index = get::<i32>(row, 0, READ)?.cast_unsigned();
            let result = Json::from_text(get::<String>(row, 2, READ)?)?;
            Ok(Element { index, input_hash: get(row, 1, READ)?, result })
        };
        rows.iter().map(element).collect()
    }
    pub(crate) fn log(&mut self, id: JobId) -> Result<Vec<LogLine>> {
        const READ: &str = "read a job's log";
        let Some(held) = self.stored(id)? else { return Ok(Vec::new()) };
        let rows = self.query(READ, sql!("beside", "log"), &[&held.row.key])?;
        let line = |row: &Row| {
            let at = Timestamp::from_micros(get(row, 0, READ)?);
            let phase = get::<Option<&str>>(row, 1, READ)?.map(Name::from);
            Ok(LogLine { at, phase, text: get(row, 2, READ)? })
        };
        rows.iter().map(line).collect()
    }

    pub(crate) fn counts(&mut self) -> Result<Vec<Count>> {
        const READ: &str = "count jobs";
        let rows = self.query(READ, sql!("meta", "counts"), &[])?;
        let ids =
            rows.iter().flat_map(|row| [0, 1].into_iter().filter_map(|column| row.try_get(column).ok()));
        self.learn(ids.collect())?;
        let count = |row: &Row| {
            let state =
                row::state_of(get(row, 2, READ)?).ok_or_else(|| Error::refused("there is no such state"))?;
            Ok(Count {
                queue: name_of(&self.dictionary, get(row, 0, READ)?)?,
                kind: name_of(&self.dictionary, get(row, 1, READ)?)?,
                state,
                n: u64::try_from(get::<i64>(row, 3, READ)?).unwrap_or(0),
            })
        };
        let mut counts = rows.iter().map(count).collect::<Result<Vec<Count>>>()?;
        counts.sort();
        Ok(counts)
    }
    pub(crate) fn queues(&mut self) -> Result<Vec<Queue>> {
        const READ: &str = "read the queues";
        let queue = |row: &Row| plan::queue(row, get::<&str>(row, 3, READ)?.into());
        self.query(READ, sql!("plan", "queues"), &[])?.iter().map(queue).collect()
    }
    pub(crate) fn sessions(&mut self) -> Result<Vec<Session>> {
        session::decode_all(&self.query(session::READ, sql!("session", "live"), &[])?)
    }
    pub(crate) fn wanted(&mut self) -> Result<Vec<(SessionId, Desired)>> {
        session::decode_wanted(&self.query(session::READ, sql!("session", "wanted"), &[])?)
    }
    pub(crate) fn nodes(&mut self, now: Timestamp) -> Result<Vec<Node>> {
        session::decode_nodes(&self.query(session::READ, sql!("session", "nodes"), &[&now.as_micros()])?)
    }
    pub(crate) fn facts(&mut self, job: &Job, now: Timestamp) -> Result<Facts> {
        const COUNT: &str = "count jobs";
        let sessions = self.sessions()?;
        let Some(number) = self.number(&job.queue)? else {
            return Ok(Facts { sessions, ..Facts::default() });
        };
        let queue = self.query_opt("read a queue", sql!("plan", "queue"), &[&number])?;
        let queue = queue.map(|row| plan::queue(&row, job.queue.clone())).transpose()?;
        let running = self.query_opt(COUNT, sql!("meta", "running_in_queue"), &[&number])?;
        let running = running.map_or(Ok(0), |row| get::<i64>(&row, 0, COUNT))?;
        let running_in_queue = u64::try_from(running).unwrap_or(0);
        let ahead = self.ahead_of(job.id, now)?;
        Ok(Facts { queue, sessions, running_in_queue, ahead })
    }
    /// How many due jobs of its queue come before a pending one.
    fn ahead_of(&mut self, id: JobId, now: Timestamp) -> Result<u64> {
        const COUNT: &str = "count the jobs ahead";
        let Some(place) = self.query_opt(COUNT, sql!("claim", "place"), &[&Uuid::from(id)])? else {
            return Ok(0);
        };
        let (key, queue): (i64, i32) = (get(&place, 0, COUNT)?, get(&place, 1, COUNT)?);
        let (priority, at): (i16, i64) = (get(&place, 2, COUNT)?, get(&place, 3, COUNT)?);
        let now = now.as_micros();
        let limit = i64::try_from(limits::LIST_SCAN_MAX).unwrap_or(i64::MAX);
        let unstaged = sql!("claim", "ahead_unstaged");
        let counted = self.query_opt(COUNT, unstaged, &[&queue, &priority, &at, &key, &now, &limit])?;
        let mut ahead: i64 = counted.map_or(Ok(0), |row| get(&row, 0, COUNT))?;
        let kinds = self.query(COUNT, sql!("meta", "waiting_kinds"), &[&queue])?;
        let kinds = kinds.iter().map(|row| get(row, 0, COUNT)).collect::<Result<Vec<i32>>>()?;
        let left = limit - ahead;
        let params: [Param<'_>; 7] = [&queue, &kinds, &priority, &at, &key, &now, &left];
        let counted = self.query_opt(COUNT, sql!("claim", "ahead"), &params)?;
        ahead += counted.map_or(Ok(0), |row| get::<i64>(&row, 0, COUNT))?;
        Ok(u64::try_from(ahead).unwrap_or(0))
    }
    pub(crate) fn owned(&mut self, session: SessionId) -> Result<Vec<(JobId, Fence, bool)>> {
        const FIND: &str = "find the jobs of a session";
        let rows = self.query(FIND, sql!("claim", "owned"), &[&Uuid::from(session), &i64::MAX])?;
        let owned =
            |job: Job| job.owner_fence().map(|fence| (job.id, fence, job.state == JobState::Cancelling));
        Ok(self.decode(FIND, &rows)?.into_iter().filter_map(owned).collect())
    }
    pub(crate) fn inbox_outcome(&mut self, id: JobId) -> Result<Option<InboxOutcome>> {
        const LOOK: &str = "look up an inbox row";
        let Some(row) = self.query_opt(LOOK, sql!("inbox", "outcome"), &[&id.to_string()])? else {
            return Ok(None);
        };
        match get::<Option<Uuid>>(&row, 0, LOOK)? {
            Some(job) => Ok(Some(InboxOutcome::Job(JobId::from(job)))),
            None => Ok(Some(InboxOutcome::Refused(get(&row, 1, LOOK)?))),
        }
    }
    pub(crate) fn setting(&mut self, scope: &Name, key: &str) -> Result<Option<Setting>> {
        let row = self.query_opt("read a setting", sql!("setting", "by_key"), &[&&**scope, &key])?;
        row.map(|row| setting::setting(&row)).transpose()
    }
    pub(crate) fn settings(&mut self, request: &SettingsRequest) -> Result<Settings> {
        const READ: &str = "read settings";
        let SettingsRequest { scope, prefix, after, descending, .. } = request;
        let limit = i64::try_from(request.limit()).unwrap_or(i64::MAX);
        let statement =
            if *descending { sql!("setting", "descending") } else { sql!("setting", "ascending") };
        let revision = self.query_opt(READ, sql!("setting", "revision"), &[&&**scope])?;
        let revision = revision.map_or(Ok(0), |row| get::<i64>(&row, 0, READ))?.cast_unsigned();
        let rows = self.query(READ, statement, &[&&**scope, prefix, after, &limit])?;
        Ok(Settings { items: rows.iter().map(setting::setting).collect::<Result<_>>()?, revision })
    }
    pub(crate) fn cursor(&mut self, name: &Name) -> Result<Option<u64>> {
        const READ: &str = "read a cursor of the log";
        let row = self.query_opt(READ, sql!("setting", "cursor"), &[&&**name])?;
        Ok(row.map(|row| get::<i64>(&row, 0, READ)).transpose()?.map(i64::cast_unsigned))
    }
    pub(crate) fn plan(&mut self, kind: &Name) -> Result<Option<(PlanSpec, PlanRef)>> {
        const READ: &str = "read a plan";
        let Some(number) = self.number(kind)? else { return Ok(None) };
        let Some(row) = self.query_opt(READ, sql!("plan", "newest"), &[&vec![number]])? else {
            return Ok(None);
        };
        let hash: Name = get::<&str>(&row, 1, READ)?.into();
        let generation = get::<i64>(&row, 2, READ)?.cast_unsigned();
        let Some(row) = self.query_opt(READ, sql!("plan", "spec"), &[&number, &&*hash])? else {
            return Ok(None);
        };
        let spec = serde_json::from_str(get(&row, 0, READ)?).map_err(Error::decode)?;
        Ok(Some((spec, PlanRef { hash, generation })))
    }
}
