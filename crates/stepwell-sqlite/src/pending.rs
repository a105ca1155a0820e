//! What a transaction has decided and not yet handed to SQLite.
//!
//! Hundreds of jobs change alike in one transaction: they are claimed together, they end together. Handed over
//! together, they cost one look-up of each statement, and what they have in common is encoded once.

use std::ops::Range;

use rusqlite::{
    CachedStatement, Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use serde::Serialize;
use stepwell_core::{Error, Json, Phases, Result, event::Draft};

use crate::sql::{self, sql};

/// Rows that wait at most.
const ROWS_MAX: usize = 1_024;
/// The buffer that is kept from one transaction to the next.
const BUFFER_KEPT: usize = 1 << 20;

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    texts: Vec<u8>,
    phases: Option<(Phases, Text)>,
    drafts: Option<(Vec<Draft>, Text)>,
    inserts: Vec<Insert>,
    updates: Vec<Update>,
    events: Vec<Event>,
    statements: Statements,
}

/// The statements that insert.
#[derive(Debug)]
struct Statements {
    jobs: Rows,
    payloads: Rows,
    events: Rows,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            jobs: Rows::of(sql!("job", "insert_fresh")),
            payloads: Rows::of(sql!("beside", "insert_payload")),
            events: Rows::of(sql!("event", "insert")),
        }
    }
}

/// A statement that inserts one row, and the same for many.
#[derive(Debug)]
struct Rows {
    one: &'static str,
    many: String,
}

impl Rows {
    fn of(one: &'static str) -> Self {
        Self { one, many: sql::for_rows(one) }
    }

    /// Inserts rows. `bind` begins at the given place, and answers with the place after the last one it used.
    fn write<T>(
        &self,
        conn: &Connection,
        rows: &[T],
        bind: impl Fn(&mut Bound<'_>, usize, &T) -> rusqlite::Result<usize>,
    ) -> rusqlite::Result<()> {
        let (groups, rest) = rows.as_chunks::<{ sql::ROWS }>();
        if !groups.is_empty() {
            let mut many = Bound(conn.prepare_cached(&self.many)?);
            for group in groups {
                group.iter().try_fold(1, |next, row| bind(&mut many, next, row))?;
                many.run()?;
            }
        }
        if !rest.is_empty() {
            let mut one = Bound(conn.prepare_cached(self.one)?);
            for row in rest {
                bind(&mut one, 1, row)?;
                one.run()?;
            }
        }
        Ok(())
    }
}

/// A text in the buffer.
#[derive(Clone, Debug)]
pub(crate) struct Text(Range<usize>);

/// A new job as most of them are.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) numbers: [i64; 12],
    pub(crate) plan: Option<(i64, i64)>,
    pub(crate) uuid: [u8; 16],
    pub(crate) phases: Text,
    pub(crate) payload: Json,
}

/// A change to a job that touches few of its columns.
#[derive(Debug)]
pub(crate) enum Update {
    /// A lease was taken.
    Begin {
        numbers: [i64; 8],
        reason: Option<i64>,
        session: Option<i64>,
        token: Option<[u8; 16]>,
        plan: Option<(i64, i64)>,
        phases: Text,
    },
    /// The lease stays: a phase ended, and the next one began.
    GoOn { numbers: [i64; 5], phases: Text },
    /// The lease went, and the job with it ended as most jobs do.
    End { numbers: [i64; 7], reason: Option<i64>, finished_at: Option<i64>, phases: Text },
}

/// A row of the log.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) numbers: [i64; 10],
    pub(crate) uuid: [u8; 16],
    pub(crate) data: Text,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.inserts.is_empty() && self.updates.is_empty() && self.events.is_empty()
    }
    /// Forgets everything: the transaction is taken back.
    pub(crate) fn clear(&mut self) {
        self.inserts.clear();
        self.updates.clear();
        self.events.clear();
        (self.phases, self.drafts) = (None, None);
        self.texts.clear();
        self.texts.shrink_to(BUFFER_KEPT);
    }
    /// Whether it should be written before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= ROWS_MAX || self.texts.len() >= BUFFER_KEPT
    }

    /// Phases as they are stored. Those of the job before are often the same.
    pub(crate) fn phases(&mut self, phases: &Phases) -> Result<Text> {
        if let Some((known, text)) = &self.phases
            && known == phases
        {
            return Ok(text.clone());
        }
        let text = self.encode(&**phases)?;
        self.phases = Some((phases.clone(), text.clone()));
        Ok(text)
    }
    /// Events as they are stored. Those of the job before are often the same.
    pub(crate) fn drafts(&mut self, drafts: Vec<Draft>) -> Result<Text> {
        if let Some((known, text)) = &self.drafts
            && *known == drafts
        {
            return Ok(text.clone());
        }
        let text = self.encode(&drafts)?;
        self.drafts = Some((drafts, text.clone()));
        Ok(text)
    }
    fn encode<T: Serialize>(&mut self, value: &T) -> Result<Text> {
        let start = self.texts.len();
        serde_json::to_writer(&mut self.texts, value).map_err(Error::encode)?;
        Ok(Text(start..self.texts.len()))
    }

    pub(crate) fn insert(&mut self, insert: Insert) {
        self.inserts.push(insert);
    }
    pub(crate) fn update(&mut self, update: Update) {
        self.updates.push(update);
    }
    pub(crate) fn append(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Writes it all.
    pub(crate) fn write(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.write_inserts(conn)?;
        self.write_updates(conn)?;
        self.write_events(conn)
    }

    fn write_inserts(&self, conn: &Connection) -> rusqlite::Result<()> {
        let Statements { jobs, payloads, .. } = &self.statements;
        jobs.write(conn, &self.inserts, |row, first, insert| {
            let next = row.numbers(first, &insert.numbers)?;
            let next = row.plan(next, insert.plan)?;
            row.blob(next, Some(&insert.uuid))?;
            row.text(next + 1, self.text(&insert.phases))?;
            Ok(next + 2)
        })?;
        payloads.write(conn, &self.inserts, |row, first, insert| {
            let next = row.numbers(first, &insert.numbers[..1])?;
            row.text(next, insert.payload.as_str().as_bytes())?;
            Ok(next + 1)
        })
    }

    /// In the order in which they were decided: a job may be among them more than once.
    fn write_updates(&self, conn: &Connection) -> rusqlite::Result<()> {
        let prepare = |sql| conn.prepare_cached(sql).map(Bound);
        let (mut begins, mut goes_on, mut ends) = (None, None, None);
        for update in &self.updates {
            match update {
                Update::Begin { numbers, reason, session, token, plan, phases } => {
                    let begin = ready(&mut begins, || prepare(sql!("job", "begin")))?;
                    let next = begin.numbers(1, numbers)?;
                    begin.number(next, *reason)?;
                    begin.number(next + 1, *session)?;
                    begin.blob(next + 2, token.as_ref())?;
                    let next = begin.plan(next + 3, *plan)?;
                    begin.text(next, self.text(phases))?;
                    begin.run()?;
                }
                Update::GoOn { numbers, phases } => {
                    let go_on = ready(&mut goes_on, || prepare(sql!("job", "go_on")))?;
                    let next = go_on.numbers(1, numbers)?;
                    go_on.text(next, self.text(phases))?;
                    go_on.run()?;
                }
                Update::End { numbers, reason, finished_at, phases } => {
                    let end = ready(&mut ends, || prepare(sql!("job", "end")))?;
                    let next = end.numbers(1, numbers)?;
                    end.number(next, *reason)?;
                    end.number(next + 1, *finished_at)?;
                    end.text(next + 2, self.text(phases))?;
                    end.run()?;
                }
            }
        }
        Ok(())
    }

    fn write_events(&self, conn: &Connection) -> rusqlite::Result<()> {
        self.statements.events.write(conn, &self.events, |row, first, event| {
            let next = row.numbers(first, &event.numbers)?;
            row.blob(next, Some(&event.uuid))?;
            row.text(next + 1, self.text(&event.data))?;
            Ok(next + 2)
        })
    }

    fn text(&self, text: &Text) -> &[u8] {
        &self.texts[text.0.clone()]
    }
}

/// The statement, prepared when it is first needed.
fn ready<'a, 'conn>(
    slot: &'a mut Option<Bound<'conn>>,
    prepare: impl FnOnce() -> rusqlite::Result<Bound<'conn>>,
) -> rusqlite::Result<&'a mut Bound<'conn>> {
    let statement = match slot.take() {
        Some(statement) => statement,
        None => prepare()?,
    };
    Ok(slot.insert(statement))
}

/// A statement whose parameters are bound one after the other.
struct Bound<'conn>(CachedStatement<'conn>);

impl Bound<'_> {
    /// Answers with the place of the next parameter.
    fn numbers(&mut self, first: usize, numbers: &[i64]) -> rusqlite::Result<usize> {
        for (place, number) in (first..).zip(numbers) {
            self.0.raw_bind_parameter(place, number)?;
        }
        Ok(first + numbers.len())
    }
    fn number(&mut self, place: usize, number: Option<i64>) -> rusqlite::Result<()> {
        self.0.raw_bind_parameter(place, number)
    }
    fn plan(&mut self, first: usize, plan: Option<(i64, i64)>) -> rusqlite::Result<usize> {
        self.number(first, plan.map(|(number, _)| number))?;
        self.number(first + 1, plan.map(|(_, generation)| generation))?;
        Ok(first + 2)
    }
    fn blob(&mut self, place: usize, blob: Option<&[u8; 16]>) -> rusqlite::Result<()> {
        self.0.raw_bind_parameter(place, blob.map(|blob| &blob[..]))
    }
    fn text(&mut self, place: usize, text: &[u8]) -> rusqlite::Result<()> {
        self.0.raw_bind_parameter(place, Utf8(text))
    }
    fn run(&mut self) -> rusqlite::Result<()> {
        self.0.raw_execute().map(drop)
    }
}

/// A text that was encoded as one, and need not be looked through again.
struct Utf8<'a>(&'a [u8]);

impl ToSql for Utf8<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}
