//! A phase of this program, in a child that is this program again.

use std::sync::Arc;

use stepwell_core::{Json, plan::PlanSpec};

use crate::{phase_error::PhaseResult, plan::Manner, registered::Given};

use super::{attempt::Attempt, kind::CommandPhase, task::Task};

/// Runs one try in a child.
pub(crate) async fn run_isolated(
    plan: Arc<PlanSpec>,
    position: usize,
    Manner { limits, grace, .. }: Manner,
    given: Given,
) -> PhaseResult<Json> {
    let spec = &plan.phases[position];
    let phase = CommandPhase::own(spec.clone(), limits, grace);
    let store = given.phase_run.owner.as_ref().map(|owner| owner.store.describe().generation);
    let task = Task::of(&plan.kind, spec, &given);
    let attempt = Attempt::of(&phase, &store.unwrap_or_default(), &task, given.phase_run.clone()).await?;
    drop((task, given));
    attempt.run().await
}
