//! Bulk operations on the wire.

use serde::{Deserialize, Serialize};
use stepwell::{
    JobId,
    bulk::{BulkAction, BulkFailure, BulkOperation, BulkPreview, Selection},
};
use utoipa::ToSchema;

use super::{Attribute, Filter, JobStateName, JobView, time};
use crate::front::Problem;

/// A bulk operation that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewBulkOperation)]
pub(crate) struct BulkRequest {
    /// What is done to each job.
    action: ActionName,
    /// To which jobs. An empty filter selects every job.
    pub(crate) filter: Filter,
    /// Changes nothing, and answers with how many jobs it would be about, and some of them.
    pub(crate) dry_run: Option<bool>,
    /// For `retry`: whether every phase runs again.
    from_start: Option<bool>,
    /// For `setPriority`: the new one.
    priority: Option<i16>,
    /// For `setQueue`: the new one.
    #[schema(min_length = 1, max_length = 200)]
    queue: Option<String>,
}

/// What is done to each job: those that wait or run are cancelled; those that failed or were cancelled are retried;
/// those that have ended are deleted; those that wait run now, or get another priority or queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ActionName {
    Cancel,
    Retry,
    Delete,
    RunNow,
    SetPriority,
    SetQueue,
}

impl BulkRequest {
    /// What is to be done to each job.
    ///
    /// # Errors
    /// If a field is missing for it, or is there for another one.
    pub(crate) fn action(&self) -> Result<BulkAction, Problem> {
        let is_for = |place: &str, given: bool, action: ActionName, name: &str| match given {
            true if self.action != action => {
                let detail = format!("goes with the action `{name}` only; leave it out");
                Err(Problem::of(place, detail))
            }
            false if self.action == action && action != ActionName::Retry => {
                Err(Problem::of(place, format!("is missing; the action `{name}` needs it")))
            }
            _ => Ok(()),
        };
        is_for("#/fromStart", self.from_start.is_some(), ActionName::Retry, "retry")?;
        is_for("#/priority", self.priority.is_some(), ActionName::SetPriority, "setPriority")?;
        is_for("#/queue", self.queue.is_some(), ActionName::SetQueue, "setQueue")?;
        Ok(match self.action {
            ActionName::Cancel => BulkAction::Cancel,
            ActionName::Retry => BulkAction::Retry { from_start: self.from_start.unwrap_or(false) },
            ActionName::Delete => BulkAction::Delete,
            ActionName::RunNow => BulkAction::RunNow,
            ActionName::SetPriority => {
                BulkAction::SetPriority { priority: self.priority.unwrap_or_default() }
            }
            ActionName::SetQueue => {
                BulkAction::SetQueue { queue: self.queue.as_deref().unwrap_or_default().into() }
            }
        })
    }
    /// The queue that jobs are to be moved to.
    pub(crate) fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }
}

/// What a bulk operation would do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkPreview)]
pub(crate) struct PreviewView {
    /// How many jobs it is about.
    matched: u64,
    /// Whether that is all of them; otherwise there are more.
    exact: bool,
    /// Some of them, the newest first.
    sample: Vec<JobView>,
}

impl From<BulkPreview> for PreviewView {
    fn from(preview: BulkPreview) -> Self {
        let sample = preview.sample.iter().map(JobView::from).collect();
        Self { matched: preview.matched, exact: preview.is_exact, sample }
    }
}

/// A bulk operation as it stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkOperation)]
pub(crate) struct BulkView {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub(crate) id: JobId,
    /// What is done to each job.
    #[schema(value_type = ActionName)]
    action: &'static str,
    /// For `retry`: whether every phase runs again.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_start: Option<bool>,
    /// For `setPriority`: the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    /// For `setQueue`: the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    /// To which jobs.
    filter: Filter,
    /// What people call whoever asked for it.
    by: String,
    /// Where it stands.
    #[schema(value_type = JobStateName)]
    state: &'static str,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// How many jobs it is about, as far as is known: exact once it has completed.
    total: u64,
    /// Jobs to which it was done.
    done: u64,
    /// Jobs that were in another state when their turn came.
    skipped: u64,
    /// Jobs to which it could not be done; `failures` lists them.
    failed: u64,
    /// Why it failed as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<BulkOperation> for BulkView {
    fn from(operation: BulkOperation) -> Self {
        let (action, by) = (operation.action.as_str(), operation.by);
        let (mut from_start, mut priority, mut queue) = (None, None, None);
        match operation.action {
            BulkAction::Retry { from_start: given } => from_start = Some(given),
            BulkAction::SetPriority { priority: given } => priority = Some(given),
            BulkAction::SetQueue { queue: given } => queue = Some(given.to_string()),
            _ => {}
        }
        Self {
            id: operation.id,
            action,
            from_start,
            priority,
            queue,
            filter: filter_of(&operation.selection),
            by,
            state: operation.state.as_str(),
            created_at: time(operation.created_at),
            finished_at: operation.finished_at.map(time),
            total: operation.total,
            done: operation.done,
            skipped: operation.skipped,
            failed: operation.failed,
            error: operation.error,
        }
    }
}

fn filter_of(selection: &Selection) -> Filter {
    let attribute = selection.attribute.clone();
    Filter {
        state: selection.state,
        kind: selection.kind.as_deref().map(str::to_owned),
        queue: selection.queue.as_deref().map(str::to_owned),
        tag: selection.tag.as_deref().map(str::to_owned),
        attribute: attribute.map(|(name, value)| Attribute { name: name.to_string(), value }),
        unique_key: selection.unique_key.clone(),
    }
}

/// A job to which something could not be done.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkFailure)]
pub(crate) struct BulkFailureView {
    /// The job.
    #[schema(value_type = String, format = "uuid")]
    job_id: JobId,
    /// Why not.
    error: String,
    /// When it was tried.
    #[schema(format = DateTime)]
    at: String,
}

impl From<BulkFailure> for BulkFailureView {
    fn from(failure: BulkFailure) -> Self {
        Self { job_id: failure.job, error: failure.error, at: time(failure.at) }
    }
}
