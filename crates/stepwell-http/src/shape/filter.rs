//! Which jobs.

use serde::{Deserialize, Serialize};
use stepwell::{JobFilter, JobState};
use utoipa::ToSchema;

use super::JobStateName;

/// Which jobs. Everything that is given must match.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Filter {
    /// In this state.
    #[schema(value_type = Option<JobStateName>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<JobState>,
    /// Of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<String>,
    /// In this queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<String>,
    /// With this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
    /// With this search attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attribute: Option<Attribute>,
    /// With this unique key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique_key: Option<String>,
}

/// A search attribute.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attribute {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) value: String,
}

impl Filter {
    pub(crate) fn jobs(&self) -> JobFilter {
        let attribute = self.attribute.as_ref();
        JobFilter {
            state: self.state,
            kind: self.kind.as_deref().map(Into::into),
            queue: self.queue.as_deref().map(Into::into),
            tag: self.tag.as_deref().map(Into::into),
            attribute: attribute.map(|pair| (pair.name.as_str().into(), pair.value.clone())),
            unique_key: self.unique_key.clone(),
            internal: false,
        }
    }
}
