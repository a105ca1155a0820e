//! Functions that can run as a phase.

use std::{future::Future, pin::Pin};

use crate::{ctx::Ctx, job::Worker, phase_error::PhaseError};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A function that can run as a phase: an `async fn(&W, &Ctx<W::Job>, inputs…) -> Result<O, E>` whose error converts
/// into [`PhaseError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run as a phase of `{W}` with these inputs",
    note = "a phase is an `async fn(&self, cx: &Ctx<Job>, inputs…) -> Result<Output, impl Into<PhaseError>>`",
    note = "each handle passed as an input arrives as one argument, in order, by value"
)]
pub trait PhaseFn<'a, W: Worker, Values> {
    /// The result of the phase.
    type Output;
    /// Begins one try.
    fn call(
        &self,
        worker: &'a W,
        cx: &'a Ctx<W::Job>,
        values: Values,
    ) -> BoxFuture<'a, Result<Self::Output, PhaseError>>;
}

/// A function that can run as a blocking phase: a `fn(&W, &Ctx<W::Job>, inputs…) -> Result<O, E>` whose error converts
/// into [`PhaseError`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot run as a blocking phase of `{W}` with these inputs",
    note = "a blocking phase is a `fn(&self, cx: &Ctx<Job>, inputs…) -> Result<Output, impl Into<PhaseError>>`",
    note = "each handle passed as an input arrives as one argument, in order, by value"
)]
pub trait BlockingPhaseFn<W: Worker, Values> {
    /// The result of the phase.
    type Output;
    /// Runs one try.
    ///
    /// # Errors
    /// Whatever the phase fails with.
    fn call(&self, worker: &W, cx: &Ctx<W::Job>, values: Values) -> Result<Self::Output, PhaseError>;
}

macro_rules! phase_with_inputs {
    ($($T:ident $t:ident),*) => {
        impl<'a, W, F, Fut, O, E, $($T),*> PhaseFn<'a, W, ($($T,)*)> for F
        where
            W: Worker,
            F: Fn(&'a W, &'a Ctx<W::Job>, $($T),*) -> Fut,
            Fut: Future<Output = Result<O, E>> + Send + 'a,
            E: Into<PhaseError>,
        {
            type Output = O;
            fn call(&self, worker: &'a W, cx: &'a Ctx<W::Job>, ($($t,)*): ($($T,)*))
            -> BoxFuture<'a, Result<O, PhaseError>> {
                let running = self(worker, cx, $($t),*);
                Box::pin(async move { running.await.map_err(Into::into) })
            }
        }
        impl<W, F, O, E, $($T),*> BlockingPhaseFn<W, ($($T,)*)> for F
        where
            W: Worker,
            F: Fn(&W, &Ctx<W::Job>, $($T),*) -> Result<O, E>,
            E: Into<PhaseError>,
        {
            type Output = O;
            fn call(&self, worker: &W, cx: &Ctx<W::Job>, ($($t,)*): ($($T,)*)) -> Result<O, PhaseError> {
                self(worker, cx, $($t),*).map_err(Into::into)
            }
        }
    };
}
phase_with_inputs!();
phase_with_inputs!(A a);
phase_with_inputs!(A a, B b);
phase_with_inputs!(A a, B b, C c);
phase_with_inputs!(A a, B b, C c, D d);
