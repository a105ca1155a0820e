//! What keeps the leases, whatever children do.

use std::{sync::Arc, time::Duration};

use stepwell::Stopwatch;

use super::{
    desk::{Desk, Identity},
    lease::Why,
    link::{Call, Trouble},
    pause::Pause,
    wire::{Beat, Beaten, Desired, Status},
};
use crate::failure::Failure;

/// The longest between two heartbeats: they also tell what was cancelled.
const LONGEST: Duration = Duration::from_secs(2);

/// Sends heartbeats until it is dropped, or the server wants the worker to end.
///
/// # Errors
/// If the server refuses it.
pub(super) async fn run(desk: &Arc<Desk>) -> Result<(), Failure> {
    let mut identity = desk.identity();
    // By the worker's clock, so that it never counts on a lease that the server has given up.
    let mut renewed = Stopwatch::start();
    let mut pause = Pause::new();
    loop {
        let sent = Stopwatch::start();
        let left = identity.lease.saturating_sub(renewed.elapsed());
        let answer = match left.is_zero() {
            true => {
                desk.lose_all();
                beat(desk, &identity).await
            }
            false => match tokio::time::timeout(left, beat(desk, &identity)).await {
                Ok(answer) => answer,
                Err(_) => continue,
            },
        };
        match answer {
            Ok(desired) => {
                (renewed, pause) = (sent, Pause::new());
                desk.is_quiet.send_replace(desired == Desired::Quiet);
                if desired == Desired::Terminate && !desk.drained.is_cancelled() {
                    return Ok(());
                }
                let every = identity.beat_every.min(LONGEST);
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    // The server is told at once that nothing more will be claimed.
                    () = desk.drained.cancelled(), if !desk.drained.is_cancelled() => {}
                }
            }
            Err(Trouble::Away(_, after)) => {
                let left = identity.lease.saturating_sub(renewed.elapsed());
                tokio::select! {
                    () = pause.wait(after) => {}
                    () = tokio::time::sleep(left), if !left.is_zero() => {}
                }
            }
            Err(Trouble::Unknown(_)) => {
                desk.register_again(&identity).await?;
                renewed = Stopwatch::start();
            }
            Err(trouble) => return Err(trouble.failure()),
        }
        identity = desk.identity();
    }
}

/// Sends one, and does what it is answered.
async fn beat(desk: &Desk, identity: &Identity) -> Result<Desired, Trouble> {
    let held = desk.held();
    let leases = held.iter().map(|lease| &*lease.secret).collect();
    let state = if desk.drained.is_cancelled() { "quiet" } else { "running" };
    let path = format!("/api/v1/workers/{}/heartbeat", identity.id);
    let call = Call::post("send a heartbeat", &path);
    let Beaten { desired, leases } = desk.link.ask(&call, &Beat { state, leases }).await?;
    for standing in leases {
        let why = match standing.status {
            Status::Held => continue,
            Status::Cancel => Why::Cancelled,
            Status::Lost => Why::Lost,
        };
        if let Some(lease) = held.iter().find(|lease| lease.secret == standing.lease) {
            lease.ask(why);
        }
    }
    Ok(desired)
}
