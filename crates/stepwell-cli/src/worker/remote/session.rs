//! From start to exit code.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{claims, desk::Desk, heartbeat, lease::Why, link::Link};
use crate::{
    client::Target,
    failure::{Failure, code},
    interrupts::Interrupts,
    output::beside,
    worker::session::Setting,
};

/// How long a phase has that was told to stop because the worker ends.
const ABORT_GRACE: Duration = Duration::from_secs(1);
/// How long those that were killed have to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// What ends the work.
enum End {
    /// A signal, or an operator.
    Told,
    /// Nothing is left to do; the next job is due after this time.
    Idle(Option<Duration>),
    Failed(Failure),
}

pub(in crate::worker) async fn run(setting: Setting, target: &Target) -> Result<u8, Failure> {
    let Setting { programs, told, options } = setting;
    let lanes = options.lanes(&programs)?;
    let mut interrupts = Interrupts::listen();
    let name = options.name();
    let open = async {
        let link = Link::by(target.open().await?);
        Desk::open(link, programs, &name, &lanes).await
    };
    let (desk, mut trouble) = tokio::select! {
        opened = open => opened?,
        () = interrupts.next() => return Ok(0),
    };
    let desk = Arc::new(desk);
    told.working(&options, &lanes, &target.place()?);

    // It goes on until all is said, and must not be held up by what is done meanwhile.
    let beating = desk.clone();
    let mut beats = tokio::spawn(async move { heartbeat::run(&beating).await });
    let mut beating = true;
    let work = async {
        match options.once {
            true => claims::run_once(&desk, &lanes).await.map(End::Idle),
            false => claims::run(&desk, &lanes).await.map(|()| End::Told),
        }
    };
    let end = tokio::select! {
        end = work => end.unwrap_or_else(End::Failed),
        ended = &mut beats => {
            beating = false;
            match ended {
                Ok(Ok(())) => End::Told,
                Ok(Err(failure)) => End::Failed(failure),
                Err(error) => End::Failed(Failure::to("send heartbeats", error)),
            }
        }
        Some(failure) = trouble.recv() => End::Failed(failure),
        () = interrupts.next() => End::Told,
    };
    match &end {
        End::Idle(next_due) => told.idle(*next_due),
        End::Told => told.ending(),
        End::Failed(_) => {}
    }

    desk.drained.cancel();
    if !beating {
        // What still runs is kept while it ends.
        let beating = desk.clone();
        beats = tokio::spawn(async move { heartbeat::run(&beating).await });
    }
    let grace = if let End::Failed(_) = end { Duration::ZERO } else { options.grace };
    let has_drained = tokio::select! {
        drained = tokio::time::timeout(grace, desk.landed()) => drained.is_ok(),
        () = interrupts.next() => false,
    };
    if !has_drained {
        stop(&desk, &mut interrupts).await;
    }
    // A heartbeat that found the worker gone would register it anew.
    beats.abort();
    let has_left = desk.leave().await;
    match end {
        End::Failed(failure) => return Err(failure),
        _ if !has_drained => beside("stepwell: what still ran was stopped, and goes on elsewhere"),
        _ if !has_left => {
            beside("stepwell: the server was not told that this worker ends; it will notice");
        }
        _ => {}
    }
    Ok(match end {
        _ if !has_drained => code::FAILURE,
        End::Idle(_) if desk.has_failed.load(Ordering::Relaxed) => code::JOB_FAILED,
        End::Told if options.once => code::INTERRUPTED,
        _ => 0,
    })
}

/// Stops what still runs: it is asked, and a moment later, or with a further signal, killed.
async fn stop(desk: &Desk, interrupts: &mut Interrupts) {
    desk.held().iter().for_each(|lease| lease.ask(Why::Drained));
    tokio::select! {
        stopped = tokio::time::timeout(ABORT_GRACE, desk.landed()) => if stopped.is_ok() { return },
        () = interrupts.next() => {}
    }
    desk.aborted.cancel();
    tokio::time::timeout(GONE_WITHIN, desk.landed()).await.ok();
}
