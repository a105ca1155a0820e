//! Which jobs a bulk operation is about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use stepwell_core::{Error, Job as JobRecord, JobState, Name, Result, Timestamp, store::JobFilter};

use super::BulkAction;

/// Which jobs a bulk operation is about. Everything that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selection {
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// Of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Name>,
    /// In this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<Name>,
    /// With this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Name>,
    /// With this search attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<(Name, String)>,
    /// With this unique key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// Only jobs that are in one of these queues, or were put into one: what whoever asks may touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_queues: Option<BTreeSet<Name>>,
    /// Only of one of these kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_kinds: Option<BTreeSet<Name>>,
}

impl Selection {
    /// Whether the action can do anything to jobs in the selected state.
    pub(super) fn check(&self, action: &BulkAction) -> Result<()> {
        if self.kind.as_deref().is_some_and(stepwell_core::event::is_internal) {
            return Err(Error::invalid("filter.kind", "must not be one of Stepwell's own"));
        }
        let states = action.states();
        match self.state {
            Some(state) if !states.contains(&state) => {
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                let (action, states) = (action.as_str(), states.join(", "));
                let problem = format!("is {state}, and `{action}` is for jobs that are: {states}");
                Err(Error::invalid("filter.state", problem))
            }
            _ => Ok(()),
        }
    }
    /// The jobs in one of the states that are gone through; none if that is not a selected one.
    pub(super) fn filter(&self, state: JobState) -> Option<JobFilter> {
        if self.state.is_some_and(|selected| selected != state) {
            return None;
        }
        Some(JobFilter {
            state: Some(state),
            kind: self.kind.clone(),
            queue: self.queue.clone(),
            tag: self.tag.clone(),
            attribute: self.attribute.clone(),
            unique_key: self.unique_key.clone(),
            internal: false,
        })
    }
    /// Whether a job that the filter has found may be touched.
    pub(super) fn covers(&self, job: &JobRecord) -> bool {
        self.only_kinds.as_ref().is_none_or(|kinds| kinds.contains(&job.kind))
            && self
                .only_queues
                .as_ref()
                .is_none_or(|queues| queues.contains(&job.queue) || queues.contains(&job.home_queue))
    }
    /// Whether a job was like this when the operation was asked for: what came to be, or ended, since then is another
    /// matter.
    pub(super) fn is_old_enough(job: &JobRecord, asked_at: Timestamp) -> bool {
        job.enqueued_at <= asked_at && job.finished_at.is_none_or(|at| at <= asked_at)
    }
    /// Whether the store's counters tell how many jobs it is about.
    pub(super) fn is_counted(&self) -> bool {
        self.tag.is_none()
            && self.attribute.is_none()
            && self.unique_key.is_none()
            && self.only_queues.is_none()
            && self.only_kinds.is_none()
    }
}
