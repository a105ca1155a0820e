//! From free slots to flights.

use std::{sync::Arc, time::Duration};

use stepwell::{Name, Stopwatch};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};

use super::{desk::Desk, flight::Flight, wire::Claimed};
use crate::{
    failure::{FailedTo, Failure},
    worker::{options::Lanes, told},
};

/// Phases in one claim.
const CLAIM_MAX: usize = 100;
/// How long a claim waits for something to do.
const WAIT: Duration = Duration::from_secs(20);
/// Between two claims of which the first was answered at once, with nothing: a server that ends does that.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest between two looks at whether anything is left to do.
const LOOK: Duration = Duration::from_secs(1);

/// Claims for each queue, until nothing more is to be claimed.
///
/// # Errors
/// If the server refuses it.
pub(super) async fn run(desk: &Arc<Desk>, lanes: &Lanes) -> Result<(), Failure> {
    let mut queues = JoinSet::new();
    for (queue, at_once) in lanes {
        queues.spawn(work(desk.clone(), queue.clone(), *at_once));
    }
    while let Some(ended) = queues.join_next().await {
        ended.failed_to("claim phases")??;
    }
    Ok(())
}

async fn work(desk: Arc<Desk>, queue: Name, at_once: usize) -> Result<(), Failure> {
    let slots = Slots(Arc::new(Semaphore::new(at_once)));
    while !desk.drained.is_cancelled() {
        tokio::select! {
            () = desk.drained.cancelled() => break,
            () = not_quiet(&desk) => {}
        }
        let free = slots.some().await?;
        let asked = Stopwatch::start();
        let claimed = desk.claim(&queue, free.num_permits(), WAIT).await?;
        if claimed.claims.is_empty() && asked.elapsed() < PAUSE {
            tokio::time::sleep(PAUSE).await;
        }
        take_off(&desk, claimed, free);
    }
    Ok(())
}

async fn not_quiet(desk: &Desk) {
    // It cannot be closed while it is looked at.
    desk.is_quiet.subscribe().wait_for(|quiet| !quiet).await.ok();
}

/// Works until nothing is left to do, and answers when the next job is due.
///
/// # Errors
/// If the server refuses it.
pub(super) async fn run_once(desk: &Arc<Desk>, lanes: &Lanes) -> Result<Option<Duration>, Failure> {
    let lanes: Vec<(&Name, Slots)> =
        lanes.iter().map(|(queue, at_once)| (queue, Slots(Arc::new(Semaphore::new(*at_once))))).collect();
    loop {
        let mut flying = desk.flying.subscribe();
        // Seen before the claims: what leaves for another queue meanwhile is found by the next ones.
        let under_way = *flying.borrow_and_update();
        let (mut some, mut next_due) = (false, None);
        for (queue, slots) in &lanes {
            let Some(free) = slots.any()? else { continue };
            let claimed = desk.claim(queue, free.num_permits(), Duration::ZERO).await?;
            some |= !claimed.claims.is_empty();
            let due = claimed.next_due_ms.map(Duration::from_millis);
            next_due = next_due.into_iter().chain(due).min();
            take_off(desk, claimed, free);
        }
        match (some, under_way) {
            (true, _) => {}
            (false, 0) if told::is_far(next_due) => return Ok(next_due),
            (false, _) => tokio::select! {
                // It cannot be closed while it is looked at.
                _ = flying.changed() => {}
                () = tokio::time::sleep(next_due.unwrap_or(LOOK).min(LOOK)) => {}
            },
        }
    }
}

fn take_off(desk: &Arc<Desk>, claimed: Claimed, mut free: OwnedSemaphorePermit) {
    for claim in claimed.claims {
        // The server gives no more than were asked for; what it gave all the same is given back by the heartbeats.
        let Some(slot) = free.split(1) else { break };
        Flight::depart(desk, claim, slot);
    }
}

/// The slots of a queue.
struct Slots(Arc<Semaphore>);

impl Slots {
    /// Waits for a free one, and takes all that are.
    async fn some(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let mut taken = self.0.clone().acquire_owned().await.failed_to("take a slot")?;
        if let Some(more) = self.any()? {
            taken.merge(more);
        }
        Ok(taken)
    }
    /// Takes all that are free, as far as one claim can fill them.
    fn any(&self) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let free = self.0.available_permits().min(CLAIM_MAX - 1);
        if free == 0 {
            return Ok(None);
        }
        let free = u32::try_from(free).failed_to("count slots")?;
        Ok(self.0.clone().try_acquire_many_owned(free).ok())
    }
}
