//! The readers: a small pool of connections that cannot write.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, OptionalExtension, params};
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
};
use tokio::sync::oneshot;

use crate::{
    damaged::{self, Damaged},
    dictionary::Dictionary,
    error, session,
    sql::sql,
    tables::{
        plan,
        row::{self, Stored},
        setting,
    },
};

/// Readers of one store.
pub(crate) const READERS: usize = 2;

type Question = Box<dyn FnOnce(&mut Reader) + Send>;

/// A reading connection.
pub(crate) struct Reader {
    pub(crate) conn: Connection,
    pub(crate) dictionary: Dictionary,
    pub(crate) damaged: Damaged,
}

/// The pool.
pub(crate) struct Readers {
    questions: Mutex<Option<Sender<Question>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The one reader of a store that runs on its caller's thread.
    inline: Option<Mutex<Option<Reader>>>,
}

impl Readers {
    /// Readers on threads of their own.
    pub(crate) fn spawn(connections: Vec<Connection>) -> Result<Self> {
        let (sender, questions) = channel::<Question>();
        let questions = Arc::new(Mutex::new(questions));
        let mut threads = Vec::new();
        for conn in connections {
            let questions = questions.clone();
            let thread = std::thread::Builder::new().name("stepwell-reader".into());
            let thread = thread.spawn(move || Reader::new(conn).serve(&questions));
            threads.push(thread.map_err(|error| Error::storage("start a reader", error))?);
        }
        Ok(Self { questions: Mutex::new(Some(sender)), threads: Mutex::new(threads), inline: None })
    }
    /// One reader on whatever thread asks.
    pub(crate) fn inline(conn: Connection) -> Self {
        Self {
            questions: Mutex::new(None),
            threads: Mutex::default(),
            inline: Some(Mutex::new(Some(Reader::new(conn)))),
        }
    }

    /// Asks one of them.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Reader) -> Result<T> + Send + 'static,
    ) -> oneshot::Receiver<Result<T>> {
        let (reply, answer) = oneshot::channel();
        let question = move |reader: &mut Reader| {
            // Nobody may be waiting any more, which changes nothing.
            drop(reply.send(reader.snapshot(question)));
        };
        if let Some(reader) = &self.inline {
            if let Some(reader) = &mut *reader.lock().unwrap_or_else(PoisonError::into_inner) {
                question(reader);
            }
        } else if let Some(sender) = &*self.questions.lock().unwrap_or_else(PoisonError::into_inner) {
            drop(sender.send(Box::new(question)));
        }
        answer
    }

    /// Ends them all.
    pub(crate) fn close(&self) {
        drop(self.questions.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(reader) = &self.inline {
            drop(reader.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(thread.join());
        }
    }
}

impl Reader {
    pub(crate) fn new(conn: Connection) -> Self {
        Self { conn, dictionary: Dictionary::default(), damaged: Damaged::default() }
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
    /// Answers out of one consistent state of the file.
    fn snapshot<T>(&mut self, question: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let run = |conn: &Connection, statement| conn.prepare_cached(statement)?.execute([]);
        run(&self.conn, "BEGIN").map_err(error::of("begin to read"))?;
        let answer = question(self);
        run(&self.conn, "COMMIT").map_err(error::of("end reading"))?;
        answer
    }

    /// Reads rows of jobs, and leaves out those that cannot be decoded.
    pub(crate) fn rows(
        &mut self,
        doing: &'static str,
        statement: &'static str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<Stored>> {
        let Self { conn, dictionary, damaged } = self;
        damaged::decode((conn, dictionary), doing, statement, params, |row, failure| {
            damaged.set_aside(row, failure).map_err(error::of(doing))
        })
    }

    fn stored(&mut self, id: JobId) -> Result<Option<Stored>> {
        let Self { conn, dictionary, .. } = self;
        let (statement, params) = (sql!("job", "by_uuid"), params![&id.as_bytes()[..]]);
        let mut found =
            damaged::decode((conn, dictionary), "read a job", statement, params, |row, failure| {
                Err(damaged::about(row, failure))
            })?;
        Ok(found.pop())
    }
    pub(crate) fn job(&mut self, id: JobId) -> Result<Option<Job>> {
        Ok(self.stored(id)?.map(|stored| stored.row.job))
    }
    fn text(&self, statement: &'static str, params: impl rusqlite::Params) -> Result<Option<Json>> {
        let read = || self.conn.prepare_cached(statement)?.query_row(params, |row| row.get(0)).optional();
        let text: Option<String> = read().map_err(error::of("read what belongs to a job"))?;
        text.map(Json::from_text).transpose()
    }
    pub(crate) fn payload(&mut self, id: JobId) -> Result<Option<Json>> {
        match self.stored(id)? {
            Some(stored) => self.text(sql!("beside", "payload"), [stored.row.key]),
            None => Ok(None),
        }
    }
    pub(crate) fn result(&mut self, id: JobId, phase: &Name) -> Result<Option<Json>> {
        let Some(Stored { row, .. }) = self.stored(id)? else { return Ok(None) };
        let recorded = row.job.phases.into_iter().find(|candidate| candidate.stored_name() == phase);
        match recorded.and_then(|phase| phase.result) {
            Some(recorded) if recorded.inline.is_some() => Ok(recorded.inline),
            Some(_) => self.beside(sql!("beside", "result"), row.key, phase),
            None => Ok(None),
        }
    }
    pub(crate) fn checkpoint(&mut self, id: JobId, phase: &Name) -> Result<Option<Json>> {
        match self.stored(id)? {
            Some(stored) => self.beside(sql!("beside", "checkpoint"), stored.row.key, phase),
            None => Ok(None),
        }
    }
    fn beside(&mut self, statement: &'static str, key: i64, phase: &Name) -> Result<Option<Json>> {
        match self.dictionary.find(&self.conn, phase)? {
            Some(phase) => self.text(statement, params![key, phase]),
            None => Ok(None),
        }
    }
    pub(crate) fn elements(&mut self, id: JobId, phase: &Name) -> Result<Vec<Element>> {
        let Some(stored) = self.stored(id)? else { return Ok(Vec::new()) };
        let Some(phase) = self.dictionary.find(&self.conn, phase)? else { return Ok(Vec::new()) };
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("beside", "elements"))?;
            let rows = statement.query_map(params![stored.row.key, phase], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(error::of("read the elements of a phase"))?;
        let element = |(index, input_hash, result): (u32, String, String)| {
            Ok(Element { index, input_hash, result: Json::from_text(result)? })
        };
        rows.into_iter().map(element).collect()
    }
    pub(crate) fn log(&mut self, id: JobId) -> Result<Vec<LogLine>> {
        let Some(stored) = self.stored(id)? else { return Ok(Vec::new()) };
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("beside", "log"))?;
            let rows = statement.query_map([stored.row.key], |row| {
                Ok(LogLine { at: Timestamp::from_micros(row.get(0)?), phase: row.get(1)?, text: row.get(2)? })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("read a job's log"))
    }

    pub(crate) fn counts(&mut self) -> Result<Vec<Count>> {
        let Self { conn, dictionary, .. } = self;
        let mut read = || {
            let mut statement = conn.prepare_cached(sql!("meta", "counts"))?;
            let mut rows = statement.query([])?;
            let mut counts = Vec::new();
            while let Some(row) = rows.next()? {
                counts.push(Count {
                    queue: dictionary.name(conn, row.get(0)?)?,
                    kind: dictionary.name(conn, row.get(1)?)?,
                    state: row::state_of(2, row.get(2)?)?,
                    n: u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
                });
            }
            Ok(counts)
        };
        let mut counts: Vec<Count> = read().map_err(error::of("count jobs"))?;
        counts.sort();
        Ok(counts)
    }
    pub(crate) fn queues(&mut self) -> Result<Vec<Queue>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("plan", "queues"))?;
            let rows = statement.query_map([], |row| plan::set_of_queue(row, row.get(3)?))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(error::of("read the queues"))
    }
    pub(crate) fn sessions(&mut self) -> Result<Vec<Session>> {
        session::live(&self.conn).map_err(error::of("read the sessions"))
    }
    pub(crate) fn wanted(&mut self) -> Result<Vec<(SessionId, Desired)>> {
        session::wanted(&self.conn).map_err(error::of("read the sessions"))
    }
    pub(crate) fn nodes(&mut self) -> Result<Vec<(Node, u32)>> {
        session::nodes(&self.conn).map_err(error::of("read the sessions"))
    }
    pub(crate) fn facts(&mut self, job: &Job, now: Timestamp) -> Result<Facts> {
        let sessions = self.sessions()?;
        let Some(number) = self.dictionary.find(&self.conn, &job.queue)? else {
            return Ok(Facts { sessions, ..Facts::default() });
        };
        let queue = plan::queue(&self.conn, number, &job.queue).map_err(error::of("read a queue"))?;
        let running_in_queue = plan::running(&self.conn, number).map_err(error::of("count jobs"))?;
        let ahead = self.ahead_of(job.id, now).map_err(error::of("count the jobs ahead"))?;
        Ok(Facts { queue, sessions, running_in_queue, ahead })
    }
    /// How many due jobs of its queue come before a pending one.
    fn ahead_of(&self, id: JobId, now: Timestamp) -> rusqlite::Result<u64> {
        let mut place = self.conn.prepare_cached(sql!("claim", "place"))?;
        let place = place.query_row([&id.as_bytes()[..]], |row| {
            Ok::<(i64, i64, i64, i64), _>((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        });
        let Some((key, queue, priority, at)) = place.optional()? else { return Ok(0) };
        let now = now.as_micros();
        let mut left = i64::try_from(limits::LIST_SCAN_MAX).unwrap_or(i64::MAX);
        let limit = left;
        let mut unstaged = self.conn.prepare_cached(sql!("claim", "ahead_unstaged"))?;
        left -=
            unstaged.query_row(params![queue, priority, at, key, now, left], |row| row.get::<_, i64>(0))?;
        let mut kinds = self.conn.prepare_cached(sql!("meta", "waiting_kinds"))?;
        let kinds = kinds.query_map([queue], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
        let mut ahead = self.conn.prepare_cached(sql!("claim", "ahead"))?;
        for kind in kinds {
            let place = params![queue, kind, priority, at, key, now, left];
            left -= ahead.query_row(place, |row| row.get::<_, i64>(0))?;
        }
        Ok(u64::try_from(limit - left).unwrap_or(0))
    }
    pub(crate) fn owned(&mut self, session: SessionId) -> Result<Vec<(JobId, Fence, bool)>> {
        let Some(n) = self.dictionary.number(&self.conn, session)? else { return Ok(Vec::new()) };
        let rows = self.rows("find the jobs of a session", sql!("claim", "owned"), params![n, i64::MAX])?;
        let owned = |stored: Stored| {
            let job = stored.row.job;
            job.owner_fence().map(|fence| (job.id, fence, job.state == JobState::Cancelling))
        };
        Ok(rows.into_iter().filter_map(owned).collect())
    }
    pub(crate) fn inbox_outcome(&mut self, id: JobId) -> Result<Option<InboxOutcome>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("inbox", "outcome"))?;
            let outcome = |row: &rusqlite::Row<'_>| match row.get(0)? {
                Some(job) => Ok(InboxOutcome::Job(JobId::from_bytes(job))),
                None => Ok(InboxOutcome::Refused(row.get(1)?)),
            };
            statement.query_row([&id.as_bytes()[..]], outcome).optional()
        };
        read().map_err(error::of("look up an inbox row"))
    }
    pub(crate) fn setting(&self, scope: &Name, key: &str) -> Result<Option<Setting>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "by_key"))?;
            statement.query_row(params![scope, key], setting::setting).optional()
        };
        read().map_err(error::of("read a setting"))
    }
    pub(crate) fn settings(&self, request: &SettingsRequest) -> Result<Settings> {
        let SettingsRequest { scope, prefix, after, descending, .. } = request;
        let limit = i64::try_from(request.limit()).unwrap_or(i64::MAX);
        let statement =
            if *descending { sql!("setting", "descending") } else { sql!("setting", "ascending") };
        let read = || {
            let mut revision = self.conn.prepare_cached(sql!("setting", "revision"))?;
            let revision: i64 = revision.query_row([scope], |row| row.get(0))?;
            let mut statement = self.conn.prepare_cached(statement)?;
            let rows = statement.query_map(params![scope, prefix, after, limit], setting::setting)?;
            let items = rows.collect::<rusqlite::Result<Vec<_>>>()?;
            Ok(Settings { items, revision: revision.cast_unsigned() })
        };
        read().map_err(error::of("read settings"))
    }
    pub(crate) fn cursor(&self, name: &Name) -> Result<Option<u64>> {
        let read = || {
            let mut statement = self.conn.prepare_cached(sql!("setting", "cursor"))?;
            statement.query_row([name], |row| row.get::<_, i64>(0)).optional()
        };
        read().map(|pos| pos.map(i64::cast_unsigned)).map_err(error::of("read a cursor of the log"))
    }
    pub(crate) fn plan(&mut self, kind: &Name) -> Result<Option<(PlanSpec, PlanRef)>> {
        match self.dictionary.find(&self.conn, kind)? {
            Some(number) => plan::newest_plan(&self.conn, number).map_err(error::of("read a plan")),
            None => Ok(None),
        }
    }
}
