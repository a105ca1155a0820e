//! The sign of life, on a thread of its own: nothing that a handler or a runtime does can hold it up.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use stepwell_core::time::Stopwatch;

use super::core::Engine;

#[derive(Default)]
pub(super) struct Heartbeat {
    stopped: Mutex<bool>,
    stop: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Starts beating, if it does not yet.
pub(super) fn start(engine: &Arc<Engine>) {
    let mut running = engine.heartbeat.thread.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_some() {
        return;
    }
    let beating = engine.clone();
    match thread::Builder::new().name("stepwell-heartbeat".into()).spawn(move || beat(&beating)) {
        Ok(thread) => *running = Some(thread),
        // Without it the lease runs out, and the jobs are run elsewhere: late, but not wrong.
        Err(error) => tracing::error!(%error, "failed to start the heartbeat"),
    }
}

fn beat(engine: &Engine) {
    let interval = engine.config.beat_interval();
    // Renewed a little before the others may take it for lost.
    let margin = engine.config.lease_ttl - engine.config.lease_ttl / 10;
    let mut last_ok = Stopwatch::start();
    let mut stopped = engine.heartbeat.stopped.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stopped {
        drop(stopped);
        if let Some(session) = engine.current_session() {
            // Measured from before the beat: however long it takes, the lease is not longer.
            let begun = Stopwatch::start();
            match engine.store.beat(session) {
                Ok(beat) if beat.alive => last_ok = begun,
                Ok(_) => {
                    tracing::error!(%session, "the session was taken for dead; its jobs run elsewhere");
                    engine.lose_session(session);
                    // The next one is as old as its first beat.
                    last_ok = begun;
                }
                Err(error) if last_ok.elapsed() >= margin => {
                    tracing::error!(%session, %error, "failed to keep the lease alive; its jobs are given up");
                    engine.lose_session(session);
                    last_ok = begun;
                }
                Err(error) => tracing::warn!(%session, %error, "failed to record a heartbeat"),
            }
        }
        stopped = engine.heartbeat.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if !*stopped {
            stopped = engine
                .heartbeat
                .stop
                .wait_timeout(stopped, interval)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Stops beating.
pub(super) fn stop(engine: &Engine) {
    *engine.heartbeat.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
    engine.heartbeat.stop.notify_all();
    let thread = engine.heartbeat.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        tracing::error!("the heartbeat panicked");
    }
}
