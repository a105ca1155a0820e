//! Jobs that could run, and that nobody takes.

use std::time::Duration;

use serde_json::Value;
use stepwell::{Clock, wire};

use super::finding::Finding;
use crate::{
    client::{Client, segment},
    failure::{FailedTo, Failure},
    output::{field, span, text_of},
};

/// Jobs of a queue and kind that are looked at for one that is due.
const LOOKED_AT_MAX: usize = 200;
/// A queue that waits for so long is behind.
const BEHIND: Duration = Duration::from_mins(15);

/// What stands in the way of the oldest due job of each queue and kind. What several have in common is told once.
pub(super) async fn queues(client: &Client, health: &Value) -> Result<Vec<Finding>, Failure> {
    let (mut found, mut jobs) = (Vec::<Finding>::new(), 0);
    let waiting = health["waiting"].as_array().into_iter().flatten();
    for of_kind in waiting {
        let pending = of_kind["jobs"].as_u64().unwrap_or(0);
        jobs += pending;
        let look = look_at(client, field(of_kind, "queue"), field(of_kind, "kind"), pending).await?;
        found.extend(look.filter(|look| !found.iter().any(|known| known.text == look.text)));
    }
    if found.is_empty() {
        found.push(Finding::ok("queues", format!("{jobs} waiting, and none that nobody takes")));
    }
    Ok(found)
}

async fn look_at(client: &Client, queue: &str, kind: &str, pending: u64) -> Result<Option<Finding>, Failure> {
    let what = "look at the jobs that wait";
    let asked = [("state", "pending"), ("queue", queue), ("kind", kind), ("order", "asc")];
    let listed = client.list(what, "/api/v1/jobs", &asked, LOOKED_AT_MAX, None).await?;
    let now = Clock::system().wall();
    for job in &listed.items {
        let job: Value = serde_json::from_str(job.get()).failed_to(what)?;
        let due = wire::parse_rfc3339(field(&job, "runAt")).unwrap_or(now);
        if due > now {
            continue;
        }
        let path = format!("/api/v1/jobs/{}/explain", segment(field(&job, "id")));
        let told = client.get(what, &path).await?.value()?;
        let text = format!("queue {queue:?}, {pending} of kind {kind:?} waiting: {}", text_of(&told, "text"));
        return Ok(match field(&told, "reason") {
            "noWorkerForQueue" => {
                let fix = format!(
                    "start a worker that works the queue, or move the jobs: \
                     stepwell bulk run set-queue --queue {queue} --to-queue ANOTHER"
                );
                Some(Finding::problem("workers", text, fix))
            }
            "noWorkerForKind" => {
                let fix = format!(
                    "start a worker that knows the kind, or cancel the jobs: stepwell bulk run cancel --kind {kind}"
                );
                Some(Finding::problem("workers", text, fix))
            }
            "newerPlan" => Some(Finding::problem(
                "workers",
                text,
                "start a worker of the newer version, or finish the deploy",
            )),
            "paused" => Some(Finding::warning(
                "queues",
                text,
                format!("stepwell queues resume {queue}, once that is over"),
            )),
            "noFreeSlot" | "ready" if now.since(due) > BEHIND => {
                let behind = span(now.since(due));
                let text =
                    format!("queue {queue:?} is {behind} behind, with {pending} of kind {kind:?} waiting");
                Some(Finding::warning("queues", text, "start more workers, or let each do more at once"))
            }
            _ => None,
        });
    }
    Ok(None)
}
