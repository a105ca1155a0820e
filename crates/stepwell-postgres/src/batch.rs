//! One group commit: as many operations as are there, one transaction, and then all answers.

use foldhash::HashMap;
use stepwell_core::{Error, JobId, Name, Result, Timestamp, store::Change, unique::Holders};
use tokio::sync::oneshot;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    connection::Call,
    error, head,
    ledger::{Known, Ledger, Trouble, get},
    pending::Pending,
    sql::sql,
    tables::{claim, setting},
};

/// One operation, and whoever waits for it.
pub(crate) trait Op: Send {
    /// Adds what it will look at, so that it can be read together with what the others will.
    fn wants(&self, wants: &mut Wants);
    /// Does it, and keeps the answer. It may run again, after what it did was rolled back.
    ///
    /// Answers with the error if the store failed, and not just this operation.
    fn run(&mut self, ledger: &mut Ledger) -> Option<Error>;
    /// Gives the answer, or this error instead.
    fn settle(self: Box<Self>, failure: Option<&Error>);
}

/// What operations will look at. It is a hint: what is not here is read when it is needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// Jobs, to be locked.
    pub(crate) jobs: Vec<JobId>,
    /// Kinds, for their newest plans.
    pub(crate) kinds: Vec<Name>,
    /// Names beside those of the kinds.
    pub(crate) names: Vec<Name>,
    /// Unique keys of kinds.
    pub(crate) uniques: Vec<(Name, String)>,
    /// Queues that will be claimed from.
    pub(crate) queues: Vec<Name>,
    /// Small records.
    pub(crate) settings: Vec<(Name, String)>,
    /// How many jobs may be new.
    pub(crate) keys: usize,
}

/// An operation that is a function.
pub(crate) struct Task<T, F> {
    work: F,
    wants: Wants,
    answer: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
    /// Whether it is done only if somebody waits for the answer.
    if_wanted: bool,
}

impl<T: Send + 'static, F: FnMut(&mut Ledger) -> Result<T> + Send + 'static> Task<T, F> {
    /// An operation, and where its answer will be.
    pub(crate) fn with_answer(
        wants: Wants,
        if_wanted: bool,
        work: F,
    ) -> (Box<dyn Op>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { work, wants, answer: None, reply, if_wanted }), answer)
    }
}

impl<T: Send, F: FnMut(&mut Ledger) -> Result<T> + Send> Op for Task<T, F> {
    fn wants(&self, wants: &mut Wants) {
        wants.jobs.extend_from_slice(&self.wants.jobs);
        wants.kinds.extend_from_slice(&self.wants.kinds);
        wants.names.extend_from_slice(&self.wants.names);
        wants.uniques.extend_from_slice(&self.wants.uniques);
        wants.queues.extend_from_slice(&self.wants.queues);
        wants.settings.extend_from_slice(&self.wants.settings);
        wants.keys += self.wants.keys;
    }
    fn run(&mut self, ledger: &mut Ledger) -> Option<Error> {
        if self.if_wanted && self.reply.is_closed() {
            return None;
        }
        ledger.tell_time();
        let result = (self.work)(ledger);
        let failure = result.as_ref().err().filter(|failure| error::is_of_store(failure)).cloned();
        self.answer = Some(result);
        failure
    }
    fn settle(self: Box<Self>, failure: Option<&Error>) {
        let answer = match (failure, self.answer) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(answer)) => answer,
            (None, None) => Err(Error::closed()),
        };
        // Nobody may be waiting any more, which changes nothing.
        drop(self.reply.send(answer));
    }
}

/// What a batch came to.
pub(crate) struct Committed {
    pub(crate) change: Change,
    /// The last `pos` of the log, if events were appended and have theirs.
    pub(crate) head: Option<u64>,
    /// Whether events were appended that have no positions yet.
    pub(crate) unnumbered: bool,
}

/// The beginning of every transaction. Whatever is set holds until its end, so that a pooler may hand the connection
/// on; and every table is read by its indexes, whatever the planner believes of how full it is.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = '25s'; \
    SET LOCAL lock_timeout = '20s'; SET LOCAL idle_in_transaction_session_timeout = '30s'; \
    SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
    SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_generic_plan";

impl Ledger {
    /// Runs the operations in one transaction and commits it.
    pub(crate) fn batch(&mut self, ops: &mut [Box<dyn Op>], careful: bool) -> Result<Committed> {
        let mut wants = Wants::default();
        for op in &*ops {
            op.wants(&mut wants);
        }
        if careful {
            // One of them may be the trouble. Whoever looks at it does so in a savepoint of its own, and only the jobs
            // are still locked together, in one order: their ids are nothing that a database can refuse.
            wants = Wants { jobs: wants.jobs, keys: wants.keys, ..Wants::default() };
        }
        self.reset(careful);
        if let Err(failure) = self.prepare(&wants) {
            if !careful && !error::is_of_store(&failure) {
                self.trouble = self.trouble.or(Some(Trouble::Again));
            }
            return Err(failure);
        }
        for op in &mut *ops {
            if let Some(failure) = op.run(self) {
                return Err(failure);
            }
            if self.torn {
                self.trouble = self.trouble.or(Some(Trouble::Again));
                return Err(Error::storage("run an operation", "it failed half-way, and is run again"));
            }
        }
        self.flush()?;
        self.finish()
    }

    fn reset(&mut self, careful: bool) {
        (self.careful, self.torn, self.dirty, self.wrote) = (careful, false, false, false);
        (self.trouble, self.appended) = (None, 0);
        self.change = Change::default();
        self.known = Known::default();
        self.keys.clear();
        self.pending = Pending::default();
        self.counters.clear();
    }

    /// Makes the partition of today, if this connection has not seen to it yet.
    fn open_day(&mut self) -> Result<()> {
        self.tell_time();
        let day = self.today();
        if self.day != day {
            self.query(OPEN, sql!("event", "open_day"), &[&day])?;
            self.day = day;
        }
        Ok(())
    }
    /// Makes the partition of tomorrow, so that at midnight nobody waits for it.
    pub(crate) fn open_tomorrow(&mut self) -> Result<()> {
        let day = self.today().saturating_add(1);
        if self.next_day != day {
            self.query(OPEN, sql!("event", "open_day"), &[&day])?;
            (self.next_day, self.wrote) = (day, true);
        }
        Ok(())
    }
    /// Drops partitions that are empty, but none into which somebody may write whose clock is a little late.
    pub(crate) fn drop_days(&mut self) -> Result<()> {
        const DROP: &str = "drop partitions of the log";
        let before = self.today().saturating_sub(2);
        let row = self.query_opt(DROP, sql!("event", "drop_days"), &[&before])?;
        self.wrote |= row.map_or(Ok(0), |row| get::<i32>(&row, 0, DROP))? > 0;
        Ok(())
    }
    fn today(&self) -> i32 {
        i32::try_from(self.now.as_micros().div_euclid(DAY_MICROS)).unwrap_or(i32::MAX)
    }

    /// Begins, and reads what the operations will look at, all at once.
    fn prepare(&mut self, wants: &Wants) -> Result<()> {
        const BEGIN_DOING: &str = "begin a transaction";
        self.open_day()?;
        self.register()?;
        self.keys_wanted = wants.keys;
        let Self { dictionary, conn, .. } = self;
        let names = wants
            .kinds
            .iter()
            .chain(&wants.names)
            .chain(&wants.queues)
            .chain(wants.uniques.iter().map(|(kind, _)| kind));
        dictionary.find_all(conn, names).map_err(|failure| self.failed("look up names", failure))?;
        let mut kinds: HashMap<i32, &Name> = HashMap::default();
        for kind in &wants.kinds {
            match self.find_name(kind)? {
                Some(number) => drop(kinds.insert(number, kind)),
                None => drop(self.known.plans.insert(kind.clone(), None)),
            }
        }
        let mut uniques = Vec::with_capacity(wants.uniques.len());
        for (kind, key) in &wants.uniques {
            if let Some(kind) = self.find_name(kind)? {
                uniques.push((kind, key.as_str()));
            }
        }
        let jobs: Vec<Uuid> = wants.jobs.iter().map(|id| Uuid::from(*id)).collect();
        let numbers: Vec<i32> = kinds.keys().copied().collect();
        let (no_jobs, no_kinds, no_uniques) = (jobs.is_empty(), numbers.is_empty(), uniques.is_empty());
        let queues = self.numbers_of(&wants.queues)?;
        let no_queues = queues.is_empty();
        // A connection of our own has one server for as long as it lives, and this was found out at its beginning.
        let pooled = self.conn.target().is_pooled();
        let known = self.conn.target().head.known();
        let meta = if pooled { sql!("meta", "begin_pooled") } else { sql!("meta", "begin") };
        let mut calls = vec![Call::new(meta)];
        if !no_queues {
            calls.push(Call::new(sql!("plan", "lock_limited")).with(queues.clone()));
            calls.push(Call::new(sql!("plan", "some_queues")).with(queues));
        }
        if !no_jobs {
            calls.push(Call::new(sql!("job", "lock")).with(jobs));
        }
        if !no_kinds {
            calls.push(Call::new(sql!("plan", "newest")).with(numbers));
        }
        if !no_uniques {
            let kinds: Vec<i32> = uniques.iter().map(|(kind, _)| *kind).collect();
            let keys: Vec<&str> = uniques.iter().map(|(_, key)| *key).collect();
            calls.push(Call::new(sql!("job", "holders")).with(kinds).with(keys));
        }
        if !wants.settings.is_empty() {
            let scopes: Vec<&str> = wants.settings.iter().map(|(scope, _)| &**scope).collect();
            let keys: Vec<&str> = wants.settings.iter().map(|(_, key)| key.as_str()).collect();
            calls.push(Call::new(sql!("setting", "by_keys")).with(scopes).with(keys));
        }
        let begin = match self.synchronous {
            Some(setting) => format!("{BEGIN}; SET LOCAL synchronous_commit = {setting}"),
            None => BEGIN.to_owned(),
        };
        let answers = self.conn.together(Some(&begin), &calls);
        drop(calls);
        let mut answers = answers.map_err(|failure| self.failed(BEGIN_DOING, failure))?.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let meta = next();
        let Some(meta) = meta.first() else { return Err(Error::sealed()) };
        if get(meta, 0, BEGIN_DOING)? {
            return Err(Error::sealed());
        }
        self.limited = get(meta, 1, BEGIN_DOING)?;
        if pooled {
            self.check_log(&known, meta)?;
        }
        if !no_queues {
            let locked = next();
            self.keep_queues(&wants.queues, &locked, &next())?;
        }
        if !no_jobs {
            self.keep_rows("read jobs", &next())?;
            // A damaged row is asked for again, and told of then.
            for id in wants.jobs.iter().filter(|_| self.damaged.len() == 0) {
                self.known.jobs.entry(*id).or_insert(None);
            }
        }
        if !no_kinds {
            let rows = next();
            for (number, kind) in kinds {
                let row = rows.iter().find(|row| row.try_get(0).is_ok_and(|found: i32| found == number));
                self.keep_plan(kind, row)?;
            }
        }
        if !no_uniques {
            self.keep_holders(&uniques, &next())?;
        }
        if !wants.settings.is_empty() {
            for row in next() {
                let found = setting::setting(&row)?;
                self.known.settings.insert((found.scope.clone(), found.key.clone()), Some(found));
            }
            for wanted in &wants.settings {
                self.known.settings.entry(wanted.clone()).or_insert(None);
            }
        }
        Ok(())
    }

    /// Gives the connection up if there is another log behind it: the next one begins with finding out.
    fn check_log(&mut self, known: &head::Known, meta: &Row) -> Result<()> {
        let found = head::Standing::read(meta, 2)?;
        if found.verdict(known) != head::Verdict::Same || found.n() != self.generation_n {
            self.trouble = Some(Trouble::Lost);
            return Err(Error::storage("begin a transaction", "the log is another one than before"));
        }
        Ok(())
    }

    fn keep_holders(&mut self, uniques: &[(i32, &str)], rows: &[Row]) -> Result<()> {
        for (kind, key) in uniques {
            self.known.holders.insert((*kind, (*key).to_owned()), Holders::default());
        }
        for row in rows {
            let nth: i64 = get(row, 0, "look up unique keys")?;
            let nth = usize::try_from(nth).unwrap_or(0).checked_sub(1);
            if let Some((kind, key)) = nth.and_then(|nth| uniques.get(nth)) {
                self.known.holders.insert((*kind, (*key).to_owned()), claim::holders(row)?);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Committed> {
        if !self.dirty {
            self.run("ROLLBACK")?;
            let head = match self.owes_numbers {
                true => self.number_if_free(),
                false => None,
            };
            let change = Change { events: head.is_some(), ..Change::default() };
            return Ok(Committed { change, head, unnumbered: false });
        }
        self.write_mark()?;
        let number = (self.appended > 0 || self.owes_numbers)
            .then(|| Call::new(sql!("event", "number")).with(self.now.as_micros()).with(false));
        let answer = self.conn.commit(number.as_ref()).map_err(|failure| self.uncommitted(failure))?;
        let head = answer.map(|row| get::<Option<i64>>(&row, 0, "number events")).transpose()?.flatten();
        self.change.events |= self.owes_numbers && head.is_some();
        self.owes_numbers &= head.is_none();
        Ok(Committed {
            change: self.change,
            head: head.map(i64::cast_unsigned),
            unnumbered: self.appended > 0 && head.is_none(),
        })
    }

    fn uncommitted(&mut self, failure: error::Failure) -> Error {
        if failure.kind() == error::Kind::Lost
            && let Some(mark) = self.mark
        {
            self.trouble = Some(Trouble::InDoubt(mark));
            return Error::storage("commit", failure);
        }
        self.failed("commit", failure)
    }

    /// Writes the counters' deltas, and forgets them.
    pub(crate) fn write_counters(&mut self) -> Result<()> {
        let Some(call) = self.counters.take(self.part) else { return Ok(()) };
        let written = self.conn.together(None, &[call]);
        written.map(drop).map_err(|failure| self.failed("write the counters", failure))
    }

    /// Gives positions to what was committed, and waits if somebody else is at it. Until that has succeeded, they
    /// are owed.
    pub(crate) fn number(&mut self) -> Option<u64> {
        self.owes_numbers = true;
        self.number_now(true)
    }
    /// The same, but whoever is at it may do it.
    fn number_if_free(&mut self) -> Option<u64> {
        self.number_now(false)
    }
    fn number_now(&mut self, patiently: bool) -> Option<u64> {
        const NUMBER: &str = "number events";
        let row = self.query_opt(NUMBER, sql!("event", "number"), &[&self.now.as_micros(), &patiently]);
        let head = row.and_then(|row| row.map_or(Ok(None), |row| get::<Option<i64>>(&row, 0, NUMBER)));
        // What was committed is committed, whether or not its events have their positions.
        let head = head.unwrap_or_else(|error| {
            tracing::warn!(%error, "events have no positions yet; they get them with the next commit");
            None
        });
        self.owes_numbers &= head.is_none();
        head.map(i64::cast_unsigned)
    }

    /// Takes everything back.
    pub(crate) fn roll_back(&mut self) -> Result<()> {
        self.forget();
        self.pending = Pending::default();
        self.change = Change::default();
        match self.conn.is_connected() {
            true => self.run("ROLLBACK"),
            false => Ok(()),
        }
    }

    /// Sees to it that there is a connection, and that what is kept belongs to it.
    pub(crate) fn connect(&mut self) -> Result<()> {
        const CONNECT: &str = "connect to the database";
        if !self.conn.connect().map_err(error::of(CONNECT))? {
            return Ok(());
        }
        self.dictionary.clear();
        (self.day, self.next_day) = (i32::MIN, i32::MIN);
        let row = self.query_opt(CONNECT, sql!("meta", "synchronous"), &[])?;
        let server: String = row.map_or(Ok(String::new()), |row| get(&row, 0, CONNECT))?;
        self.synchronous = self.conn.target().durability.setting(&server);
        let row = self.query_opt(CONNECT, sql!("meta", "process"), &[])?;
        let part: i32 = row.map_or(Ok(0), |row| get(&row, 0, CONNECT))?;
        self.part = part.rem_euclid(crate::counters::PARTS);
        let recognized = head::recognize(&mut self.conn);
        self.generation_n = recognized.inspect_err(|_| self.trouble = Some(Trouble::Lost))?.n();
        let row = self.query_opt(CONNECT, sql!("meta", "log"), &[])?;
        let recorded = row.map_or(Ok(0), |row| get(&row, 2, CONNECT))?;
        self.recorded = self.recorded.max(Timestamp::from_micros(recorded));
        Ok(())
    }
}

const OPEN: &str = "make a partition of the log";

/// Microseconds of a day.
pub(crate) const DAY_MICROS: i64 = 86_400_000_000;
