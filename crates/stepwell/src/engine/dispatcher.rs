//! Claims work for free slots.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stepwell_core::{
    Timestamp, limits,
    machine::Command,
    store::{ClaimRequest, Claimed, Lane, Maintain, Request, WorkedPlan},
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
    while !engine.is_draining() {
        let outcome = match recovered {
            true => claim(engine, handlers).await,
            false => recover(engine).await.map(|()| Looked::Full),
        };
        match outcome {
            Ok(Looked::Full) => recovered = true,
            Ok(Looked::Empty) => wait(engine, false).await,
            Ok(Looked::NoSlot) => wait(engine, true).await,
            Err(error) if error.is_lease_lost() => engine.lose_session(),
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
    /// There is no free slot.
    NoSlot,
}

async fn claim(engine: &Arc<Engine>, handlers: &Handle) -> stepwell_core::Result<Looked> {
    let mut lanes = engine.flights.lanes();
    if lanes.is_empty() || engine.plans.is_empty() {
        return Ok(Looked::NoSlot);
    }
    engine.due.store(i64::MAX, Ordering::Release);
    let jobs = claim_for(engine, lanes.clone(), engine.plans.clone()).await?;
    let claimed = jobs.len();
    for job in jobs {
        note(&mut lanes, &job);
        depart(engine, handlers, job).await;
    }
    let filled = claimed >= limits::CLAIM_BATCH_MAX || lanes.iter().any(|lane| lane.at_most == 0);
    Ok(if filled { Looked::Full } else { Looked::Empty })
}

/// Claims jobs of some kinds for free slots of some queues.
pub(super) async fn claim_for(
    engine: &Engine,
    lanes: Vec<Lane>,
    plans: Arc<Vec<WorkedPlan>>,
) -> stepwell_core::Result<Vec<Claimed>> {
    let wanted: usize = lanes.iter().map(|lane| lane.at_most).sum();
    let session = engine.session().await?;
    let tokens = engine.entropy.tokens(wanted.min(limits::CLAIM_BATCH_MAX));
    let batch = engine.store.claim(ClaimRequest { session, lanes, plans, tokens }).await?;
    engine.learn_due(batch.next_due);
    Ok(batch.jobs)
}

fn note(lanes: &mut [Lane], job: &Claimed) {
    if let Some(lane) = lanes.iter_mut().find(|lane| lane.queue == job.job.queue) {
        lane.at_most = lane.at_most.saturating_sub(1);
    }
}

pub(super) async fn depart(engine: &Arc<Engine>, handlers: &Handle, claimed: Claimed) {
    let give_back = claimed.job.owner_fence().filter(|_| engine.is_draining());
    if let Some(fence) = give_back {
        // Claimed while the shutdown began: nothing of it has run.
        let request = Request { job: claimed.job.id, fence, commands: vec![Command::Release] };
        if let Err(error) = engine.store.apply(request).await {
            tracing::warn!(job = %claimed.job.id, %error, "failed to give back a job; its lease will run out");
        }
        return;
    }
    if let Some(flight) = Flight::depart(engine, claimed) {
        handlers.spawn(flight.fly());
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
        match for_slot {
            true => engine.flights.freed.notified().await,
            false => tokio::select! {
                () = engine.work.notified() => {}
                () = tokio::time::sleep(until_due) => {}
            },
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
