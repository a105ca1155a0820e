//! A kind of programs as the engine sees it.

use std::{env, sync::Arc};

use stepwell_core::{Error, Json, Result, plan::PlanSpec};
use tokio::task::{JoinError, JoinHandle};

use crate::{
    phase_error::{PhaseError, PhaseResult},
    phase_fn::BoxFuture,
    registered::{AnyWorker, Given},
};

use super::{
    attempt::Attempt,
    given,
    group::Leash,
    kind::CommandKind,
    launch,
    strays::{self, Successor, kill_strays},
    thread,
};

/// Works a kind of programs.
pub(crate) struct CommandWorker {
    kind: CommandKind,
    spec: Arc<PlanSpec>,
    /// The generation of the store that the jobs are in: children are marked with it.
    store: String,
}

impl CommandWorker {
    pub(crate) fn new(kind: CommandKind, store: String) -> Result<Self> {
        let spec = Arc::new(kind.spec()?);
        Ok(Self { kind, spec, store })
    }

    async fn try_once(&self, position: usize, given: Given) -> PhaseResult<Json> {
        if given.phase_run.interrupted {
            self.end_earlier_tries(&given).await?;
        }
        let leash = Leash::default();
        let attempt = self.attempt(position, &given, leash.clone())?;
        drop(given);
        // Whoever drops this try kills its group, on the spot.
        let _hold = Hold(leash);
        let mut running = Running(thread::handle()?.spawn(attempt.run()));
        match (&mut running.0).await {
            Ok(outcome) => outcome,
            Err(failure) => Err(broken(failure)),
        }
    }

    /// An earlier try may still run: its parent was killed, or has not noticed yet that it lost the job.
    async fn end_earlier_tries(&self, given: &Given) -> PhaseResult<()> {
        let (store, run) = (self.store.clone(), &given.phase_run);
        let successor = Successor { job: run.id, epoch: run.epoch };
        let ended = tokio::task::spawn_blocking(move || kill_strays(&store, Some(successor))).await;
        let failed = |error: String| format!("failed to end an earlier try of the phase: {error}");
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string()).into()),
            Err(error) => Err(failed(error.to_string()).into()),
        }
    }

    fn attempt(&self, position: usize, given: &Given, leash: Leash) -> Result<Attempt, PhaseError> {
        let phase = &self.kind.phases[position];
        let told = given::object(&self.kind, phase, given)?;
        let mut command = launch::command(&phase.argv, phase.limits)?;
        command.env_clear().envs(&phase.env).envs(given::variables(&self.kind, given));
        command.envs(strays::marks(&self.store, given.phase_run.epoch)?);
        let inherited =
            env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| phase.passes(name)));
        for (name, value) in inherited {
            // What the phase sets itself comes before what it inherits.
            if !phase.env.contains_key(&*name.to_string_lossy()) {
                command.env(name, value);
            }
        }
        if let Some(dir) = &phase.dir {
            command.current_dir(dir);
        }
        Ok(Attempt { phase: phase.clone(), phase_run: given.phase_run.clone(), command, told, leash })
    }
}

impl AnyWorker for CommandWorker {
    fn spec(&self) -> &Arc<PlanSpec> {
        &self.spec
    }
    fn keeps_time(&self) -> bool {
        // A child is stopped and waited for when its time is over, and not just dropped.
        true
    }
    fn run(self: Arc<Self>, position: usize, given: Given) -> BoxFuture<'static, PhaseResult<Json>> {
        Box::pin(async move { self.try_once(position, given).await })
    }
}

struct Hold(Leash);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// A task that ends with whoever waits for it.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn broken(failure: JoinError) -> PhaseError {
    match failure.try_into_panic() {
        // The panic goes on where every handler's panic is caught.
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::closed().into(),
    }
}
