//! A worker made of one function: a job with the single phase `run`.

use std::{future::Future, marker::PhantomData};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ctx::Ctx,
    job::{Job, Worker},
    phase_error::PhaseError,
    phase_fn::{BoxFuture, PhaseFn},
    plan::{Phase, Plan},
};

/// A function that is a whole worker: an `async fn(&Ctx<J>) -> Result<J::Output, E>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the worker of `{J}`",
    note = "it is an `async fn(cx: &Ctx<{J}>) -> Result<<{J} as Job>::Output, impl Into<PhaseError>>`"
)]
pub trait OneShot<'a, J: Job> {
    /// The result of the job.
    type Output;
    /// Begins one try.
    fn call(&self, cx: &'a Ctx<J>) -> BoxFuture<'a, Result<Self::Output, PhaseError>>;
}

impl<'a, J, F, Fut, O, E> OneShot<'a, J> for F
where
    J: Job,
    F: Fn(&'a Ctx<J>) -> Fut,
    Fut: Future<Output = Result<O, E>> + Send + 'a,
    E: Into<PhaseError>,
{
    type Output = O;
    fn call(&self, cx: &'a Ctx<J>) -> BoxFuture<'a, Result<O, PhaseError>> {
        let running = self(cx);
        Box::pin(async move { running.await.map_err(Into::into) })
    }
}

pub(crate) struct Single<J, F>(F, PhantomData<fn() -> J>);

impl<J, F> Single<J, F> {
    pub(crate) fn new(run: F) -> Self {
        Self(run, PhantomData)
    }
}

impl<J, F, O> Worker for Single<J, F>
where
    J: Job<Output = O>,
    F: for<'a> OneShot<'a, J, Output = O> + Send + Sync + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    type Job = J;
    fn plan(plan: &Plan<Self>) -> Phase<'_, O> {
        plan.phase("run", (), RunSingle)
    }
}

#[derive(Clone, Copy)]
struct RunSingle;

impl<'a, J, F, O> PhaseFn<'a, Single<J, F>, ()> for RunSingle
where
    J: Job<Output = O>,
    F: for<'b> OneShot<'b, J, Output = O> + Send + Sync + 'static,
    O: Serialize + DeserializeOwned + Send + 'static,
{
    type Output = O;
    fn call(&self, worker: &'a Single<J, F>, cx: &'a Ctx<J>, (): ()) -> BoxFuture<'a, Result<O, PhaseError>> {
        worker.0.call(cx)
    }
}
