//! Jobs with all that they hold, to be taken elsewhere.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde::Serialize;
use stepwell::{JobRecord, Json as Text, Name, Result};
use utoipa::ToSchema;

use super::list::{ListJobs, Listing};
use crate::{
    access::Caller,
    front::{Page, Problem, Raw},
    hub::Hub,
    shape::JobView,
};

/// Jobs on one page, at most: a payload alone may have a megabyte.
const LIMIT_MAX: usize = 50;
/// Bytes of the results that one page holds; one that does not fit in is asked for by itself.
const RESULTS_BYTES_MAX: usize = 4 << 20;

/// A job with what it is about and the results of its phases.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExportedJob {
    /// The job.
    #[serde(flatten)]
    job: JobView,
    /// What it is about, as it was written.
    #[schema(value_type = serde_json::Value)]
    payload: Text,
    /// The recorded results of its phases, as they were written, by the phases' names.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    results: BTreeMap<Name, Text>,
    /// Phases whose results were left out because the page would be too long; ask for each by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    results_left_out: Vec<Name>,
}

/// Jobs with what they are about and the results of their phases, page by page.
///
/// It takes what the list of jobs takes. A page holds at most 50, whatever was asked for.
#[utoipa::path(
    get, path = "/api/v1/jobs/export", tag = "jobs",
    params(ListJobs),
    responses((status = 200, description = "The jobs", body = Page<ExportedJob>)),
)]
pub(crate) async fn export_jobs(
    State(hub): State<Arc<Hub>>,
    Caller(grant): Caller,
    Raw(pairs): Raw,
) -> Result<Json<Page<ExportedJob>>, Problem> {
    let (found, page) = Listing::read(pairs)?.of_at_most(LIMIT_MAX).find(&hub).await?;
    let mut data = Vec::with_capacity(found.len());
    let mut room = RESULTS_BYTES_MAX;
    for job in found.iter().filter(|job| grant.covers_job(job)) {
        match whole(&hub, job, &mut room).await {
            Ok(exported) => data.push(exported),
            // It was deleted meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(Page { data, page }))
}

async fn whole(hub: &Hub, job: &JobRecord, room: &mut usize) -> Result<ExportedJob> {
    let payload = hub.stepwell.payload(job.id).await?;
    let (mut results, mut results_left_out) = (BTreeMap::new(), Vec::new());
    for phase in &job.phases {
        let Some(recorded) = &phase.result else { continue };
        let Some(left) = room.checked_sub(recorded.bytes) else {
            results_left_out.push(phase.name.clone());
            continue;
        };
        *room = left;
        // A rerun may have dropped it meanwhile.
        if let Some(result) = hub.stepwell.phase_result(job.id, &phase.name).await? {
            results.insert(phase.name.clone(), result);
        }
    }
    Ok(ExportedJob { job: JobView::from(job), payload, results, results_left_out })
}
