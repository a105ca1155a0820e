//! One connection, used from one thread: every call waits for its answer.

use std::{sync::Arc, time::Duration};

use foldhash::{HashMap, HashMapExt};
use futures_util::future::join_all;
use stepwell_core::{Error, Result};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_postgres::{Client, Row, Statement, types::ToSql};

use crate::{
    error::{Failure, Kind},
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
    pub(crate) fn with(mut self, param: impl ToSql + Sync + 'a) -> Self {
        self.params.push(Box::new(param));
        self
    }
}

/// A connection, or the place for one. Its runtime stands still between two calls.
pub(crate) struct Conn {
    runtime: Runtime,
    target: Arc<Target>,
    link: Option<Link>,
}

struct Link {
    client: Client,
    schema: Arc<str>,
    statements: HashMap<&'static str, Statement>,
}

type Asked<T> = std::result::Result<T, tokio_postgres::Error>;

impl Link {
    async fn prepared(&mut self, statement: &'static str) -> Asked<Statement> {
        if let Some(prepared) = self.statements.get(statement) {
            return Ok(prepared.clone());
        }
        let prepared = self.client.prepare(&sql::render(statement, &self.schema)).await?;
        self.statements.insert(statement, prepared.clone());
        Ok(prepared)
    }
    /// Asks everything at once: the answers come back together. After the first failure nothing more is answered.
    async fn together(&mut self, begin: Option<&str>, calls: &[Call<'_>]) -> Asked<Vec<Vec<Row>>> {
        let mut prepared = Vec::with_capacity(calls.len());
        for call in calls {
            prepared.push(self.prepared(call.statement).await?);
        }
        let client = &self.client;
        let asked = calls.iter().zip(&prepared).map(|(call, prepared)| async move {
            let params: Vec<Param<'_>> = call.params.iter().map(|param| &**param as Param<'_>).collect();
            client.query(prepared, &params).await
        });
        let begin = async {
            match begin {
                Some(begin) => client.batch_execute(begin).await,
                None => Ok(()),
            }
        };
        let (begun, answers) = futures_util::future::join(begin, join_all(asked)).await;
        begun?;
        answers.into_iter().collect()
    }
}

impl Conn {
    /// The place for a connection.
    pub(crate) fn new(target: Arc<Target>) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::storage("start a connection's runtime", error))?;
        Ok(Self { runtime, target, link: None })
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
        let Target { config, tls, schema, .. } = &*self.target;
        let client = self.runtime.block_on(async {
            let (client, connection) =
                timeout(ANSWER_MAX, config.connect(tls.clone())).await.map_err(|_| Failure::Late)??;
            // It ends with the client, and whatever it fails with, the client is told.
            tokio::spawn(connection);
            Ok::<_, Failure>(client)
        })?;
        self.link = Some(Link { client, schema: schema.clone(), statements: HashMap::new() });
        Ok(true)
    }
    /// Gives the connection up, whatever it was doing.
    pub(crate) fn disconnect(&mut self) {
        self.link = None;
    }

    fn ask<T>(&mut self, work: impl AsyncFnOnce(&mut Link) -> Asked<T>) -> std::result::Result<T, Failure> {
        let Some(link) = &mut self.link else { return Err(Failure::Unconnected) };
        let answer = self.runtime.block_on(async { timeout(ANSWER_MAX, work(link)).await });
        let failure = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Failure::Database(error),
            Err(_) => Failure::Late,
        };
        if failure.kind() == Kind::Lost {
            self.link = None;
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
            link.client.query(&prepared, params).await
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
            link.client.execute(&prepared, params).await
        })
    }
    /// Runs statements that have no parameters and give no rows.
    pub(crate) fn run(&mut self, text: &str) -> std::result::Result<(), Failure> {
        self.ask(async |link| link.client.batch_execute(text).await)
    }
    /// Runs the text of a file.
    pub(crate) fn run_file(&mut self, text: &str) -> std::result::Result<(), Failure> {
        let text = sql::render(text, self.schema());
        self.run(&text)
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
                link.client.batch_execute("COMMIT").await?;
                return Ok(None);
            };
            let prepared = link.prepared(last.statement).await?;
            let params: Vec<Param<'_>> = last.params.iter().map(|param| &**param as Param<'_>).collect();
            let (answer, committed) = futures_util::future::join(
                link.client.query_one(&prepared, &params),
                link.client.batch_execute("COMMIT"),
            )
            .await;
            // If the question failed, what follows it was a rollback.
            let answer = answer?;
            committed?;
            Ok(Some(answer))
        })
    }
}
