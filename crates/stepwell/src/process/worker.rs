//! A kind of programs as the engine sees it.

use std::sync::Arc;

use stepwell_core::{Json, Result, plan::PlanSpec};

use crate::{
    phase_error::PhaseResult,
    phase_fn::BoxFuture,
    registered::{AnyWorker, Given},
};

use super::{attempt::Attempt, kind::CommandKind, task::Task};

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
}

impl AnyWorker for CommandWorker {
    fn spec(&self) -> &Arc<PlanSpec> {
        &self.spec
    }
    fn keeps_time(&self, _position: usize) -> bool {
        // A child is stopped and waited for when its time is over, and not just dropped.
        true
    }
    fn run(self: Arc<Self>, position: usize, given: Given) -> BoxFuture<'static, PhaseResult<Json>> {
        Box::pin(async move {
            let phase = &self.kind.phases[position];
            let task = Task::of(&self.kind.name, &phase.spec, &given);
            let attempt = Attempt::of(phase, &self.store, &task, given.phase_run.clone()).await?;
            drop((task, given));
            attempt.run().await
        })
    }
}
