//! One connection, used from one thread: every call waits for its answer.

use std::{fmt, sync::Arc, time::Duration};

use bytes::BytesMut;
use foldhash::{HashMap, HashMapExt};
use futures_util::future::{join, join_all};
use stepwell_core::{Error, Result};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_postgres::{
    Client, Row, SimpleQueryMessage, Statement,
    types::{Format, IsNull, ToSql, Type},
};

use crate::{
    error::{Failure, Kind, Stale},
    sql,
    target::Target,
};

/// How long an answer may take. The server gives up a statement before that.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A parameter.
pub(crate) type Param<'a> = &'a (dyn ToSql + Sync);

/// A statement with what is bound to it.
pub(crate) struct Call<'a> {
    pub(crate) statement: &'static str,
    pub(crate) params: Vec<Box<dyn ToSql + Sync + 'a>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(statement: &'static str) -> Self {
        Self { statement, params: Vec::new() }
    }
    fn params(&self) -> Vec<Param<'_>> {
        self.params.iter().map(|param| &**param as Param<'_>).collect()
    }
    pub(crate) fn with(mut self, param: impl ToSql + Sync + 'a) -> Self {
        self.params.push(Box::new(param));
        self
    }
}

/// A connection, or the place for one. Its runtime stands still between two calls.
pub(crate) struct Conn {
    answer_max: Duration,
    runtime: Runtime,
    target: Arc<Target>,
    link: Option<Link>,
}

struct Link {
    client: Client,
    target: Arc<Target>,
    statements: HashMap<&'static str, Statement>,
    /// Whether a transaction is open.
    open: bool,
}

type Asked<T> = std::result::Result<T, tokio_postgres::Error>;

/// How a statement is sent: by its name on this connection, or with its text and the types of its parameters where a
/// pooler may hand the connection on, and a name would mean something else on the next one.
enum Prepared {
    Named(Statement),
    Typed(Arc<(String, Vec<Type>)>),
}

impl Link {
    async fn prepared(&mut self, statement: &'static str) -> Asked<Prepared> {
        if self.target.is_pooled() {
            return self.typed(statement).await.map(Prepared::Typed);
        }
        if let Some(prepared) = self.statements.get(statement) {
            return Ok(Prepared::Named(prepared.clone()));
        }
        let prepared = self.client.prepare(&sql::render(statement, &self.target.schema)).await?;
        self.statements.insert(statement, prepared.clone());
        Ok(Prepared::Named(prepared))
    }
    /// Asks the database for the types, once for all connections. The name that this takes is given back before the
    /// transaction ends, and with it the connection.
    async fn typed(&mut self, statement: &'static str) -> Asked<Arc<(String, Vec<Type>)>> {
        if let Some(typed) = self.target.typed(statement) {
            return Ok(typed);
        }
        if !self.open {
            self.client.batch_execute("BEGIN").await?;
        }
        let text = sql::render(statement, &self.target.schema);
        let types = self.client.prepare(&text).await.map(|prepared| prepared.params().to_vec());
        if !self.open {
            self.client.batch_execute("ROLLBACK").await?;
        }
        Ok(self.target.keep_typed(statement, (text, types?)))
    }
    async fn query(&self, prepared: &Prepared, params: &[Param<'_>]) -> Asked<Vec<Row>> {
        let quiet = quiet(params);
        let params = &params_of(&quiet)[..];
        match prepared {
            Prepared::Named(prepared) => self.client.query(prepared, params).await,
            Prepared::Typed(typed) => self.client.query_typed(&typed.0, &with_types(params, &typed.1)).await,
        }
    }
    async fn execute(&self, prepared: &Prepared, params: &[Param<'_>]) -> Asked<u64> {
        let quiet = quiet(params);
        let params = &params_of(&quiet)[..];
        match prepared {
            Prepared::Named(prepared) => self.client.execute(prepared, params).await,
            Prepared::Typed(typed) => {
                self.client.execute_typed(&typed.0, &with_types(params, &typed.1)).await
            }
        }
    }
    async fn run(&mut self, text: &str) -> Asked<()> {
        if text.starts_with("BEGIN") {
            self.open = true;
        } else if matches!(text, "COMMIT" | "ROLLBACK") {
            self.open = false;
        }
        self.client.batch_execute(text).await
    }
    /// Asks everything at once: the answers come back together. After the first failure nothing more is answered.
    async fn together(&mut self, begin: Option<&str>, calls: &[Call<'_>]) -> Asked<Vec<Vec<Row>>> {
        let mut prepared = Vec::with_capacity(calls.len());
        for call in calls {
            prepared.push(self.prepared(call.statement).await?);
        }
        self.open |= begin.is_some();
        let link = &*self;
        let asked = calls
            .iter()
            .zip(&prepared)
            .map(|(call, prepared)| async move { link.query(prepared, &call.params()).await });
        let begin = async {
            match begin {
                Some(begin) => link.client.batch_execute(begin).await,
                None => Ok(()),
            }
        };
        let (begun, answers) = join(begin, join_all(asked)).await;
        begun?;
        answers.into_iter().collect()
    }
}

/// A parameter that shows nothing: the driver writes what is bound to a statement into its log, and payloads and keys
/// are nobody's business there.
struct Quiet<'a>(Param<'a>);

impl fmt::Debug for Quiet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}

impl ToSql for Quiet<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        self.0.to_sql_checked(ty, out)
    }
    fn accepts(_: &Type) -> bool {
        // What is inside is asked when it is written.
        true
    }
    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Encoded {
        self.0.to_sql_checked(ty, out)
    }
    fn encode_format(&self, ty: &Type) -> Format {
        self.0.encode_format(ty)
    }
}

type Encoded = std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

fn quiet<'a>(params: &[Param<'a>]) -> Vec<Quiet<'a>> {
    params.iter().copied().map(Quiet).collect()
}

fn params_of<'a>(quiet: &'a [Quiet<'_>]) -> Vec<Param<'a>> {
    quiet.iter().map(|param| param as Param<'a>).collect()
}

fn with_types<'a>(params: &[Param<'a>], types: &[Type]) -> Vec<(Param<'a>, Type)> {
    params.iter().copied().zip(types.iter().cloned()).collect()
}

impl Conn {
    /// The place for a connection.
    pub(crate) fn new(target: Arc<Target>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::storage("start a connection's runtime", error))?;
        Ok(Self { answer_max: ANSWER_MAX, runtime, target, link: None })
    }
    /// One that is given up after this long without an answer.
    pub(crate) fn patient_for(self, answer_max: Duration) -> Self {
        Self { answer_max, ..self }
    }
    pub(crate) fn is_connected(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.client.is_closed())
    }
    pub(crate) fn schema(&self) -> &str {
        &self.target.schema
    }
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }
    /// Connects, unless that has been done. Answers whether the connection is a new one.
    pub(crate) fn connect(&mut self) -> std::result::Result<bool, Failure> {
        if self.is_connected() {
            return Ok(false);
        }
        self.link = None;
        let (target, answer_max) = (self.target.clone(), self.answer_max);
        let client = self.runtime.block_on(async {
            let connecting = target.config.connect(target.tls.clone());
            let (client, connection) = tokio::select! {
                connected = timeout(answer_max, connecting) => connected.map_err(|_| Failure::Late)??,
                () = target.ended() => return Err(Failure::Unconnected),
            };
            // It ends with the client, and whatever it fails with, the client is told.
            tokio::spawn(connection);
            Ok::<_, Failure>(client)
        })?;
        self.link = Some(Link { client, target, statements: HashMap::new(), open: false });
        Ok(true)
    }
    /// Gives the connection up, whatever it was doing.
    pub(crate) fn disconnect(&mut self) {
        self.link = None;
    }

    fn ask<T>(&mut self, work: impl AsyncFnOnce(&mut Link) -> Asked<T>) -> std::result::Result<T, Failure> {
        let Some(link) = &mut self.link else { return Err(Failure::Unconnected) };
        let (target, answer_max) = (&self.target, self.answer_max);
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = timeout(answer_max, work(link)) => {
                    answer.map_err(|_| Failure::Late)?.map_err(Failure::Database)
                }
                () = target.ended() => Err(Failure::Unconnected),
            }
        });
        let failure = match answer {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        if failure.kind() == Kind::Lost {
            self.link = None;
        }
        if failure.staleness() == Some(Stale::Names) && !self.target.is_pooled() {
            // It was not seen when the store was opened, and shows now.
            tracing::warn!(%failure, "there is a pooler before the database; statements go without names from now on");
            self.target.set_pooled(true);
        }
        Err(failure)
    }

    /// Asks for rows.
    pub(crate) fn query(
        &mut self,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> std::result::Result<Vec<Row>, Failure> {
        self.ask(async |link| {
            let prepared = link.prepared(statement).await?;
            link.query(&prepared, params).await
        })
    }
    /// Asks for at most one row.
    pub(crate) fn query_opt(
        &mut self,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> std::result::Result<Option<Row>, Failure> {
        self.query(statement, params).map(|rows| rows.into_iter().next())
    }
    /// Asks for a change. Answers with how many rows changed.
    pub(crate) fn execute(
        &mut self,
        statement: &'static str,
        params: &[Param<'_>],
    ) -> std::result::Result<u64, Failure> {
        self.ask(async |link| {
            let prepared = link.prepared(statement).await?;
            link.execute(&prepared, params).await
        })
    }
    /// Asks for rows with a statement that is sent once and without a name.
    pub(crate) fn query_text(&mut self, text: &str) -> std::result::Result<Vec<Row>, Failure> {
        self.ask(async |link| link.client.query_typed(text, &[]).await)
    }
    /// Runs statements that have no parameters and give no rows.
    pub(crate) fn run(&mut self, text: &str) -> std::result::Result<(), Failure> {
        self.ask(async |link| link.run(text).await)
    }
    /// Runs the text of a file.
    pub(crate) fn run_file(&mut self, text: &str) -> std::result::Result<(), Failure> {
        let text = sql::render(text, &self.target.schema);
        self.run(&text)
    }
    /// The one value that a statement without parameters gives, as text, asked for without a name.
    pub(crate) fn value(&mut self, statement: &'static str) -> std::result::Result<Option<String>, Failure> {
        self.ask(async |link| {
            let messages = link.client.simple_query(statement).await?;
            Ok(messages.into_iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            }))
        })
    }
    /// Asks everything at once, after `begin` if it is given.
    pub(crate) fn together(
        &mut self,
        begin: Option<&str>,
        calls: &[Call<'_>],
    ) -> std::result::Result<Vec<Vec<Row>>, Failure> {
        self.ask(async |link| link.together(begin, calls).await)
    }
    /// Asks a last question and commits, both at once.
    pub(crate) fn commit(&mut self, last: Option<&Call<'_>>) -> std::result::Result<Option<Row>, Failure> {
        self.ask(async |link| {
            let Some(last) = last else {
                link.run("COMMIT").await?;
                return Ok(None);
            };
            let prepared = link.prepared(last.statement).await?;
            link.open = false;
            let link = &*link;
            let params = last.params();
            let committing = link.client.batch_execute("COMMIT");
            let (answer, committed) = join(link.query(&prepared, &params), committing).await;
            // If the question failed, what follows it was a rollback.
            let answer = answer?;
            committed?;
            Ok(answer.into_iter().next())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_shows_nothing_and_is_sent_as_it_is() {
        let secret = "secret";
        let [param] = &quiet(&[&secret])[..] else { panic!("there is one") };
        assert_eq!(format!("{param:?}"), "_");
        let mut sent = BytesMut::new();
        param.to_sql_checked(&Type::TEXT, &mut sent).unwrap();
        assert_eq!(&sent[..], secret.as_bytes());
        assert!(param.to_sql_checked(&Type::INT4, &mut sent).is_err());
    }
}
