//! What a scenario works with.

use std::{ffi::OsString, pin::Pin, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use stepwell::Stopwatch;

use super::{
    call::Call, exchange::Handed, journal::Journal, kinds::QUEUE, program::Program, rule::Rule, site::Site,
};
use crate::failure::Failure;

/// How a worker is tried.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) command: Vec<OsString>,
    pub(super) lease: Duration,
    /// How long something may take that has to come.
    pub(super) patience: Duration,
}

/// A rule that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) rule: Rule,
    /// What was seen.
    pub(super) seen: String,
}

/// Why a scenario does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// What comes next makes no sense after this.
    Breach(Breach),
    /// The kit itself has failed.
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// How far a scenario has come.
pub(super) type Played = Result<(), Stop>;
/// A scenario under way.
pub(super) type Play<'s> = Pin<Box<dyn Future<Output = Played> + Send + 's>>;

/// A server, workers, and what is found of them.
pub(super) struct Stage {
    pub(super) site: Site,
    pub(super) trial: Trial,
    programs: Vec<Program>,
    breaches: Vec<Breach>,
}

impl Stage {
    /// Starts a server.
    ///
    /// # Errors
    /// If that cannot be.
    pub(super) async fn set(trial: &Trial) -> Result<Self, Failure> {
        let site = Site::open(trial.lease).await?;
        Ok(Self { site, trial: trial.clone(), programs: Vec::new(), breaches: Vec::new() })
    }
    pub(super) fn lease(&self) -> Duration {
        self.trial.lease
    }
    /// How often a worker sends heartbeats.
    pub(super) fn beat(&self) -> Duration {
        self.trial.lease / 3
    }
    /// The grace that workers are told to give their phases.
    pub(super) fn grace(&self) -> Duration {
        self.trial.lease * 2
    }

    /// Starts a worker, and waits until it has registered. Answers with its id.
    ///
    /// # Errors
    /// If it does not register.
    pub(super) async fn start(&mut self) -> Result<String, Stop> {
        let before = self.site.gate.find(|journal| Some(journal.workers().len())).unwrap_or(0);
        self.launch()?;
        self.see(Rule::Registers, "a registration", |journal| {
            journal.workers().get(before).map(|id| (*id).to_owned())
        })
        .await
    }
    /// Starts a worker, and does not wait.
    ///
    /// # Errors
    /// If there is no such program.
    pub(super) fn launch(&mut self) -> Result<(), Failure> {
        let environment = [
            ("STEPWELL_SERVER", self.site.url()),
            ("STEPWELL_TOKEN", self.site.token.clone()),
            ("STEPWELL_QUEUE", QUEUE.to_owned()),
            ("STEPWELL_GRACE_MS", self.grace().as_millis().to_string()),
        ];
        let command = &self.trial.command;
        let name = command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
        let started = Program::start(command, &environment);
        self.programs.push(started.map_err(|error| Failure::to(format!("start {name}"), error))?);
        Ok(())
    }
    /// Sends a signal to one of the workers, in the order in which they were started.
    pub(super) fn signal(&self, nth: usize, signal: Signal) {
        self.programs[nth].signal(signal);
    }

    /// Waits for something in what is asked and answered, and takes it for a breach of the rule if it does not come.
    ///
    /// # Errors
    /// If it does not come.
    pub(super) async fn see<T>(
        &self,
        rule: Rule,
        what: &str,
        find: impl Fn(&Journal) -> Option<T>,
    ) -> Result<T, Stop> {
        let gate = &self.site.gate;
        let mut changes = gate.changes();
        let coming = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = gate.find(&find) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(self.trial.patience, coming).await {
            Ok(found) => Ok(found),
            Err(_) => Err(self.missed(rule, what)),
        }
    }
    /// Something did not come.
    fn missed(&self, rule: Rule, what: &str) -> Stop {
        let seconds = self.trial.patience.as_secs_f32();
        let ended = self.programs.iter().filter_map(Program::status).next_back();
        let ended = ended.map_or_else(String::new, |status| format!("; the worker has ended with {status}"));
        Stop::Breach(Breach { rule, seen: format!("{what} did not come within {seconds} s{ended}") })
    }
    /// Waits until a phase of a job is handed to a worker, for the nth time.
    ///
    /// # Errors
    /// If it is not.
    pub(super) async fn handed(&self, rule: Rule, job: &str, nth: usize) -> Result<Handed, Stop> {
        let what = if nth == 0 { "the claim of a job" } else { "another claim of the job" };
        self.see(rule, what, |journal| journal.handed_of(job).get(nth).cloned()).await
    }
    /// Waits until a phase says that it has begun.
    ///
    /// # Errors
    /// If it does not.
    pub(super) async fn begun(&self, rule: Rule, job: &str, nth: usize) -> Result<Handed, Stop> {
        let handed = self.handed(rule, job, nth).await?;
        let lease = handed.lease.clone();
        self.see(rule, "the progress with which the phase begins", move |journal| {
            journal
                .reports(&lease)
                .any(|report| report.call == Call::Progress && report.granted().is_some())
                .then_some(())
        })
        .await?;
        Ok(handed)
    }
    /// Waits for the end of a job, which must be this one, and until the worker knows of it.
    ///
    /// # Errors
    /// If it does not end, or ends in another way.
    pub(super) async fn ends(&self, rule: Rule, job: &str, state: &str) -> Result<Value, Stop> {
        let waited = Stopwatch::start();
        loop {
            let read = self.site.ended(job).await?;
            let stands = read["state"].as_str().unwrap_or_default();
            if stands == state {
                let what = "the report that ended a job, with an answer";
                self.see(rule, what, |journal| {
                    let last = journal.handed_of(job).pop()?;
                    journal.ends(&last.lease).any(|end| end.told().is_some()).then_some(())
                })
                .await?;
                return Ok(read);
            }
            if matches!(stands, "completed" | "failed" | "cancelled") {
                let why = read["failure"]["message"].as_str().unwrap_or_default();
                let seen = format!("a job of the kind {} has {stands}, and not {state}: {why}", read["kind"]);
                return Err(Stop::Breach(Breach { rule, seen }));
            }
            if waited.elapsed() > self.trial.patience {
                return Err(self.missed(rule, &format!("the end of a job of the kind {}", read["kind"])));
            }
        }
    }
    /// Waits until a worker has ended, with 0. It is a breach of the rule if it does not.
    ///
    /// # Errors
    /// If it does not, or with something else.
    pub(super) async fn exits(&self, rule: Rule, nth: usize) -> Played {
        let mut ended = self.programs[nth].ended();
        let ending = ended.wait_for(Option::is_some);
        let Ok(Ok(status)) = tokio::time::timeout(self.trial.patience, ending).await else {
            return Err(self.missed(rule, "the end of the worker's process"));
        };
        match *status {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                self.breach(Rule::Leaves, format!("the worker has ended with {status}, and not with 0"))
            }
            None => Ok(()),
        }
    }

    /// The rule is not kept, and nothing that comes next makes sense.
    pub(super) fn breach(&self, rule: Rule, seen: impl Into<String>) -> Played {
        Err(Stop::Breach(Breach { rule, seen: seen.into() }))
    }
    /// Writes down whether a rule is kept, and goes on.
    pub(super) fn hold(&mut self, rule: Rule, kept: bool, seen: impl FnOnce() -> String) {
        if !kept {
            self.breaches.push(Breach { rule, seen: seen() });
        }
    }
    pub(super) fn journal(&self) -> Journal {
        self.site.gate.journal()
    }

    /// Ends everything, and answers with what was found and what the workers said.
    pub(super) async fn strike(self) -> (Vec<Breach>, Journal, Vec<String>) {
        let journal = self.site.gate.journal();
        let told = self.programs.iter().flat_map(Program::told).collect();
        drop(self.programs);
        self.site.close().await;
        (self.breaches, journal, told)
    }
}
