//! What a queue must be able to do to be measured, and the commands that follow from it.
use std::{future::Future, process, sync::Arc};

use crate::{
    Durability, Figures, Ledger, Payload, Report, Request, Result, bulk, callers, drain, idle, latency,
    monotonic_ns,
};

pub trait Queue: Clone + Send + Sync + 'static {
    /// What keeps jobs running; they may stop when it is dropped.
    type Workers: Send;

    /// How the queue is set up, for the table.
    const SETTINGS: &'static str;

    /// What must have happened to the store before the queue opens it.
    ///
    /// # Errors
    /// If the store cannot be prepared.
    fn prepare(_store: &str) -> Result<()> {
        Ok(())
    }

    /// Opens the store. Handlers do nothing but tell `ledger`; jobs have this many phases.
    fn open(store: &str, phases: u64, ledger: Arc<Ledger>) -> impl Future<Output = Result<Self>> + Send;

    /// Returns when the job is as durable as the queue makes it.
    fn enqueue(&self, payload: Payload) -> impl Future<Output = Result<()>> + Send;

    /// As [`enqueue`](Self::enqueue), for all of them in one call.
    fn enqueue_many(&self, payloads: Vec<Payload>) -> impl Future<Output = Result<()>> + Send;

    /// Starts to run what is due.
    fn start(&self) -> impl Future<Output = Result<Self::Workers>> + Send;

    /// Whether the store still holds a job that was claimed and has not ended.
    fn running(&self) -> impl Future<Output = Result<bool>> + Send;

    /// Puts jobs into the store that are only to be in the way.
    fn seed(&self, _request: &Request) -> impl Future<Output = Result<()>> + Send {
        async { Err("this subject cannot be filled".into()) }
    }

    /// A command that only this subject knows.
    fn other(
        &self,
        request: &Request,
        _ledger: &Ledger,
    ) -> impl Future<Output = Result<(Figures, Option<Self::Workers>)>> + Send {
        async { request.unknown() }
    }

    /// Called last: stops the workers if there are any, and leaves the store as a clean end of the process does.
    fn close(&self, _workers: Option<Self::Workers>) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Which store this is and how durable its commits are. Called once, before anything else is asked of the queue.
    fn durability(&self) -> impl Future<Output = Result<(String, Durability)>> + Send;
}

/// What was measured, and the workers if there were any.
pub(crate) type Measured<Q> = (Figures, Option<<Q as Queue>::Workers>);

/// Carries out the command line's request, prints the report and ends the program.
///
/// # Errors
/// If the queue, or reading the machine's figures, fails.
pub async fn run<Q: Queue>() -> Result<()> {
    let begun_ns = monotonic_ns();
    let request = Request::from_command_line();
    Q::prepare(&request.store)?;
    let counted = matches!(request.command.as_str(), "drain" | "latency" | "latency-across" | "webhooks");
    let ledger = Arc::new(Ledger::new(if counted { request.jobs } else { 0 }));
    let queue = Q::open(&request.store, request.phases, ledger.clone()).await?;
    let (store, durability) = queue.durability().await?;
    let (figures, workers) = match request.command.as_str() {
        "bulk" => (bulk::measure(request.jobs, |payloads| queue.enqueue_many(payloads)).await?, None),
        "callers" => {
            let queue = queue.clone();
            let enqueue = move |payload| {
                let queue = queue.clone();
                async move { queue.enqueue(payload).await }
            };
            (callers::measure(&request, enqueue).await?, None)
        }
        "drain" => drain::measure(&request, &queue, &ledger).await?,
        "latency" => latency::measure(&request, &queue, &ledger).await?,
        "latency-across" => latency::measure_across(&request, &queue, &ledger).await?,
        "call" => (latency::call(&request, &queue).await?, None),
        "idle" => idle::measure(&request, &queue).await?,
        "startup" => drain::first(begun_ns, &queue, &ledger).await?,
        "seed" => {
            queue.seed(&request).await?;
            (Figures::new(), None)
        }
        _ => queue.other(&request, &ledger).await?,
    };
    queue.close(workers).await?;
    Report::new(Q::SETTINGS, store, durability, figures).print()?;
    // Not every queue ends in bounded time, and all that was to be measured has been.
    process::exit(0);
}
