//! On a store, with an engine of its own.

use std::time::Duration;

use stepwell::{Builder, EventStream, EventType, Stepwell, Workers, webhook::WebhookOptions};
use tokio::time::timeout;

use super::{Options, options::Lanes, session::Setting, told};
use crate::{
    failure::{FailedTo, Failure, code},
    interrupts::Interrupts,
    output::beside,
    store::StoreAddress,
};

/// When no event has come for so long after the last job has ended, all have been heard.
const QUIET: Duration = Duration::from_millis(50);

pub(super) async fn run(setting: Setting, address: &StoreAddress) -> Result<u8, Failure> {
    let Setting { programs, told, options } = setting;
    let lanes = options.lanes(&programs)?;
    if !address.exists() {
        let why = "there is no such file; name another with --store, or let `stepwell serve` make it";
        return Err(Failure::with_code(code::NOT_FOUND, format!("open {address}"), why));
    }
    // Before the store opens, which may take long.
    let mut interrupts = Interrupts::listen();
    let known = options.known_queues(&programs);
    let builder = builder(&options, address, &lanes);
    // A queue that is not worked is left to others.
    let others = known.into_iter().filter(|queue| !lanes.contains_key(queue));
    let builder = others.fold(builder, |builder, queue| builder.queue(queue, 0));
    let stepwell = tokio::select! {
        opened = builder.open() => opened.failed_to(format!("open {address}"))?,
        () = interrupts.next() => return Ok(0),
    };
    for notice in &stepwell.describe().notices {
        beside(format_args!("stepwell: {notice}"));
    }
    let mut ends = stepwell.events().of_types([EventType::Failed]).subscribe();
    let workers = stepwell.start();
    told.working(&options, &lanes, &address.to_string());

    let idle = tokio::select! {
        next_due = idle(&stepwell, &workers), if options.once => Some(next_due),
        () = interrupts.next() => None,
        () = workers.terminated() => None,
    };
    match idle {
        Some(next_due) => told.idle(next_due),
        None => told.ending(),
    }
    let has_failed = idle.is_some() && has_failed(&mut ends, &options, &lanes).await;
    let outcome = tokio::select! {
        outcome = workers.shutdown(options.grace) => outcome,
        () = interrupts.next() => workers.shutdown(Duration::ZERO).await,
    };
    if let Err(error) = outcome {
        beside(format_args!("stepwell: {error}; these jobs go on at the next start, or elsewhere"));
        return Ok(code::FAILURE);
    }
    Ok(match (idle, has_failed) {
        (Some(_), true) => code::JOB_FAILED,
        (None, _) if options.once => code::INTERRUPTED,
        _ => 0,
    })
}

fn builder(options: &Options, address: &StoreAddress, lanes: &Lanes) -> Builder {
    // Webhooks are for whoever was told where they may go.
    let builder = options.config.add_to(address.builder()).webhooks(WebhookOptions::new().idle());
    let builder = builder.node(options.name());
    lanes.iter().fold(builder, |builder, (queue, at_once)| builder.queue(queue.clone(), *at_once))
}

/// Waits until nothing is left to do, and answers when the next job is due.
async fn idle(stepwell: &Stepwell, workers: &Workers) -> Option<Duration> {
    loop {
        let next_due = workers.idle().await.map(|due| due.since(stepwell.clock().now()));
        if told::is_far(next_due) {
            return next_due;
        }
        tokio::time::sleep(next_due.unwrap_or_default()).await;
    }
}

/// Whether a job of these kinds and queues has failed meanwhile.
async fn has_failed(ends: &mut EventStream, options: &Options, lanes: &Lanes) -> bool {
    while let Ok(Some(event)) = timeout(QUIET, ends.next()).await {
        if lanes.contains_key(&event.queue) && options.config.kinds().any(|kind| kind == &*event.kind) {
            return true;
        }
    }
    false
}
