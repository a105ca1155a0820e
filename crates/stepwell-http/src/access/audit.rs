//! Who changed what. Every operation that changes something is written down before it begins, and again with its
//! outcome, so that nothing can have been changed that is not written down.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use stepwell::{Expected, Json, Result, Stepwell, Timestamp};

use super::{Grant, secret::hex};

/// The scope under which entries are stored.
pub(crate) const SCOPE: &str = "stepwell.audit";
/// Entries that are kept; the oldest go first.
const KEPT: usize = 100_000;
/// How often the oldest are looked for.
const PRUNE_EVERY: u64 = 1_000;

/// An entry, as it is stored and shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) who: String,
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) request_id: String,
    pub(crate) at: Timestamp,
    /// The status that was answered; none if the process died before.
    #[serde(default)]
    pub(crate) status: Option<u16>,
}

/// An entry whose outcome is open.
pub(super) struct Open {
    key: String,
    entry: Entry,
}

static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Writes down what is about to happen.
pub(super) async fn begin(
    stepwell: &Stepwell,
    grant: &Grant,
    action: &str,
    target: &str,
    request_id: &str,
) -> Result<Open> {
    let now = stepwell.clock().now();
    let entry = Entry {
        who: grant.who.to_string(),
        name: grant.name.to_string(),
        action: action.to_owned(),
        target: target.chars().take(500).collect(),
        request_id: request_id.to_owned(),
        at: now,
        status: None,
    };
    // Such an id sorts by time.
    let key = format!("{:016x}-{}", now.as_micros(), hex(&stepwell.random::<6>()));
    stepwell.records(SCOPE).put(&key, Some(Json::of(&entry)?), Expected::Absent).await?;
    Ok(Open { key, entry })
}

impl Open {
    /// Adds the outcome.
    pub(super) async fn end(mut self, stepwell: &Stepwell, status: u16) {
        self.entry.status = Some(status);
        let Ok(value) = Json::of(&self.entry) else { return };
        if let Err(error) = stepwell.records(SCOPE).put(&self.key, Some(value), Expected::Anything).await {
            tracing::warn!(%error, action = self.entry.action, "failed to write an outcome into the audit log");
        }
        if WRITTEN.fetch_add(1, Ordering::Relaxed) % PRUNE_EVERY == PRUNE_EVERY - 1 {
            let stepwell = stepwell.clone();
            tokio::spawn(async move {
                if let Err(error) = prune(&stepwell).await {
                    tracing::warn!(%error, "failed to shorten the audit log");
                }
            });
        }
    }
}

/// Removes what is too old to be kept.
async fn prune(stepwell: &Stepwell) -> Result<()> {
    let records = stepwell.records(SCOPE);
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = records.list("", after, true, 1_000).await?.items;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key.clone());
        for entry in page.iter().skip(KEPT.saturating_sub(seen)) {
            records.put(&entry.key, None, Expected::Anything).await?;
        }
        seen += page.len();
    }
}
