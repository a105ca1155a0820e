//! Completing a phase inside the application's own transaction.

use std::any::{TypeId, type_name};
#[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
use std::sync::Arc;

use serde::Serialize;
use stepwell_core::{Error, Json, Result, lease::Fence, limits};

use crate::{
    ctx::{Ctx, Owner, PhaseRun},
    engine::Why,
};

/// A transaction of the application's own in which a phase can be completed, by [`Ctx::complete_in`]: one of rusqlite,
/// tokio-postgres or sqlx, behind the features of these names.
#[diagnostic::on_unimplemented(
    message = "a phase cannot be completed in a `{Self}`",
    note = "pass `&mut transaction` of a `rusqlite::Transaction`, a `tokio_postgres::Transaction` or an \
            `sqlx::Transaction<'_, Postgres>`, each behind the feature of stepwell with the driver's name"
)]
pub trait OwnTransaction: Sealed {
    /// What the call answers with: the result itself from rusqlite, a future of it from the others.
    type Completing<'a>
    where
        Self: 'a;
    #[doc(hidden)]
    fn complete<'a>(&'a mut self, completion: Result<Completion<'a>>) -> Self::Completing<'a>;
}

/// Which transactions there are is decided here.
pub trait Sealed {}

/// The end of a phase on its way into a transaction.
#[doc(hidden)]
pub struct Completion<'a> {
    run: &'a PhaseRun,
    /// None for a phase that is tested by itself: there is nothing to write.
    owned: Option<Owned<'a>>,
    pub(crate) output: Json,
}

struct Owned<'a> {
    owner: &'a Owner,
    epoch: u64,
    token: [u8; 16],
}

/// What is written, column by column.
pub(crate) struct Written<'a> {
    pub(crate) job: [u8; 16],
    pub(crate) epoch: i64,
    pub(crate) token: [u8; 16],
    pub(crate) phase: &'a str,
    pub(crate) stored_name: &'a str,
}

/// How the statement was answered.
pub(crate) enum Answer {
    Done,
    LeaseLost,
    Twice,
}

impl<J> Ctx<J> {
    /// Completes this phase inside your own transaction on the queue's database: what you wrote there, and the end of
    /// the phase with this output, are one fact once you commit, and neither of them if you do not.
    ///
    /// Call it last, commit, and return the same output. From the commit on the phase has ended, whatever happens to
    /// the process, and it is never run again. The call locks the job's row until your transaction ends: whoever wants
    /// to cancel the job waits for it, and others with them. On PostgreSQL the server therefore ends a transaction that
    /// stands still for 5 s after the call.
    ///
    /// With rusqlite the answer is there at once; with tokio-postgres and sqlx it is awaited:
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokio-postgres")] {
    /// # use serde::{Deserialize, Serialize};
    /// # use stepwell::{Ctx, Job, PhaseResult};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Charge { account: i64, cents: i64 }
    /// # impl Job for Charge { const KIND: &'static str = "charge"; type Output = i64; }
    /// # struct Billing;
    /// # impl Billing {
    /// # async fn connect(&self) -> PhaseResult<tokio_postgres::Client> { Err("as it may be".into()) }
    /// async fn charge(&self, cx: &Ctx<Charge>) -> PhaseResult<i64> {
    ///     let mut db = self.connect().await?;
    ///     let mut tx = db.transaction().await?;
    ///     let charge = "UPDATE account SET cents = cents - $1 WHERE id = $2 RETURNING cents";
    ///     let left: i64 = tx.query_one(charge, &[&cx.job().cents, &cx.job().account]).await?.get(0);
    ///     cx.complete_in(&mut tx, &left).await?;
    ///     tx.commit().await?;
    ///     Ok(left)
    /// }
    /// # }
    /// # }
    /// ```
    ///
    /// If you roll back, nothing has happened, and what the phase returns decides: an error counts as always. If it
    /// returns an output all the same, the try has failed, because the phase was to be completed and was not. If you
    /// commit, the output given here counts, whatever the phase returns. After the call nothing but the commit is left
    /// to do: cursors are refused, and progress is written with the end of the phase.
    ///
    /// Of no effect in a [context for tests](Self::for_test). In one of a queue in memory, which has no transactions of
    /// yours, it is refused; likewise in a phase that fans out or is isolated.
    ///
    /// # Errors
    /// That the lease was lost: roll back, another worker may be at it. Or if the output is not what the phase returns,
    /// or is too large; if the transaction is not one on the queue's database; if the phase was completed in one
    /// before; if the store is sealed; or if the statement fails. After an error of the database PostgreSQL lets the
    /// transaction do nothing but roll back.
    pub fn complete_in<'a, T, O>(&'a self, transaction: &'a mut T, output: &O) -> T::Completing<'a>
    where
        T: OwnTransaction,
        O: Serialize + 'static,
    {
        transaction.complete(Completion::of(self.run_of_phase(), output))
    }
}

impl<'a> Completion<'a> {
    fn of<O: Serialize + 'static>(run: &'a PhaseRun, output: &O) -> Result<Self> {
        let json = Json::of(output)?;
        if json.bytes() > limits::RESULT_BYTES_MAX {
            let problem = format!(
                "is {} bytes long, the limit is {}; store the data elsewhere, complete with where",
                json.bytes(),
                limits::RESULT_BYTES_MAX
            );
            return Err(Error::invalid("output", problem));
        }
        if let Some(problem) = json.problem(limits::JSON_DEPTH_MAX) {
            return Err(Error::invalid("output", problem));
        }
        #[cfg(all(feature = "process", target_os = "linux"))]
        if run.parent.is_some() {
            let problem =
                "runs in a process of its own and cannot be completed in a transaction; do not isolate it";
            return Err(Error::invalid("phase", problem));
        }
        let Some(owner) = &run.owner else { return Ok(Self { run, owned: None, output: json }) };
        match run.ending.output() {
            Some((expected, _)) if expected == TypeId::of::<O>() => {}
            Some((_, expected)) => {
                let problem =
                    format!("is a `{}`, and the phase returns a `{expected}`; pass one", type_name::<O>());
                return Err(Error::invalid("output", problem));
            }
            None => {
                let problem = "fans out, and cannot be completed in a transaction; do it in a phase after it";
                return Err(Error::invalid("phase", problem));
            }
        }
        if run.ending.is_settled() {
            return Err(twice());
        }
        let Fence::Owner { epoch, token } = owner.fence else { return Err(Error::lease_lost()) };
        let owned = Owned { owner, epoch, token: *token.as_bytes() };
        Ok(Self { run, owned: Some(owned), output: json })
    }
    /// What is written; nothing if there is no queue. `store` is what the driver speaks to.
    pub(crate) fn written(&self, store: &'static str) -> Result<Option<Written<'a>>> {
        let Some(Owned { owner, epoch, token }) = &self.owned else { return Ok(None) };
        let found = owner.store.describe().store;
        if found != store {
            let problem = match found {
                "memory" => "cannot hold the end of a phase of a queue in memory; return it".to_owned(),
                _ => {
                    format!("is one on {store}, and the queue is on {found}; use one on the queue's database")
                }
            };
            return Err(Error::invalid("transaction", problem));
        }
        Ok(Some(Written {
            job: *self.run.id.as_bytes(),
            epoch: epoch.cast_signed(),
            token: *token,
            phase: &self.run.phase,
            stored_name: &self.run.stored_name,
        }))
    }
    /// The schema that the queue is in.
    #[cfg(any(feature = "tokio-postgres", feature = "sqlx"))]
    pub(crate) fn schema(&self) -> Arc<str> {
        let schema = self.owned.as_ref().and_then(|owned| owned.owner.schema.clone());
        schema.unwrap_or_else(|| stepwell_postgres::SCHEMA.into())
    }
    /// The statement was answered.
    pub(crate) fn conclude(&self, answer: &Answer) -> Result<()> {
        match answer {
            Answer::Done => {
                self.run.ending.settle();
                Ok(())
            }
            Answer::LeaseLost => {
                if let Some(Owned { owner, .. }) = &self.owned {
                    // The phase may ignore the error; what it does from now on must not count.
                    owner.stop.ask(Why::Lost);
                }
                Err(Error::lease_lost())
            }
            Answer::Twice => Err(twice()),
        }
    }
}

fn twice() -> Error {
    let problem = "was completed in a transaction already; complete it once, then commit and return";
    Error::invalid("phase", problem)
}
