//! Bulk operations over groups of jobs of their own: asked for until they are acknowledged, and followed to their end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::rig::{Answer, Client};

/// Jobs of one group. They fail, and one bulk operation retries them, whereupon they fail again.
const JOBS: usize = 6;

/// Jobs with a tag of their own, and what is asked for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// In which order it came to be.
    nth: usize,
    pub(crate) jobs: BTreeSet<String>,
    /// The operation, once it was acknowledged.
    pub(crate) operation: Option<String>,
    /// What was said of it when it had ended; null if nobody asked in time.
    pub(crate) outcome: Value,
    is_over: bool,
}

/// All groups, the one that is under way last.
#[derive(Default)]
pub(crate) struct Groups(Mutex<Vec<Group>>);

impl Groups {
    pub(crate) fn all(&self) -> Vec<Group> {
        self.0.lock().unwrap().clone()
    }
    /// Whether a job is retried by nobody else.
    pub(crate) fn hold(&self, job: &str) -> bool {
        self.0.lock().unwrap().iter().any(|group| group.jobs.contains(job))
    }
    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.lock().unwrap().last().is_none_or(|group| group.is_over)
    }

    /// Goes on as far as it can without waiting. What was asked for and not acknowledged is asked for again, with the
    /// same key.
    pub(crate) async fn go_on(&self, client: &Client) -> Option<()> {
        let mut group = {
            let mut groups = self.0.lock().unwrap();
            if groups.last().is_none_or(|group| group.is_over) {
                let nth = groups.len();
                groups.push(Group { nth, ..Group::default() });
            }
            groups.last()?.clone()
        };
        let asked = group.step(client).await;
        // Also what was learned before the server died.
        let mut groups = self.0.lock().unwrap();
        *groups.last_mut()? = group;
        asked
    }
    /// Follows what is under way to its end.
    pub(crate) async fn finish(&self, client: &Client) {
        while !self.is_idle() {
            self.go_on(client).await.expect("the server lives");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

impl Group {
    async fn step(&mut self, client: &Client) -> Option<()> {
        let tag = format!("group-{}", self.nth);
        if self.jobs.is_empty() {
            let job = json!({ "kind": "demo.steps", "payload": { "fails": true }, "tags": [tag] });
            let batch = json!({ "jobs": vec![job; JOBS] });
            let made = once(client, "/api/v1/jobs/batch", &tag, &batch).await?.good("a group");
            let ids =
                made["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
            self.jobs = ids.collect();
        }
        if self.operation.is_none() {
            let list = format!("/api/v1/jobs?tag={tag}");
            let found = client.get(&list).await.ok()?.good("the group");
            let found = found["data"].as_array().unwrap();
            if found.iter().any(|job| job["state"] != "failed") {
                return Some(());
            }
            let bulk = json!({ "action": "retry", "filter": { "tag": tag, "state": "failed" } });
            let made = once(client, "/api/v1/bulk-operations", &tag, &bulk).await?;
            if made.status == StatusCode::CONFLICT {
                // It was made, has ended, and was removed before anybody could hear of it.
                self.is_over = true;
                return Some(());
            }
            self.operation = made.good("a bulk operation")["id"].as_str().map(str::to_owned);
        }
        let path = format!("/api/v1/bulk-operations/{}", self.operation.as_ref()?);
        let found = client.get(&path).await.ok()?;
        if found.status == StatusCode::NOT_FOUND {
            self.is_over = true;
            return Some(());
        }
        let outcome = found.good("the operation");
        if matches!(outcome["state"].as_str(), Some("completed" | "failed" | "cancelled")) {
            (self.outcome, self.is_over) = (outcome, true);
        }
        Some(())
    }

    /// Whether each job was changed once, and the operation says so. `retries` counts the retries of each job that was
    /// seen; `deleted` are jobs that retention has taken.
    pub(crate) fn check(
        &self,
        retries: &BTreeMap<&str, usize>,
        deleted: &BTreeSet<&str>,
    ) -> Result<usize, String> {
        let Some(operation) = &self.operation else { return Ok(0) };
        let mut changed = 0;
        for job in &self.jobs {
            match retries.get(job.as_str()).copied().unwrap_or(0) {
                1 => changed += 1,
                // It was taken before the operation got there.
                0 if deleted.contains(job.as_str()) => {}
                0 => return Err(format!("{job} was passed over by the bulk operation {operation}")),
                n => return Err(format!("{job} was changed {n} times by the bulk operation {operation}")),
            }
        }
        if self.outcome.is_null() {
            return Ok(changed);
        }
        let count = |name: &str| self.outcome[name].as_u64().unwrap_or(u64::MAX);
        let sum = count("done").saturating_add(count("skipped")).saturating_add(count("failed"));
        let fits = self.outcome["state"] == "completed"
            && usize::try_from(count("done")) == Ok(changed)
            && (count("failed"), count("total")) == (0, sum);
        match fits {
            true => Ok(changed),
            false => Err(format!("{changed} jobs were changed, and the operation says {}", self.outcome)),
        }
    }
    #[cfg(test)]
    pub(crate) fn for_test(jobs: &[&str], outcome: Value) -> Self {
        let jobs = jobs.iter().map(|job| (*job).to_owned()).collect();
        Self { nth: 0, jobs, operation: Some("o".into()), outcome, is_over: true }
    }
}

/// Asks with a key, so that it counts once however often it is asked.
async fn once(client: &Client, path: &str, key: &str, body: &Value) -> Option<Answer> {
    client.ask(Method::POST, path, &[("idempotency-key", key)], Some(body)).await.ok()
}
