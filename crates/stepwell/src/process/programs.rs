//! Kinds of programs whose jobs are in a queue elsewhere.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use stepwell_core::{Error, Json, Name, Result, plan::PlanSpec};

use crate::phase_error::{PhaseError, PhaseResult};

use super::{
    attempt::Attempt,
    kind::{CommandKind, CommandPhase},
    launch, strays,
    supervisor::Supervisor,
    task::Task,
};

/// Kinds of programs whose jobs are in a queue elsewhere: somebody else claims their phases and reports on them, and
/// has them run here.
///
/// ```
/// use stepwell::process::{CommandKind, CommandPhase, Programs};
/// # fn main() -> Result<(), stepwell::Error> {
/// stepwell::process::begin();
/// let probe = CommandPhase::new("probe", ["ffprobe", "-"]);
/// let programs = Programs::new([CommandKind::new("thumbnail").phase(probe)])?;
/// assert_eq!(&*programs.plans().next().unwrap().kind, "thumbnail");
/// # Ok(())
/// # }
/// ```
pub struct Programs {
    kinds: BTreeMap<Name, (PlanSpec, Vec<CommandPhase>)>,
}

impl Programs {
    /// Takes kinds.
    ///
    /// # Errors
    /// If one is wrong, or there are two of one name; or if this program does not begin with [`begin`](super::begin).
    pub fn new(kinds: impl IntoIterator<Item = CommandKind>) -> Result<Self> {
        launch::check_begun()?;
        let mut taken = BTreeMap::new();
        for kind in kinds {
            let spec = kind.spec()?;
            match taken.entry(kind.name) {
                Entry::Vacant(place) => drop(place.insert((spec, kind.phases))),
                Entry::Occupied(place) => {
                    let field = format!("kind {}", place.key());
                    return Err(Error::invalid(field, "is there twice; remove one of them"));
                }
            }
        }
        Ok(Self { kinds: taken })
    }
    /// The plans of the kinds, in the order of their names.
    pub fn plans(&self) -> impl Iterator<Item = &PlanSpec> {
        self.kinds.values().map(|(spec, _)| spec)
    }
    /// Ends what dead processes of this machine have left running of a store's jobs: to be called before the first
    /// claim. The store is named by its generation. Answers how many processes there were.
    ///
    /// # Errors
    /// If a process does not end.
    pub async fn end_strays(&self, store: &str) -> Result<usize> {
        strays::end_left(store.to_owned()).await
    }
    /// Runs one try of a phase. Whoever drops this kills the child, and what that has started.
    ///
    /// # Errors
    /// Whatever the phase fails with; or if it is none of these kinds.
    pub async fn run(
        &self,
        store: &str,
        mut task: Task,
        supervisor: Arc<dyn Supervisor>,
    ) -> PhaseResult<Json> {
        let phases = self.kinds.get(&task.job.kind).map(|(_, phases)| phases);
        let phase = phases.and_then(|phases| phases.iter().find(|phase| phase.spec.name == task.phase.name));
        let phase = phase.ok_or_else(|| {
            let (phase, kind) = (&task.phase.name, &task.job.kind);
            PhaseError::permanent(format!("this worker has no phase `{phase}` of `{kind}`"))
        })?;
        task.phase.timeout_ms = phase.spec.timeout_ms;
        let attempt = Attempt::of(phase, store, &task, supervisor).await?;
        drop(task);
        attempt.run().await
    }
}
