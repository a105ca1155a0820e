//! Looks after what nobody else does: what is wanted of this process, the inbox, dead sessions, late cancellations,
//! expiry, retention, and jobs that this process and the store disagree about.

use std::{collections::HashSet, sync::Arc, time::Duration};

use stepwell_core::{
    JobId, Result,
    lease::Fence,
    machine::Command,
    store::{Maintain, Request},
    time::Stopwatch,
};

use super::{
    core::{Engine, Stage},
    orders::Orders,
};

/// Whoever writes much beside us must not make us look all the time.
const SPACING: Duration = Duration::from_millis(20);

pub(super) async fn run(engine: Arc<Engine>) {
    let mut stage = engine.stage.subscribe();
    tokio::select! {
        () = care(&engine) => {}
        _ = async {
            stage.wait_for(|stage| *stage >= Stage::Stopped).await.ok();
        } => {}
    }
}

async fn care(engine: &Engine) {
    let mut unclaimed = HashSet::new();
    let mut orders = Orders::default();
    let mut since_look = Stopwatch::start();
    let mut since_prune = Stopwatch::start();
    let prune_interval = engine.config.prune_interval();
    let mut pruned_once = false;
    loop {
        // Jitter keeps the caretakers of many processes apart.
        let interval = engine.config.care_interval.mul_f64(0.75 + engine.entropy.jitter() / 2.0);
        tokio::select! {
            () = engine.attention.notified() => {}
            () = tokio::time::sleep(interval.saturating_sub(since_look.elapsed())) => {}
            () = tokio::time::sleep(prune_interval.saturating_sub(since_prune.elapsed())) => {}
        }
        let mut looked = orders.hear(engine).await;
        looked = looked.and(look_after(engine).await);
        if since_look.elapsed() >= interval {
            since_look = Stopwatch::start();
            looked = looked.and(reconcile(engine, &mut unclaimed).await);
        }
        if !pruned_once || since_prune.elapsed() >= prune_interval {
            (pruned_once, since_prune) = (true, Stopwatch::start());
            looked = looked.and(prune(engine).await);
        }
        match looked {
            Ok(()) => tokio::time::sleep(SPACING).await,
            Err(error) if error.is_closed() => return,
            Err(error) => {
                tracing::warn!(%error, "failed to look after the queue; trying again");
                tokio::time::sleep(engine.config.care_interval).await;
            }
        }
    }
}

async fn look_after(engine: &Engine) -> Result<()> {
    let session = engine.current_session();
    if let Some(session) = session
        && engine.flights.running() > 0
    {
        for (id, fence, cancelling) in engine.store.owned(session).await? {
            if let (true, Fence::Owner { epoch, .. }) = (cancelling, fence) {
                engine.flights.cancel(id, epoch);
            }
        }
    }
    loop {
        let jitter = engine.entropy.jitter();
        if !engine.store.maintain(Maintain { jitter, session }).await?.more {
            return Ok(());
        }
    }
}

/// Compares the jobs that run here with those that the store counts as ours.
async fn reconcile(engine: &Engine, unclaimed: &mut HashSet<(JobId, u64)>) -> Result<()> {
    let Some(session) = engine.current_session() else { return Ok(()) };
    // Listed first: whatever runs now was claimed before, and so is found below unless it was lost.
    let running = engine.flights.list();
    let owned = engine.store.owned(session).await?;
    let key = |id: JobId, fence: Fence| match fence {
        Fence::Owner { epoch, .. } => (id, epoch),
        _ => (id, 0),
    };
    let owned: Vec<((JobId, u64), Fence)> =
        owned.into_iter().map(|(id, fence, _)| (key(id, fence), fence)).collect();
    let known: HashSet<(JobId, u64)> = owned.iter().map(|(key, _)| *key).collect();
    for (id, epoch, _, _) in running {
        if !known.contains(&(id, epoch))
            && let Some(phase) = engine.flights.lost(id, epoch)
        {
            tracing::error!(job = %id, %phase, "the handler does not stop although its job has gone; it is replaced");
        }
    }

    // Owned by this session, but not run by it: a claim or an end whose answer was lost. Seen twice, it is given back.
    let running: HashSet<(JobId, u64)> =
        engine.flights.list().into_iter().map(|(id, epoch, ..)| (id, epoch)).collect();
    let mut seen = HashSet::new();
    for (key, fence) in owned.into_iter().filter(|(key, _)| !running.contains(key)) {
        if !unclaimed.contains(&key) {
            seen.insert(key);
            continue;
        }
        tracing::warn!(job = %key.0, "a job of this session is not run by it; it is given back");
        match engine.store.apply(Request { job: key.0, fence, commands: vec![Command::Release] }).await {
            Err(error) if !error.is_lease_lost() => return Err(error),
            _ => {}
        }
    }
    *unclaimed = seen;
    Ok(())
}

async fn prune(engine: &Engine) -> Result<()> {
    while engine.store.prune(engine.config.retention.clone()).await?.more && !engine.is_draining() {
        // Retention takes its turn among the others' commits.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
