//! Enqueueing, and completing a phase, inside the application's own transaction of tokio-postgres.

use stepwell_core::{Error, Result};
use tokio_postgres::{
    GenericClient,
    types::{ToSql, Type},
};

use crate::{
    application::{self, COMPLETE, ENQUEUE, sql},
    complete_in::{Completion, OwnTransaction, Sealed},
    enqueue::Enqueue,
    handle::JobHandle,
    inbox_row::InboxRow,
    phase_fn::BoxFuture,
};

impl<J> Enqueue<'_, J> {
    /// Writes the job into the inbox through the caller's transaction; it exists if, and only if, the caller commits.
    ///
    /// The transaction, or the client, which is then a transaction of its own, is one on the queue's own database. Its
    /// role needs `USAGE` of the schema and `INSERT` on `stepwell_inbox`, and nothing more. The row is turned into a
    /// job within milliseconds of the commit; the handle can be waited on at once.
    ///
    /// ```no_run
    /// # use serde::{Deserialize, Serialize};
    /// # use stepwell::{Job, Stepwell};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Welcome { to: String }
    /// # impl Job for Welcome { const KIND: &'static str = "welcome"; type Output = (); }
    /// # type Answer = Result<(), Box<dyn std::error::Error>>;
    /// # async fn show(stepwell: &Stepwell, db: &mut tokio_postgres::Client) -> Answer {
    /// let transaction = db.transaction().await?;
    /// transaction.execute("INSERT INTO account (name) VALUES ('Ada')", &[]).await?;
    /// let welcome = stepwell.enqueue(Welcome { to: "Ada".into() }).in_tokio_postgres(&transaction).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a field breaks a rule, which leaves the transaction as it was; if the queue is in no PostgreSQL database; or
    /// if the row cannot be written, after which PostgreSQL lets the transaction do nothing but roll back.
    pub async fn in_tokio_postgres<C: GenericClient + Sync>(self, transaction: &C) -> Result<JobHandle<J>> {
        let schema = application::schema(self.stepwell)?;
        let row = InboxRow::of(self.new?)?;
        let statement = application::rendered(include_str!("sql/inbox_insert_postgres.sql"), schema);
        let (id, kind, payload) = (row.id.to_string(), &*row.kind, row.payload.as_str());
        let (queue, tags, attributes) = (row.queue.as_deref(), row.tags.as_str(), row.attributes.as_str());
        let values: [(&(dyn ToSql + Sync), Type); 12] = [
            (&id, Type::TEXT),
            (&row.v, Type::INT8),
            (&kind, Type::TEXT),
            (&payload, Type::TEXT),
            (&queue, Type::TEXT),
            (&row.priority, Type::INT8),
            (&row.delay_ms, Type::INT8),
            (&row.run_at, Type::INT8),
            (&row.unique_key, Type::TEXT),
            (&row.unique_within_ms, Type::INT8),
            (&tags, Type::TEXT),
            (&attributes, Type::TEXT),
        ];
        // In one go and without a name, so that a pooler may stand in between.
        let written = transaction.execute_typed(&statement, &values).await;
        written.map_err(|error| refused(ENQUEUE, schema, error))?;
        Ok(JobHandle::from_inbox(self.stepwell.clone(), row.id))
    }
}

impl Sealed for tokio_postgres::Transaction<'_> {}
impl OwnTransaction for tokio_postgres::Transaction<'_> {
    type Completing<'a>
        = BoxFuture<'a, Result<()>>
    where
        Self: 'a;
    fn complete<'a>(&'a mut self, completion: Result<Completion<'a>>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let completion = completion?;
            let Some(written) = completion.written("postgres")? else { return Ok(()) };
            let schema = completion.schema();
            let (job, token) = (application::hex(written.job), application::hex(written.token));
            let output = completion.output.as_str();
            let values: [(&(dyn ToSql + Sync), Type); 6] = [
                (&job, Type::TEXT),
                (&written.epoch, Type::INT8),
                (&token, Type::TEXT),
                (&written.phase, Type::TEXT),
                (&written.stored_name, Type::TEXT),
                (&output, Type::TEXT),
            ];
            let statement = application::rendered(sql!("postgres"), &schema);
            let answered =
                self.query_typed_one(&statement, &values).await.and_then(|row| row.try_get::<_, String>(0));
            let answer = answered.map_err(|error| refused(COMPLETE, &schema, error))?;
            completion.conclude(&application::answer(&answer)?)
        })
    }
}

/// Why the application's transaction could not do something.
fn refused(doing: &'static str, schema: &str, error: tokio_postgres::Error) -> Error {
    let (code, message) = match error.as_db_error() {
        Some(told) => (Some(told.code().code().to_owned()), told.message().to_owned()),
        None => (None, String::new()),
    };
    application::refused(doing, schema, code.as_deref(), &message, error)
}
