//! One try of a phase that is a program, from start to outcome.

use std::{env, process::ExitStatus, sync::Arc};

use stepwell_core::{Error, Json};
use tokio::task::{JoinError, JoinHandle};

use crate::phase_error::{PhaseError, PhaseResult};

use super::{
    conversation::{Conversation, Heard},
    group::{Group, Leash, Pipes},
    kind::CommandPhase,
    launch,
    marks::Marked,
    outcome::Ended,
    strays::{self, Successor},
    supervisor::Supervisor,
    sweep::UnderWay,
    task::Task,
    thread,
};

/// One try.
pub(super) struct Attempt {
    phase: CommandPhase,
    supervisor: Arc<dyn Supervisor>,
    command: std::process::Command,
    /// What the child gets on its standard input.
    told: Vec<u8>,
    leash: Leash,
    under_way: UnderWay,
}

impl Attempt {
    /// Makes a try of a job that is in this store.
    pub(super) async fn of(
        phase: &CommandPhase,
        store: &str,
        task: &Task,
        supervisor: Arc<dyn Supervisor>,
    ) -> PhaseResult<Self> {
        if task.phase.interrupted {
            // It may still run: its parent was killed, or has not noticed yet that it lost the job.
            let successor = Successor { job: task.job.id, epoch: task.job.epoch };
            let ended = strays::end(store.to_owned(), Some(successor)).await;
            ended.map_err(|error| format!("failed to end an earlier try of the phase: {error}"))?;
        }
        let mut command = launch::command(phase)?;
        let inherited =
            env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| phase.passes(name)));
        let marks = Marked::of(store, task)?;
        // What is set later counts.
        command.env_clear().envs(inherited).envs(&phase.env).envs(task.variables()).envs(marks.variables());
        if let Some(dir) = &phase.dir {
            command.current_dir(dir);
        }
        let (phase, told, leash) = (phase.clone(), task.line()?, Leash::default());
        Ok(Self { phase, supervisor, command, told, leash, under_way: UnderWay::begin(marks) })
    }

    /// Runs it. Whoever drops this kills the child and its group, on the spot.
    pub(super) async fn run(self) -> PhaseResult<Json> {
        let _hold = Hold(self.leash.clone());
        let mut running = Running(thread::handle()?.spawn(self.hold()));
        match (&mut running.0).await {
            Ok(outcome) => outcome,
            Err(failure) => Err(broken(failure)),
        }
    }

    /// The same on the thread of the child processes.
    async fn hold(self) -> PhaseResult<Json> {
        // It ends when the child has.
        let Self { phase, supervisor, command, told, leash, under_way: _under_way } = self;
        let failed =
            |what: &str, error| PhaseError::from(format!("failed to {what} `{}`: {error}", phase.argv[0]));
        let (mut group, pipes) = Group::start(command, &leash).map_err(|error| failed("start", error))?;
        let Pipes { stdin, stdout, stderr } = pipes;
        let mut child = Conversation::with(&phase, &*supervisor, &leash, stdout, stderr);
        child.hold(&mut group, stdin, told).await.map_err(|error| failed("watch", error))?;
        let Heard { output, errors, said, stopped } = child.heard();
        let status: ExitStatus = group.reap().await.map_err(|error| failed("wait for", error))?;
        Ended { status, said, stopped, output, errors }.outcome(&phase)
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
