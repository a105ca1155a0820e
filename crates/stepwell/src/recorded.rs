//! What a phase that has ended has left for those after it.

use stepwell_core::{Error, Json, Name, Result, job::Job, store::Store};

/// The output of a phase, from the job's row or, if it was large, from where it is kept apart.
pub(crate) async fn output(store: &dyn Store, job: &Job, phase: &Name) -> Result<Json> {
    let missing = || Error::no_such("result of phase", phase.to_string());
    let phase = job.phase(phase).ok_or_else(missing)?;
    match phase.result.as_ref().ok_or_else(missing)?.inline.clone() {
        Some(inline) => Ok(inline),
        None => store.result(job.id, phase.stored_name().clone()).await?.ok_or_else(missing),
    }
}
