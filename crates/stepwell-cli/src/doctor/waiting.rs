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

/// Jobs of a queue that are looked at for one that is due.
const LOOKED_AT_MAX: usize = 200;
/// A queue that waits for so long is behind.
const BEHIND: Duration = Duration::from_mins(15);

/// What stands in the way of each queue's oldest job that is due.
pub(super) async fn queues(client: &Client) -> Result<Vec<Finding>, Failure> {
    let what = "look at the queues";
    let queues = client.whole(what, "/api/v1/queues").await?;
    let (mut found, mut jobs) = (Vec::new(), 0);
    for queue in &queues {
        let queue: Value = serde_json::from_str(queue.get()).failed_to(what)?;
        let pending = queue["jobs"]["pending"].as_u64().unwrap_or(0);
        jobs += pending;
        if pending > 0 {
            found.extend(look_at(client, field(&queue, "name"), pending).await?);
        }
    }
    if found.is_empty() {
        found.push(Finding::ok("queues", format!("{}, {jobs} waiting", count(queues.len()))));
    }
    Ok(found)
}

fn count(queues: usize) -> String {
    if queues == 1 { "1 queue".to_owned() } else { format!("{queues} queues") }
}

async fn look_at(client: &Client, queue: &str, pending: u64) -> Result<Option<Finding>, Failure> {
    let what = "look at the jobs that wait";
    let asked = [("state", "pending"), ("queue", queue), ("order", "asc")];
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
        let text = format!("queue {queue:?}, {pending} waiting: {}", text_of(&told, "text"));
        return Ok(match field(&told, "reason") {
            "noWorkerForQueue" => {
                let fix =
                    "start a worker that works the queue, or move the jobs: stepwell bulk run set-queue";
                Some(Finding::problem("workers", text, fix))
            }
            "noWorkerForKind" => {
                let fix = "start a worker that knows the kind, or cancel the jobs: stepwell bulk run cancel";
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
                let text = format!("queue {queue:?} is {behind} behind, with {pending} waiting");
                Some(Finding::warning("queues", text, "start more workers, or let each do more at once"))
            }
            _ => None,
        });
    }
    Ok(None)
}
