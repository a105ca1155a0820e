//! Enqueueing, and completing a phase, inside the application's own transaction of sqlx.

use sqlx::{AssertSqlSafe, PgConnection, Postgres};
use stepwell_core::{Error, Result};

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
    /// The connection is one to the queue's own database, mostly that of a transaction. Its role needs `USAGE` of the
    /// schema and `INSERT` on `stepwell_inbox`, and nothing more. The row is turned into a job within milliseconds of
    /// the commit; the handle can be waited on at once.
    ///
    /// ```no_run
    /// # use serde::{Deserialize, Serialize};
    /// # use stepwell::{Job, Stepwell};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Welcome { to: String }
    /// # impl Job for Welcome { const KIND: &'static str = "welcome"; type Output = (); }
    /// # async fn show(stepwell: &Stepwell, db: &sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = db.begin().await?;
    /// sqlx::query("INSERT INTO account (name) VALUES ('Ada')").execute(&mut *transaction).await?;
    /// let welcome = stepwell.enqueue(Welcome { to: "Ada".into() }).in_sqlx(&mut transaction).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If a field breaks a rule, which leaves the transaction as it was; if the queue is in no PostgreSQL database; or
    /// if the row cannot be written, after which PostgreSQL lets the transaction do nothing but roll back.
    pub async fn in_sqlx(self, connection: &mut PgConnection) -> Result<JobHandle<J>> {
        let schema = application::schema(self.stepwell)?;
        let row = InboxRow::of(self.new?)?;
        let statement = application::rendered(include_str!("sql/inbox_insert_postgres.sql"), schema);
        // Nothing of the caller's is in the text: the schema's name was checked when the queue was opened.
        let written = sqlx::query(AssertSqlSafe(statement))
            .bind(row.id.to_string())
            .bind(row.v)
            .bind(&*row.kind)
            .bind(row.payload.as_str())
            .bind(row.queue.as_deref())
            .bind(row.priority)
            .bind(row.delay_ms)
            .bind(row.run_at)
            .bind(row.unique_key)
            .bind(row.unique_within_ms)
            .bind(row.tags.as_str())
            .bind(row.attributes.as_str())
            .execute(connection)
            .await;
        written.map_err(|error| refused(ENQUEUE, schema, error))?;
        Ok(JobHandle::from_inbox(self.stepwell.clone(), row.id))
    }
}

impl Sealed for sqlx::Transaction<'_, Postgres> {}
impl OwnTransaction for sqlx::Transaction<'_, Postgres> {
    type Completing<'a>
        = BoxFuture<'a, Result<()>>
    where
        Self: 'a;
    fn complete<'a>(&'a mut self, completion: Result<Completion<'a>>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let completion = completion?;
            let Some(written) = completion.written("postgres")? else { return Ok(()) };
            let schema = completion.schema();
            let answered = sqlx::query_scalar::<_, String>(AssertSqlSafe(application::rendered(
                sql!("postgres"),
                &schema,
            )))
            .bind(application::hex(written.job))
            .bind(written.epoch)
            .bind(application::hex(written.token))
            .bind(written.phase)
            .bind(written.stored_name)
            .bind(completion.output.as_str())
            .fetch_one(&mut **self)
            .await;
            let answer = answered.map_err(|error| refused(COMPLETE, &schema, error))?;
            completion.conclude(&application::answer(&answer)?)
        })
    }
}

/// Why the application's transaction could not do something.
fn refused(doing: &'static str, schema: &str, error: sqlx::Error) -> Error {
    let (code, message) = match error.as_database_error() {
        Some(told) => (told.code().map(|code| code.into_owned()), told.message().to_owned()),
        None => (None, String::new()),
    };
    application::refused(doing, schema, code.as_deref(), &message, error)
}
