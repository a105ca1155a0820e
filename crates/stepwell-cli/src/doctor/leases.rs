//! Jobs of processes that give no sign of life, and that nobody takes from them.

use std::time::Duration;

use serde_json::Value;

use super::finding::{Finding, Status};
use crate::output::{clean, field, span};

/// Whoever works the store takes the jobs of a late process in less than this.
const TAKEN_WITHIN: Duration = Duration::from_mins(1);

/// Who is late, and what waits for somebody to take it.
pub(super) fn leases(health: &Value) -> Vec<Finding> {
    let late: Vec<&Value> = health["late"].as_array().into_iter().flatten().collect();
    let workers = health["workers"].as_u64().unwrap_or(0);
    let others = workers.saturating_sub(late.len() as u64);
    let mut found: Vec<Finding> = late.into_iter().map(|late| look_at(late, others)).collect();
    if found.is_empty() {
        found.push(Finding::ok("leases", "none expired and unclaimed"));
    }
    found
}

fn look_at(late: &Value, others: u64) -> Finding {
    let jobs = late["jobs"].as_u64().unwrap_or(0);
    let overdue = Duration::from_millis(late["overdueMs"].as_u64().unwrap_or(0));
    let text = format!(
        "the process {} owns {} and has been without a sign of life for {} too long",
        clean(field(late, "node")),
        match jobs {
            1 => "1 job".to_owned(),
            jobs => format!("{jobs} jobs"),
        },
        span(overdue)
    );
    let (status, text, fix) = match (jobs, others) {
        (0, _) => (Status::Warning, text, "if it hangs, end it: nothing waits for it"),
        (_, 0) => (
            Status::Problem,
            format!("{text}; nobody is there to take them"),
            "start a worker or a server on this store, which takes them; if the process hangs, end it",
        ),
        _ if overdue > TAKEN_WITHIN => (
            Status::Problem,
            format!("{text}; nobody takes them"),
            "look whether those that live are stuck, and restart them; if the process hangs, end it",
        ),
        _ => (Status::Warning, text, "wait: others take them within a minute; if the process hangs, end it"),
    };
    Finding { check: "leases", status, text, fix: Some(fix.to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_takes_is_a_problem_and_what_somebody_will_take_is_none_yet() {
        let status = |jobs: u64, overdue_ms: u64, workers: u64| {
            let late = json!([{ "node": "a:1", "jobs": jobs, "overdueMs": overdue_ms }]);
            leases(&json!({ "late": late, "workers": workers }))[0].status
        };
        assert_eq!(status(2, 1_000, 2), Status::Warning);
        assert_eq!(status(2, 61_000, 2), Status::Problem);
        assert_eq!(status(2, 1_000, 1), Status::Problem, "it is the only one");
        assert_eq!(status(0, 90_000, 1), Status::Warning);
        assert_eq!(leases(&json!({ "late": [], "workers": 3 }))[0].status, Status::Ok);
    }
}
