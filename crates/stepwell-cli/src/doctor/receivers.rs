//! Webhooks that do not arrive.

use serde_json::Value;

use super::finding::Finding;
use crate::{
    client::{Client, segment},
    failure::{FailedTo, Failure},
    output::{Ago, Output, field, short},
};

/// Endpoints that are looked at.
const LOOKED_AT_MAX: usize = 200;

pub(super) async fn webhooks(client: &Client, out: &Output) -> Result<Vec<Finding>, Failure> {
    let what = "look at the webhooks";
    let listed = client.list(what, "/api/v1/webhooks", &[], LOOKED_AT_MAX, None).await?;
    let mut found = Vec::new();
    for endpoint in &listed.items {
        let endpoint: Value = serde_json::from_str(endpoint.get()).failed_to(what)?;
        let id = field(&endpoint, "id");
        let path = format!("/api/v1/webhooks/{}/stats", segment(id));
        let health = client.get(what, &path).await?.value()?;
        let short = short(id);
        let shown = if out.is_for_people() { short.trim_start_matches('…') } else { id };
        found.extend(look_at(&endpoint, &health, shown));
    }
    if found.is_empty() {
        found.push(Finding::ok(
            "webhooks",
            format!("endpoints: {}, none of them failing", listed.items.len()),
        ));
    }
    Ok(found)
}

fn look_at(endpoint: &Value, health: &Value, id: &str) -> Option<Finding> {
    let url = field(endpoint, "url");
    let reason = field(endpoint, "disabledReason");
    if matches!(reason, "gone" | "failing") {
        let why = if reason == "gone" { "it answered 410" } else { "every attempt of five days failed" };
        let text = format!("{url} is disabled: {why}");
        let fix = format!(
            "mend the receiver, then stepwell webhooks enable {id} and stepwell webhooks replay {id}"
        );
        return Some(Finding::problem("webhooks", text, fix));
    }
    let failing = field(health, "failingSince");
    if failing.is_empty() || endpoint["enabled"] != true {
        return None;
    }
    let text = format!(
        "{url} has been failing since {failing}, {}: {}; {} deliveries wait",
        Ago::now().of(failing),
        field(health, "lastError"),
        health["waiting"]
    );
    Some(Finding::warning("webhooks", text, format!("stepwell webhooks deliveries {id}")))
}
