//! A phase that the worker holds, and what is said about it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use stepwell::{Error, Json, PhaseError, Progress, limits::LOG_LINES_MAX, process::Supervisor};
use tokio::sync::{Notify, watch};

use super::{
    desk::Desk,
    link::{Call, Trouble},
    pause::Pause,
    wire::{Checkpoint, Completion, ErrorText, FailedTry, Lines, Nothing, Reported, Snooze},
};
use crate::{failure::Failure, output::beside};

/// How often what a child says for people is told.
const NOTES_INTERVAL: Duration = Duration::from_secs(1);

/// Why a phase must stop. It only ever gets more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// Its job was cancelled.
    Cancelled,
    /// The worker ends, and the time for finishing is over.
    Drained,
    /// The lease was lost: nothing may be said any more.
    Lost,
}

/// A phase that the worker holds.
pub(super) struct Lease {
    desk: Arc<Desk>,
    pub(super) secret: String,
    /// The phase, for people.
    named: String,
    why: watch::Sender<Option<Why>>,
    said: Mutex<Said>,
    /// Woken when there is something to tell, and when there will be no more.
    dirty: Notify,
}

/// What a child has said and nobody has told the server.
#[derive(Default)]
struct Said {
    progress: Option<Progress>,
    lines: Vec<String>,
    ended: bool,
}

/// Why something could not be said.
pub(super) enum Unsaid {
    /// The lease is lost, or everything ends.
    Gone,
    Refused(Failure),
}

impl Lease {
    pub(super) fn new(desk: Arc<Desk>, secret: String, named: String) -> Self {
        let (why, said, dirty) = (watch::Sender::new(None), Mutex::default(), Notify::new());
        Self { desk, secret, named, why, said, dirty }
    }
    fn lock(&self) -> MutexGuard<'_, Said> {
        // Nothing that can panic runs under the lock.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants the phase to stop.
    pub(super) fn ask(&self, why: Why) {
        self.why.send_if_modified(|known| {
            let urgent = *known < Some(why);
            if urgent {
                *known = Some(why);
            }
            urgent
        });
    }
    pub(super) fn why(&self) -> Option<Why> {
        *self.why.borrow()
    }
    async fn asked(&self, at_least: Why) {
        // It cannot be closed while it is looked at.
        self.why.subscribe().wait_for(|why| *why >= Some(at_least)).await.ok();
    }
    /// Resolves when nothing about the phase matters any more.
    pub(super) async fn gone(&self) {
        tokio::select! {
            () = self.asked(Why::Lost) => {}
            () = self.desk.aborted.cancelled() => {}
        }
    }

    /// Says something until it is answered.
    async fn say<T: DeserializeOwned>(&self, verb: &str, body: &impl Serialize) -> Result<T, Unsaid> {
        let path = format!("/api/v1/claims/{}/{verb}", self.secret);
        let what = format!("report on {}", self.named);
        let call = Call::post(&what, &path);
        let said = async {
            let mut pause = Pause::new();
            loop {
                match self.desk.link.ask(&call, body).await {
                    Ok(answer) => return Ok(answer),
                    Err(Trouble::Away(_, after)) => pause.wait(after).await,
                    Err(Trouble::LeaseLost | Trouble::Unknown(_)) => {
                        self.ask(Why::Lost);
                        return Err(Unsaid::Gone);
                    }
                    Err(Trouble::Refused(failure)) => return Err(Unsaid::Refused(failure)),
                }
            }
        };
        tokio::select! {
            said = said => said,
            () = self.gone() => Err(Unsaid::Gone),
        }
    }

    /// Tells what the child says for people, until it has ended and all of it is told.
    pub(super) async fn tell(&self) {
        loop {
            self.dirty.notified().await;
            let more_may_come = !self.lock().ended;
            if more_may_come {
                // Many words make one call; the end of the phase is not kept waiting for them.
                tokio::time::timeout(NOTES_INTERVAL, self.ended()).await.ok();
            }
            let (progress, lines) = {
                let mut said = self.lock();
                (said.progress.take(), std::mem::take(&mut said.lines))
            };
            let told = async {
                if let Some(progress) = &progress {
                    self.say::<()>("progress", progress).await?;
                }
                if !lines.is_empty() {
                    self.say::<()>("logs", &Lines { lines: &lines }).await?;
                }
                Ok(())
            };
            match told.await {
                Ok(()) => {}
                Err(Unsaid::Gone) => return,
                Err(Unsaid::Refused(failure)) => beside(format_args!("stepwell: {failure}")),
            }
            let said = self.lock();
            if said.ended && said.progress.is_none() && said.lines.is_empty() {
                return;
            }
        }
    }
    async fn ended(&self) {
        while !self.lock().ended {
            self.dirty.notified().await;
        }
    }
    /// The child has ended.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.dirty.notify_one();
    }

    /// Reports how the phase has ended. None if it is not for this worker to say.
    pub(super) async fn conclude(&self, outcome: Result<Json, PhaseError>) -> Option<Reported> {
        let said = match (&outcome, self.why()) {
            (Ok(output), _) => {
                let claim_next = !self.desk.drained.is_cancelled();
                match self.say("complete", &Completion { output, claim_next }).await {
                    // What cannot be kept is the phase's mistake, and every further try would make it.
                    Err(Unsaid::Refused(failure)) if !failure.is_about_access() => {
                        self.fail(&failure.to_string(), true, None).await
                    }
                    said => said,
                }
            }
            (Err(_), Some(_)) => self.say("release", &Nothing {}).await,
            (Err(error), None) if error.is_snooze() => {
                let delay_ms = error.delay().unwrap_or_default().as_millis();
                self.say("snooze", &Snooze { delay_ms }).await
            }
            (Err(error), None) => self.fail(&error.to_string(), error.is_permanent(), error.delay()).await,
        };
        match said {
            Ok(reported) => Some(reported),
            Err(Unsaid::Gone) => None,
            Err(Unsaid::Refused(failure)) => {
                self.desk.give_up(failure);
                None
            }
        }
    }
    async fn fail(&self, message: &str, never: bool, after: Option<Duration>) -> Result<Reported, Unsaid> {
        let failed = FailedTry {
            error: ErrorText { message },
            retry: if never { "never" } else { "default" },
            after_ms: after.map(|after| after.as_millis()),
        };
        self.say("fail", &failed).await
    }
}

impl Supervisor for Lease {
    fn progress(&self, progress: Progress) {
        self.lock().progress = Some(progress);
        self.dirty.notify_one();
    }
    fn log(&self, line: String) {
        let mut said = self.lock();
        said.lines.push(line);
        // When there are too many, the oldest go.
        let excess = said.lines.len().saturating_sub(LOG_LINES_MAX);
        said.lines.drain(..excess);
        drop(said);
        self.dirty.notify_one();
    }
    fn save_checkpoint(&self, value: Json) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        Box::pin(async move {
            match self.say::<()>("checkpoint", &Checkpoint { value: &value }).await {
                Ok(()) => Ok(()),
                Err(Unsaid::Gone) => Err(Error::lease_lost()),
                Err(Unsaid::Refused(failure)) => Err(Error::invalid("checkpoint", failure.to_string())),
            }
        })
    }
    fn stopped(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.asked(Why::Cancelled))
    }
}
