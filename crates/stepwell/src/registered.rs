//! A worker with its types erased.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::value::RawValue;
use stepwell_core::{
    Error, Json, Name, Result, limits, machine::Command, phase, plan::PlanSpec, store::Element,
};

use crate::{
    blocking::BlockingPool,
    ctx::{Ctx, PhaseRun, decode_error},
    job::{Job, Worker},
    phase_error::PhaseError,
    phase_fn::BoxFuture,
    plan::{AsyncRun, Plan, Planned, Run},
};

/// A worker with its types erased.
pub(crate) trait AnyWorker: Send + Sync {
    fn spec(&self) -> &Arc<PlanSpec>;
    /// Whether it sees to the time limit of the phase at this position itself.
    fn keeps_time(&self, _position: usize) -> bool {
        false
    }
    /// Whether phases of it run in processes of their own, which are this program again.
    #[cfg(all(feature = "process", target_os = "linux"))]
    fn is_isolated(&self) -> bool {
        false
    }
    /// Runs one try of the phase at this position of the plan.
    fn run(self: Arc<Self>, position: usize, given: Given) -> BoxFuture<'static, Result<Json, PhaseError>>;
}

/// What a try is given.
pub(crate) struct Given {
    pub(crate) payload: Json,
    /// The queue that the job is in.
    #[cfg_attr(not(all(feature = "process", target_os = "linux")), expect(dead_code))]
    pub(crate) queue: Name,
    /// Stored results, in the order of the phase's inputs.
    pub(crate) inputs: Vec<Json>,
    /// Elements that earlier tries have finished.
    pub(crate) elements: Vec<Element>,
    pub(crate) phase_run: Arc<PhaseRun>,
    pub(crate) pool: BlockingPool,
}

pub(crate) struct Registered<W: Worker> {
    worker: Arc<W>,
    spec: Arc<PlanSpec>,
    phases: Vec<Planned<W>>,
}

impl<W: Worker> Registered<W> {
    pub(crate) fn new(worker: W) -> Result<Self> {
        let (spec, phases) = Plan::<W>::of()?;
        Ok(Self { worker: Arc::new(worker), spec: Arc::new(spec), phases })
    }
    /// Whether this phase runs in a child, here and now: what was started for it runs it itself.
    #[cfg(all(feature = "process", target_os = "linux"))]
    fn isolates(&self, position: usize) -> bool {
        self.phases[position].manner.is_isolated && crate::process::can_isolate()
    }
}

impl<W: Worker> AnyWorker for Registered<W> {
    fn spec(&self) -> &Arc<PlanSpec> {
        &self.spec
    }

    #[cfg(all(feature = "process", target_os = "linux"))]
    fn keeps_time(&self, position: usize) -> bool {
        self.isolates(position)
    }
    #[cfg(all(feature = "process", target_os = "linux"))]
    fn is_isolated(&self) -> bool {
        self.phases.iter().any(|phase| phase.manner.is_isolated)
    }

    fn run(self: Arc<Self>, position: usize, given: Given) -> BoxFuture<'static, Result<Json, PhaseError>> {
        #[cfg(all(feature = "process", target_os = "linux"))]
        if self.isolates(position) {
            let manner = self.phases[position].manner;
            return Box::pin(crate::process::run_isolated(self.spec.clone(), position, manner, given));
        }
        Box::pin(async move {
            let Given { payload, inputs, elements, phase_run, pool, .. } = given;
            let job: W::Job = payload
                .decode()
                .map_err(|error| PhaseError::permanent(decode_error(<W::Job as Job>::KIND, &error)))?;
            let cx = Ctx::new(job, phase_run.clone());
            let Planned { run, manner } = &self.phases[position];
            let result = match run {
                Run::Async(run) => run(&self.worker, &cx, &inputs).await?,
                Run::Blocking(run) => {
                    let (run, worker) = (run.clone(), self.worker.clone());
                    match pool.run(move || run(&worker, &cx, &inputs)).await {
                        Ok(outcome) => outcome?,
                        // The panic goes on where every handler's panic is caught.
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                }
                Run::Each(run) => {
                    let at_once = manner.at_once;
                    let collected =
                        each(&*self.worker, run, at_once, &cx, &phase_run, &inputs[0], elements).await?;
                    return within("the collected list", collected, limits::COLLECTED_BYTES_MAX);
                }
            };
            within("the result", result, limits::RESULT_BYTES_MAX)
        })
    }
}

fn within(what: &str, value: Json, limit: usize) -> Result<Json, PhaseError> {
    if value.bytes() <= limit {
        return Ok(value);
    }
    let problem = format!(
        "is {} bytes long, the limit is {limit}; store the data elsewhere, return where",
        value.bytes()
    );
    Err(PhaseError::permanent(Error::invalid(what, problem)))
}

/// Runs a fan-out phase: the elements that are missing, so many at once, each recorded when it is there.
async fn each<W: Worker>(
    worker: &W,
    run: &AsyncRun<W>,
    at_once: usize,
    cx: &Ctx<W::Job>,
    phase_run: &PhaseRun,
    list: &Json,
    finished: Vec<Element>,
) -> Result<Json, PhaseError> {
    let inputs: Vec<Box<RawValue>> = list.decode().map_err(PhaseError::permanent)?;
    if inputs.len() > limits::ELEMENTS_MAX {
        let problem = format!("has {} elements, the limit is {}", inputs.len(), limits::ELEMENTS_MAX);
        return Err(PhaseError::permanent(Error::invalid("the list", problem)));
    }
    let mut results: Vec<Option<Json>> = vec![None; inputs.len()];
    for element in finished {
        let place = usize::try_from(element.index).unwrap_or(usize::MAX);
        // A deploy may have changed what the list is made of: then the stored result is another input's.
        if inputs.get(place).is_some_and(|input| phase::short_hash(input.get()) == element.input_hash) {
            results[place] = Some(element.result);
        }
    }
    let missing: Vec<usize> = (0..inputs.len()).filter(|place| results[*place].is_none()).collect();
    let mut missing = missing.into_iter();
    let one = |place: usize| {
        let input = &inputs[place];
        async move {
            let element = Json::from_text(input.get()).map_err(PhaseError::permanent)?;
            let result = run(worker, cx, &[element]).await?;
            let result = within("the element's result", result, limits::RESULT_BYTES_MAX)?;
            let command = Command::EndElement {
                phase: phase_run.phase.clone(),
                index: u32::try_from(place).unwrap_or(u32::MAX),
                input_hash: phase::short_hash(input.get()),
                result: result.clone(),
            };
            phase_run.write_in_any_case(command).await?;
            Ok::<_, PhaseError>((place, result))
        }
    };
    let mut running: FuturesUnordered<_> = missing.by_ref().take(at_once).map(one).collect();
    let mut failed = None;
    while let Some(outcome) = running.next().await {
        match outcome {
            Ok((place, result)) => results[place] = Some(result),
            // The others that have begun are let finish: what they did is recorded, and not done again.
            Err(error) => failed = failed.or(Some(error)),
        }
        if failed.is_none()
            && let Some(next) = missing.next()
        {
            running.push(one(next));
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Json::of(&results).map_err(PhaseError::permanent),
    }
}
