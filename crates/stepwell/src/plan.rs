//! The phases of one kind of job, as a worker declares them.

use std::{cell::RefCell, marker::PhantomData, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use stepwell_core::{
    Error, Json, Name, Result,
    plan::{PhaseSpec, PlanSpec},
    retry::Retry,
};

use crate::{
    ctx::Ctx,
    inputs::Inputs,
    job::{Job, Worker},
    phase_error::PhaseError,
    phase_fn::{BlockingPhaseFn, BoxFuture, PhaseFn},
};

/// The phases of one kind of job, in the order in which they run.
pub struct Plan<W: Worker> {
    declared: RefCell<Vec<Declared<W>>>,
}

struct Declared<W: Worker> {
    spec: PhaseSpec,
    run: Run<W>,
    manner: Manner,
}

/// How a phase runs, beside what is stored of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Elements of a fan-out at once.
    pub(crate) at_once: usize,
    /// Whether each try has a process of its own.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) is_isolated: bool,
    /// What that may use.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) limits: crate::process::Limits,
    /// How long it has to end once it is told to.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub(crate) grace: Duration,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            at_once: ELEMENTS_AT_ONCE,
            #[cfg(all(feature = "process", target_os = "linux"))]
            is_isolated: false,
            #[cfg(all(feature = "process", target_os = "linux"))]
            limits: crate::process::Limits::default(),
            #[cfg(all(feature = "process", target_os = "linux"))]
            grace: crate::process::GRACE,
        }
    }
}

/// A phase as it runs.
pub(crate) struct Planned<W: Worker> {
    pub(crate) run: Run<W>,
    pub(crate) manner: Manner,
}

/// How a phase runs, with its types erased.
pub(crate) enum Run<W: Worker> {
    /// On the application's runtime.
    Async(AsyncRun<W>),
    /// On a thread of the blocking pool.
    Blocking(BlockingRun<W>),
    /// Once for each element of a list, some at once, on the application's runtime.
    Each(AsyncRun<W>),
}

pub(crate) type AsyncRun<W> = Box<
    dyn for<'a> Fn(&'a W, &'a Ctx<<W as Worker>::Job>, &[Json]) -> BoxFuture<'a, Result<Json, PhaseError>>
        + Send
        + Sync,
>;
pub(crate) type BlockingRun<W> =
    Arc<dyn Fn(&W, &Ctx<<W as Worker>::Job>, &[Json]) -> Result<Json, PhaseError> + Send + Sync>;

/// A phase that has been declared: the handle by which later phases ask for its output.
pub struct Phase<'p, T> {
    settings: &'p dyn Settings,
    position: usize,
    output: PhantomData<fn() -> T>,
}

/// What a handle may change of its declaration, whatever the worker's type.
trait Settings {
    fn name(&self, position: usize) -> Name;
    fn set(&self, position: usize, change: &mut dyn FnMut(&mut PhaseSpec, &mut Manner));
}

impl<W: Worker> Settings for RefCell<Vec<Declared<W>>> {
    fn name(&self, position: usize) -> Name {
        self.borrow()[position].spec.name.clone()
    }
    fn set(&self, position: usize, change: &mut dyn FnMut(&mut PhaseSpec, &mut Manner)) {
        let declared = &mut self.borrow_mut()[position];
        change(&mut declared.spec, &mut declared.manner);
    }
}

impl<T> Clone for Phase<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Phase<'_, T> {}

impl<T> Phase<'_, T> {
    /// How often the phase is tried, and how long it waits in between. Five tries with exponential back-off unless set.
    pub fn retry(self, retry: Retry) -> Self {
        self.set(|spec, _| spec.retry = retry.clone())
    }
    /// The longest one try may run. When it is over, the try is dropped and counts as failed.
    pub fn timeout(self, limit: Duration) -> Self {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.set(|spec, _| spec.timeout_ms = Some(limit_ms))
    }
    /// Runs this phase in another queue than the rest of the job: on the machine with the graphics card, say.
    pub fn queue(self, queue: impl Into<Name>) -> Self {
        let queue = queue.into();
        self.set(|spec, _| spec.queue = Some(queue.clone()))
    }
    /// Accepts results stored under an earlier name, so that a phase can be renamed while jobs are under way.
    pub fn renamed_from(self, name: impl Into<Name>) -> Self {
        let name = name.into();
        self.set(|spec, _| spec.renamed_from = Some(name.clone()))
    }
    /// How many elements of a fan-out phase run at once: 16 unless set. Of no effect on other phases.
    pub fn at_once(self, elements: usize) -> Self {
        self.set(|_, manner| manner.at_once = elements.max(1))
    }
    /// Runs each try in a process of its own: a handler that never listens can be ended there, and one that crashes, or
    /// uses up its memory, fails its phase and nothing else.
    ///
    /// The program starts itself anew for it, and says to
    /// [`begin_with`](crate::process::begin_with) which workers it has. There the phase is given what it is given
    /// everywhere, and what it returns, saves and says arrives here; what it changes in memory does not. When it is
    /// cancelled, times out or must make way for a shutdown, [`Ctx::cancelled`] resolves there, and after its
    /// [`grace`](Self::grace) the process is killed, with all that it has started.
    ///
    /// [`open`](crate::Builder::open) refuses it in a program that does not call `begin_with`, and on a phase that fans
    /// out. In a [`TestBed`](crate::testing::TestBed) of such a program it runs as every other phase.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn isolated(self) -> Self {
        self.set(|_, manner| manner.is_isolated = true)
    }
    /// What the process of an [isolated](Self::isolated) phase may use. Of no effect on other phases.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn limits(self, limits: crate::process::Limits) -> Self {
        self.set(|_, manner| manner.limits = limits)
    }
    /// How long the process of an [isolated](Self::isolated) phase has to end once it is told to: 10 s unless set. A
    /// shutdown, and a cancelled job, may cut it short. Of no effect on other phases.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn grace(self, grace: Duration) -> Self {
        self.set(|_, manner| manner.grace = grace)
    }
    pub(crate) fn name(&self) -> Name {
        self.settings.name(self.position)
    }
    fn set(self, mut change: impl FnMut(&mut PhaseSpec, &mut Manner)) -> Self {
        self.settings.set(self.position, &mut change);
        self
    }
}

const ELEMENTS_AT_ONCE: usize = 16;

impl<W: Worker> Plan<W> {
    /// Asks a worker for its plan.
    pub(crate) fn of() -> Result<(PlanSpec, Vec<Planned<W>>)> {
        let kind = <W::Job as Job>::KIND;
        let plan = Self { declared: RefCell::default() };
        let last = W::plan(&plan).position;
        let declared = plan.declared.into_inner();
        if last + 1 != declared.len() {
            let (returned, last) = (&declared[last].spec.name, &declared[declared.len() - 1].spec.name);
            let problem =
                format!("returns phase `{returned}`, but its last phase is `{last}`; return that one");
            return Err(Error::invalid(format!("plan of `{kind}`"), problem));
        }
        #[cfg(all(feature = "process", target_os = "linux"))]
        if let Some(each) =
            declared.iter().find(|declared| declared.manner.is_isolated && declared.spec.fan_out)
        {
            let problem = format!(
                "isolates `{}`, which fans out; isolate a phase that takes the whole list, or do not isolate it",
                each.spec.name
            );
            return Err(Error::invalid(format!("plan of `{kind}`"), problem));
        }
        let split = |Declared { spec, run, manner }| (spec, Planned { run, manner });
        let (specs, planned) = declared.into_iter().map(split).unzip();
        let spec = PlanSpec { kind: kind.into(), phases: specs };
        spec.check()?;
        Ok((spec, planned))
    }

    /// Adds a phase that runs after every phase added so far.
    pub fn phase<I, F, O>(&self, name: impl Into<Name>, inputs: I, run: F) -> Phase<'_, O>
    where
        I: Inputs,
        F: for<'a> PhaseFn<'a, W, I::Values, Output = O> + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let run: AsyncRun<W> = Box::new(move |worker, cx, stored| match I::decode(stored) {
            Ok(values) => {
                cx.ends_with::<O>();
                let running = run.call(worker, cx, values);
                Box::pin(async move { encode(&running.await?) })
            }
            Err(error) => Box::pin(async move { Err(PhaseError::permanent(error)) }),
        });
        self.declare(name.into(), inputs.names(), Run::Async(run))
    }

    /// Adds a phase whose function blocks its thread: it reads files with `std::fs`, or computes for long.
    ///
    /// It runs on a bounded pool of threads of its own, so that it does not hold up the application's runtime. It can
    /// be asked to stop ([`Ctx::is_cancelled`]), but not made to: if it does not listen, its job ends without it, and
    /// its thread is replaced.
    pub fn blocking<I, F, O>(&self, name: impl Into<Name>, inputs: I, run: F) -> Phase<'_, O>
    where
        I: Inputs,
        F: BlockingPhaseFn<W, I::Values, Output = O> + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let run: BlockingRun<W> = Arc::new(move |worker, cx, stored| {
            let values = I::decode(stored).map_err(PhaseError::permanent)?;
            cx.ends_with::<O>();
            encode(&run.call(worker, cx, values)?)
        });
        self.declare(name.into(), inputs.names(), Run::Blocking(run))
    }

    /// Adds a phase that runs once for each element of an earlier phase's output.
    ///
    /// Each element's result is recorded when it is there: a try that is cut off goes on with the elements that are
    /// still missing. The phase's result is the list of them, in the order of its input.
    pub fn each<A, F, O>(&self, name: impl Into<Name>, items: Phase<'_, Vec<A>>, run: F) -> Phase<'_, Vec<O>>
    where
        A: DeserializeOwned + Send + 'static,
        F: for<'a> PhaseFn<'a, W, (A,), Output = O> + Send + Sync + 'static,
        O: Serialize + DeserializeOwned + Send + 'static,
    {
        let run: AsyncRun<W> = Box::new(move |worker, cx, element| match element[0].decode::<A>() {
            Ok(value) => {
                let running = run.call(worker, cx, (value,));
                Box::pin(async move { encode(&running.await?) })
            }
            Err(error) => Box::pin(async move { Err(PhaseError::permanent(error)) }),
        });
        let phase = self.declare(name.into(), vec![items.name()], Run::Each(run));
        phase.set(|spec, _| spec.fan_out = true)
    }

    fn declare<O>(&self, name: Name, inputs: Vec<Name>, run: Run<W>) -> Phase<'_, O> {
        let mut declared = self.declared.borrow_mut();
        let spec = PhaseSpec { inputs, ..PhaseSpec::new(name) };
        declared.push(Declared { spec, run, manner: Manner::default() });
        Phase { settings: &self.declared, position: declared.len() - 1, output: PhantomData }
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Json, PhaseError> {
    Json::of(value).map_err(PhaseError::permanent)
}
