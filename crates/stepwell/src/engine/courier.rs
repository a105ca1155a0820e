//! Turns events into deliveries, and claims deliveries for free slots of their receivers.
//!
//! It is a second dispatcher, for queues that come and go: one for each endpoint that something waits for. Ordinary
//! claims never look at them, so that however many receivers are slow, no other job waits for it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use stepwell_core::{
    JobState, Name, Result, Timestamp,
    store::Lane,
    time::Stopwatch,
    webhook::{self, QUEUE},
};
use tokio::runtime::Handle;

use crate::webhook::FanOut;

use super::{
    core::{Engine, Stage},
    dispatcher,
};

/// The log is read at most so often, so that a busy queue is read in pages and not event by event.
const SPACING: Duration = Duration::from_millis(20);
/// How often to look when nobody said that there is something.
const LOOK: Duration = Duration::from_secs(5);
/// The same with a clock that is moved by hand, which nobody is told of.
const LOOK_MANUAL: Duration = Duration::from_millis(20);
/// How long to wait after the store failed, or another process was faster.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads the log for webhooks, until everything else has ended: so that what the last deliveries say is recorded.
pub(super) async fn fan_out(engine: Arc<Engine>) {
    let mut reader = FanOut::new(engine.webhooks.clone());
    let mut stage = engine.stage.subscribe();
    loop {
        let stopped = *stage.borrow_and_update() >= Stage::Stopped;
        let begun = Stopwatch::start();
        let outcome = match stopped {
            true => reader.finish().await.map(|()| false),
            false => reader.pass().await,
        };
        if !stopped {
            let rest = engine.pressure.rest(begun.elapsed(), reader.behind());
            dispatcher::drained_or(&engine, rest).await;
        }
        let pause = match outcome {
            _ if stopped => return,
            Ok(true) => Duration::ZERO,
            Ok(false) => {
                tokio::select! {
                    () = engine.log_grown.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                    _ = stage.changed() => continue,
                }
                SPACING
            }
            Err(error) if error.is_closed() || error.is_fatal() => return,
            Err(error) => {
                tracing::warn!(%error, "failed to read the log for webhooks; trying again");
                PAUSE.mul_f64(0.5 + engine.entropy.jitter())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stage.changed() => {}
        }
    }
}

/// Claims deliveries until the engine drains.
pub(super) async fn run(engine: Arc<Engine>, senders: Handle) {
    let mut stage = engine.stage.subscribe();
    tokio::select! {
        // What a claim has taken must be dealt with, so that the loop itself looks at the stage.
        () = claim_all(&engine, &senders) => {}
        _ = async {
            stage.wait_for(|stage| *stage >= Stage::Stopped).await.ok();
        } => {}
    }
}

async fn claim_all(engine: &Arc<Engine>, senders: &Handle) {
    let mut since_look: Option<Stopwatch> = None;
    // Claims in a row that brought nothing.
    let mut empty = 0;
    while !engine.is_draining() {
        let look = if engine.store.clock().is_manual() { LOOK_MANUAL } else { LOOK };
        let mut looked = Ok(());
        if since_look.as_ref().is_none_or(|since| since.elapsed() >= look) {
            since_look = Some(Stopwatch::start());
            looked = look_for_lanes(engine).await;
        }
        let claimed = match looked {
            Ok(()) => claim(engine, senders).await,
            Err(error) => Err(error),
        };
        match claimed {
            Ok(Some(0)) => empty += 1,
            Ok(Some(_)) => empty = 0,
            Ok(None) => {
                wait(engine, look).await;
                empty = 0;
            }
            // Its session has been given up.
            Err(error) if error.is_lease_lost() => {}
            Err(error) if error.is_closed() || error.is_fatal() => return,
            Err(error) => {
                tracing::warn!(%error, "failed to claim deliveries; trying again");
                dispatcher::drained_or(engine, tokio::time::sleep(PAUSE)).await;
            }
        }
        // Every lane has had its turn.
        if empty * crate::webhook::LANES_AT_ONCE >= engine.webhooks.lanes.len().max(1) {
            wait(engine, look).await;
            empty = 0;
        }
    }
}

/// Finds the queues that hold deliveries: also those that another process, or an earlier one, has put there.
async fn look_for_lanes(engine: &Engine) -> Result<()> {
    let lanes = &engine.webhooks.lanes;
    let look = lanes.begin_look();
    let counts = engine.store.counts().await?;
    let waiting = counts.into_iter().filter(|count| {
        &*count.kind == webhook::KIND
            && count.state == JobState::Pending
            && count.n > 0
            && count.queue.starts_with(QUEUE)
    });
    let waiting: Vec<Name> = waiting.map(|count| count.queue).collect();
    for queue in lanes.end_look(look, &waiting, engine.store.clock().now()) {
        engine.flights.close_lane(&queue);
    }
    Ok(())
}

/// Claims for the free slots of the lanes whose turn it is. None if there is no free slot.
async fn claim(engine: &Arc<Engine>, senders: &Handle) -> Result<Option<usize>> {
    let at_once = engine.webhooks.options.at_once;
    let free = |queue: Name| {
        let at_most = engine.flights.free_in_lane(&queue, at_once);
        (at_most > 0).then_some(Lane { queue, at_most })
    };
    let lanes: Vec<Lane> =
        engine.webhooks.lanes.next(engine.store.clock().now()).into_iter().filter_map(free).collect();
    if lanes.is_empty() || engine.is_quiet() {
        return Ok(None);
    }
    engine.delivery_due.store(i64::MAX, Ordering::Release);
    let begun = Stopwatch::start();
    let jobs = dispatcher::claim_for(engine, lanes, engine.delivery_plans.clone()).await?;
    let (claimed, worked) = (jobs.len(), begun.elapsed());
    let (now, oldest) =
        (engine.store.clock().now(), jobs.iter().map(|claimed| claimed.job.available_at).min());
    dispatcher::depart(engine, senders, jobs).await;
    let rest = engine.pressure.rest(worked, oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)));
    dispatcher::drained_or(engine, rest).await;
    Ok(Some(claimed))
}

/// Waits until there may be something to claim.
async fn wait(engine: &Engine, look: Duration) {
    let lanes = &engine.webhooks.lanes;
    let now = engine.store.clock().now();
    let due = Timestamp::from_micros(engine.delivery_due.load(Ordering::Acquire));
    let nothing_due = due.as_micros() == i64::MAX;
    // Whoever else's job becomes due is no reason to look more often than this.
    let until_due = if nothing_due { look } else { due.since(now).max(SPACING) };
    let sleep = until_due.min(look).min(lanes.held_for(now).unwrap_or(look));
    let something = async {
        tokio::select! {
            () = lanes.opened() => {}
            () = engine.flights.lane_freed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    };
    dispatcher::drained_or(engine, something).await;
}
