//! How everything ends, in this order: claims, drain, abort, leases, last events, storage.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stepwell_core::{
    Error, JobId, Name, Result, SessionId,
    lease::Fence,
    machine::Command,
    store::{Answer, Request},
    time::Stopwatch,
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::workers::ShutdownTimeout;

use super::{
    core::{Engine, Stage},
    heartbeat,
    stop::Why,
};

/// What follows the abort has these times, counted from its end, so that a store that takes nothing holds up the end of
/// a process by no more than two seconds: for handlers that need a moment longer,
const HANDLERS: Duration = Duration::from_millis(500);
/// for giving back what is left,
const LEASES: Duration = Duration::from_millis(1_000);
/// for the engine's own tasks,
const TASKS: Duration = Duration::from_millis(1_200);
/// and for the session. The storage takes its own time for closing, which is short unless the disk stands still:
const SESSION: Duration = Duration::from_millis(1_400);
/// and then it is not waited for any longer than this.
const STORAGE: Duration = Duration::from_secs(5);

/// A wish to shut down.
#[derive(Clone, Copy)]
pub(crate) struct Shutdown {
    grace: Duration,
}

impl Shutdown {
    pub(crate) fn within(grace: Duration) -> Self {
        Self { grace }
    }
}

/// The one shutdown, whoever asked for it and how often.
pub(super) struct Ending {
    begun: Mutex<Option<Stopwatch>>,
    /// When the drain is over, from the beginning; it only ever gets shorter.
    limit: watch::Sender<Duration>,
    outcome: watch::Sender<Option<Outcome>>,
}

#[derive(Clone)]
struct Outcome {
    drained: Result<(), ShutdownTimeout>,
    closed: Result<()>,
}

impl Default for Ending {
    fn default() -> Self {
        Self {
            begun: Mutex::new(None),
            limit: watch::Sender::new(Duration::MAX),
            outcome: watch::Sender::new(None),
        }
    }
}

impl Engine {
    pub(crate) async fn shutdown(self: &Arc<Self>, wish: Shutdown) -> Result<(), ShutdownTimeout> {
        self.end(wish).await.drained
    }
    /// Stops claiming, and waits until nothing runs, for a time.
    pub(crate) async fn drain(self: &Arc<Self>, grace: Duration) -> bool {
        self.stop_claiming();
        let engine = self.clone();
        // There, because the caller's runtime may have no timers, and a handler may hold it up.
        let landed = self.thread.spawn(async move { landed_within(&engine, grace).await });
        AbortOnDropHandle::new(landed).await.unwrap_or(false)
    }
    pub(crate) async fn close(self: &Arc<Self>) -> Result<()> {
        self.end(Shutdown::within(Duration::ZERO)).await.closed
    }

    /// Begins to close without waiting for it.
    pub(crate) fn abandon(self: &Arc<Self>) {
        self.begin(Shutdown::within(Duration::ZERO));
    }

    async fn end(self: &Arc<Self>, wish: Shutdown) -> Outcome {
        self.begin(wish);
        let mut outcome = self.ending.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        ended.unwrap_or(Outcome { drained: Ok(()), closed: Err(Error::closed()) })
    }

    fn begin(self: &Arc<Self>, wish: Shutdown) {
        let mut begun = self.ending.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let first = begun.is_none();
        let since = begun.get_or_insert_with(Stopwatch::start).elapsed();
        let limit = since.saturating_add(wish.grace);
        self.ending.limit.send_if_modified(|current| {
            let shorter = limit < *current;
            *current = limit.min(*current);
            shorter
        });
        if first {
            self.stop_claiming();
            self.thread.spawn(drive(self.clone(), *begun.get_or_insert_with(Stopwatch::start)));
        }
    }
}

/// Runs on the engine's own thread: no handler can hold it up.
async fn drive(engine: Arc<Engine>, begun: Stopwatch) {
    drain(&engine, begun).await;
    let late = engine.flights.list();
    engine.flights.ask_all(Why::Drained);
    landed_within(&engine, engine.config.abort_grace).await;

    let aborted = Stopwatch::start();
    landed_within(&engine, left(&aborted, HANDLERS)).await;
    let left_over = engine.flights.list();
    // A handler that has finished is not stuck, even if its end cannot be written.
    let is_stuck = |(id, epoch, ..): &&Flying| !engine.flights.is_recording(*id, *epoch);
    let stuck: Vec<Flying> = left_over.iter().filter(is_stuck).cloned().collect();
    engine.flights.ask_all(Why::Lost);
    // A claim under way may have taken jobs. They are given back by the dispatcher's last act: if they were left to the
    // end of the session, they would count as crashed.
    engine.claims.close();
    let give_back = futures_util::future::join_all(left_over.iter().map(|flight| give_back(&engine, flight)));
    let given_back = async { tokio::join!(give_back, engine.claims.wait()) };
    if tokio::time::timeout(left(&aborted, LEASES), given_back).await.is_err() {
        tracing::error!("failed to give back all jobs in time; what is left is taken back as after a crash");
    }

    engine.advance(Stage::Stopped);
    engine.tasks.close();
    let ended = async { tokio::join!(engine.claims.wait(), engine.tasks.wait()) };
    if tokio::time::timeout(left(&aborted, TASKS), ended).await.is_err() {
        tracing::error!("the engine's tasks did not end in time");
    }
    heartbeat::stop(&engine);
    let mut closed = Ok(());
    if let Some(session) = engine.current_session() {
        give_back_rest(&engine, session, left(&aborted, SESSION)).await;
        closed = within(left(&aborted, SESSION), engine.store.close_session(session)).await;
    }
    engine.tail.close().await;
    engine.pool.close();
    #[cfg(feature = "webhooks")]
    engine.webhooks.stop();
    closed = closed.and(within(STORAGE, engine.store.close()).await);
    engine.fallback.stop();

    let name = |(id, _, _, phase): &Flying| (*id, phase.to_string());
    let is_stuck = |id: &JobId| stuck.iter().any(|(other, ..)| other == id);
    let drained = match late.is_empty() {
        true => Ok(()),
        false => Err(ShutdownTimeout {
            dropped: late.iter().filter(|(id, ..)| !is_stuck(id)).map(name).collect(),
            stuck: stuck.iter().map(name).collect(),
        }),
    };
    engine.ending.outcome.send_replace(Some(Outcome { drained, closed }));
}

/// A job under way: its epoch, its fence, its phase.
type Flying = (JobId, u64, Fence, Name);

/// On behalf of a handler that does not stop: its job goes on elsewhere, and it can change nothing more.
async fn give_back(engine: &Engine, (id, _, fence, _): &Flying) {
    let request = Request { job: *id, fence: *fence, commands: vec![Command::Release] };
    match engine.store.apply(request).await {
        Err(error) if !error.is_lease_lost() => {
            tracing::error!(job = %id, %error, "failed to give back a job; its lease will run out");
        }
        _ => {}
    }
}

fn left(since: &Stopwatch, limit: Duration) -> Duration {
    limit.saturating_sub(since.elapsed())
}

/// Gives back what the session owns although nothing of it runs: what a claim took whose answer nobody waited for.
async fn give_back_rest(engine: &Engine, session: SessionId, limit: Duration) {
    let rest = async {
        for (id, fence, _) in engine.store.owned(session).await? {
            let request = Request { job: id, fence, commands: vec![Command::Release] };
            engine.store.apply(request).await?;
        }
        Ok::<_, Error>(())
    };
    match tokio::time::timeout(limit, rest).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "failed to give back a job; it is taken back as after a crash");
        }
        Err(_) => tracing::warn!("failed to give back a job in time; it is taken back as after a crash"),
    }
}

/// Waits until nothing runs, or until the time for that is over.
async fn drain(engine: &Engine, begun: Stopwatch) {
    let mut limit = engine.ending.limit.subscribe();
    loop {
        let left = limit.borrow_and_update().saturating_sub(begun.elapsed());
        tokio::select! {
            landed = landed_within(engine, left) => {
                if landed || limit.borrow().saturating_sub(begun.elapsed()).is_zero() {
                    return;
                }
            }
            _ = limit.changed() => {}
        }
    }
}

/// Waits until nothing runs, and answers whether that is so.
async fn landed_within(engine: &Engine, limit: Duration) -> bool {
    let landed = async {
        loop {
            let landed = engine.flights.landed.notified();
            tokio::pin!(landed);
            landed.as_mut().enable();
            if engine.flights.running() == 0 {
                return;
            }
            landed.await;
        }
    };
    tokio::time::timeout(limit, landed).await.is_ok()
}

async fn within(limit: Duration, call: Answer<'_, ()>) -> Result<()> {
    let answer = tokio::time::timeout(limit, call).await;
    answer.unwrap_or_else(|_| Err(Error::busy("it did not close in time", limit)))
}
