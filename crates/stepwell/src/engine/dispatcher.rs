//! Claims work for free slots.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stepwell_core::{
    Error, SessionId, Timestamp, limits,
    machine::Command,
    store::{Answer, ClaimRequest, Claimed, ClaimedBatch, Lane, Maintain, Request, WorkedPlan},
};
use tokio::runtime::Handle;

use super::{
    core::{Engine, Stage},
    flight::Flight,
    heartbeat,
};

/// How often to look when nobody said that there is work. Being told is only faster: this is what makes it certain.
const LOOK: Duration = Duration::from_secs(5);
/// The same with a clock that is moved by hand, which nobody is told of.
const LOOK_MANUAL: Duration = Duration::from_millis(20);
/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Jobs that take off one by one.
const FEW: usize = 4;

/// Opens the session, recovers what dead processes left, then claims until the engine drains.
pub(super) async fn run(engine: Arc<Engine>, handlers: Handle) {
    let mut stage = engine.stage.subscribe();
    tokio::select! {
        // What a claim has taken must be dealt with, so that the loop itself looks at the stage.
        () = dispatch(&engine, &handlers) => {}
        _ = async {
            stage.wait_for(|stage| *stage >= Stage::Stopped).await.ok();
        } => {}
    }
}

async fn dispatch(engine: &Arc<Engine>, handlers: &Handle) {
    let mut recovered = false;
    let mut asked = None;
    while !engine.is_draining() {
        let outcome = match recovered {
            true => claim(engine, handlers, &mut asked).await,
            false => recover(engine).await.map(|()| Looked::Full),
        };
        match outcome {
            Ok(Looked::Full) => recovered = true,
            Ok(Looked::Empty) => wait(engine, false).await,
            Ok(Looked::NoSlot) => wait(engine, true).await,
            // Its session has been given up.
            Err(error) if error.is_lease_lost() => {}
            Err(error) if error.is_closed() || error.is_fatal() => {
                tracing::error!(%error, "failed to claim; no more jobs are run");
                engine.stop_claiming();
            }
            Err(error) => {
                tracing::warn!(%error, "failed to claim; trying again");
                drained_or(engine, tokio::time::sleep(PAUSE)).await;
            }
        }
    }
    if let Some(Asked { claim, .. }) = asked
        && let Ok(batch) = claim.answer(engine).await
    {
        give_back(engine, batch.jobs).await;
    }
}

/// Jobs of processes that are known to be gone are taken back before anything is claimed.
async fn recover(engine: &Arc<Engine>) -> stepwell_core::Result<()> {
    let session = engine.session().await?;
    heartbeat::start(engine);
    let jitter = engine.entropy.jitter();
    while engine.store.maintain(Maintain { jitter, session: Some(session) }).await?.more
        && !engine.is_draining()
    {}
    Ok(())
}

enum Looked {
    /// Every free slot of some queue was filled: there may be more.
    Full,
    /// There was less work than free slots.
    Empty,
    /// There is no free slot, or none is to be filled.
    NoSlot,
}

/// A claim under way, and for what.
struct Asked<'a> {
    lanes: Vec<Lane>,
    claim: Claim<'a>,
}

/// A claim under way.
struct Claim<'a> {
    session: SessionId,
    answer: Answer<'a, ClaimedBatch>,
}

impl Claim<'_> {
    /// What it brings. A session that can claim nothing any more is given up.
    async fn answer(self, engine: &Engine) -> stepwell_core::Result<ClaimedBatch> {
        let answer = self.answer.await;
        if answer.as_ref().is_err_and(Error::is_lease_lost) {
            engine.lose_session(self.session);
        }
        answer
    }
}

/// Asks for as many jobs as there are free slots; none if there is none.
async fn ask(engine: &Engine) -> stepwell_core::Result<Option<Asked<'_>>> {
    let lanes = engine.flights.lanes();
    if lanes.is_empty() || engine.plans.is_empty() || engine.is_quiet() {
        return Ok(None);
    }
    engine.due.store(i64::MAX, Ordering::Release);
    let claim = ask_for(engine, lanes.clone(), engine.plans.clone()).await?;
    Ok(Some(Asked { lanes, claim }))
}

/// Asks for jobs of some kinds for free slots of some queues. The store begins at once, and whoever asks waits for the
/// answer when it likes.
async fn ask_for(
    engine: &Engine,
    lanes: Vec<Lane>,
    plans: Arc<Vec<WorkedPlan>>,
) -> stepwell_core::Result<Claim<'_>> {
    let wanted: usize = lanes.iter().map(|lane| lane.at_most).sum();
    let session = engine.session().await?;
    let tokens = engine.entropy.tokens(wanted.min(limits::CLAIM_BATCH_MAX));
    let answer = engine.store.claim(ClaimRequest { session, lanes, plans, tokens });
    Ok(Claim { session, answer })
}

/// Claims jobs of some kinds for free slots of some queues.
#[cfg(feature = "webhooks")]
pub(super) async fn claim_for(
    engine: &Engine,
    lanes: Vec<Lane>,
    plans: Arc<Vec<WorkedPlan>>,
) -> stepwell_core::Result<Vec<Claimed>> {
    let batch = ask_for(engine, lanes, plans).await?.answer(engine).await?;
    engine.learn_due(batch.next_due);
    Ok(batch.jobs)
}

async fn claim<'a>(
    engine: &'a Arc<Engine>,
    handlers: &Handle,
    asked: &mut Option<Asked<'a>>,
) -> stepwell_core::Result<Looked> {
    let under_way = match asked.take() {
        Some(under_way) => Some(under_way),
        None => ask(engine).await?,
    };
    let Some(Asked { mut lanes, claim }) = under_way else { return Ok(Looked::NoSlot) };
    let batch = claim.answer(engine).await?;
    let due = batch.next_due;
    engine.learn_due(due);
    for job in &batch.jobs {
        note(&mut lanes, job);
    }
    let filled = batch.jobs.len() >= limits::CLAIM_BATCH_MAX || lanes.iter().any(|lane| lane.at_most == 0);
    engine.pressure.note(filled);
    let jobs = batch.jobs.len();
    let registered = register(engine, batch.jobs).await;
    engine.looked(jobs, due);
    let Some(flights) = registered else { return Ok(Looked::Full) };
    if filled {
        // While these begin to run, the store looks for the next.
        *asked = ask(engine).await.unwrap_or_default();
    }
    take_off(handlers, flights);
    Ok(if filled { Looked::Full } else { Looked::Empty })
}

fn note(lanes: &mut [Lane], job: &Claimed) {
    if let Some(lane) = lanes.iter_mut().find(|lane| lane.queue == job.job.queue) {
        lane.at_most = lane.at_most.saturating_sub(1);
    }
}

/// Runs jobs that were claimed.
#[cfg(feature = "webhooks")]
pub(super) async fn depart(engine: &Arc<Engine>, handlers: &Handle, claimed: Vec<Claimed>) {
    if let Some(flights) = register(engine, claimed).await {
        take_off(handlers, flights);
    }
}

/// Takes slots for jobs that were claimed. None if they were claimed while the shutdown began: nothing of them has run,
/// and they are given back.
async fn register(engine: &Arc<Engine>, claimed: Vec<Claimed>) -> Option<Vec<Flight>> {
    if engine.is_draining() {
        give_back(engine, claimed).await;
        return None;
    }
    Some(Flight::depart(engine, claimed))
}

/// Many are spawned from within: a runtime takes its own tasks more cheaply than those of others.
fn take_off(handlers: &Handle, flights: Vec<Flight>) {
    if flights.len() <= FEW {
        flights.into_iter().for_each(|flight| drop(handlers.spawn(flight.fly())));
    } else {
        handlers.spawn(async {
            flights.into_iter().for_each(|flight| drop(tokio::spawn(flight.fly())));
        });
    }
}

async fn give_back(engine: &Engine, jobs: Vec<Claimed>) {
    for job in jobs.into_iter().map(|claimed| claimed.job) {
        let Some(fence) = job.owner_fence() else { continue };
        let request = Request { job: job.id, fence, commands: vec![Command::Release] };
        if let Err(error) = engine.store.apply(request).await {
            tracing::warn!(job = %job.id, %error, "failed to give back a job; its lease will run out");
        }
    }
}

/// Waits until there may be something to claim.
async fn wait(engine: &Engine, for_slot: bool) {
    let clock = engine.store.clock();
    let due = Timestamp::from_micros(engine.due.load(Ordering::Acquire));
    let look = match clock.is_manual() {
        true => LOOK_MANUAL,
        // Many processes that look must not look together.
        false => LOOK.mul_f64(0.5 + engine.entropy.jitter()),
    };
    let until_due = due.since(clock.now()).min(look);
    let something = async {
        tokio::select! {
            () = engine.flights.freed.notified() => {}
            // Without a free slot, more work is no reason to look.
            () = engine.work.notified(), if !for_slot => {}
            () = tokio::time::sleep(until_due), if !for_slot => {}
        }
    };
    drained_or(engine, something).await;
}

pub(super) async fn drained_or(engine: &Engine, other: impl Future<Output = ()>) {
    let mut stage = engine.stage.subscribe();
    tokio::select! {
        () = other => {}
        _ = stage.wait_for(|stage| *stage >= Stage::Draining) => {}
    }
}
