//! The store's file, the log beside it, and the disk they are on.

use serde_json::Value;

use super::finding::Finding;
use crate::output::bytes;

/// A log of this size is not moved into the file as it should be: somebody reads for very long.
const LOG_BYTES_MAX: u64 = 256 << 20;
/// With less than this nothing can be stored before long.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// With less than this somebody should know.
const FREE_BYTES_LOW: u64 = 1 << 30;

/// What the store had to tell when it was opened.
pub(super) fn recovery(health: &Value) -> impl Iterator<Item = Finding> {
    let notices = health["notices"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let fix = "find out why the process before ended as it did";
    notices.map(move |notice| Finding::warning("recovery", notice, fix))
}

/// How large they are, and what is left. A database has tools of its own for that.
pub(super) fn files(health: &Value) -> Vec<Finding> {
    let disk = &health["disk"];
    let size = |name: &str| disk[name].as_u64();
    let (Some(file), Some(log)) = (size("bytes"), size("logBytes")) else { return Vec::new() };
    let text = format!("{} in the file, {} in the log beside it", bytes(file), bytes(log));
    let file = match log > LOG_BYTES_MAX {
        true => {
            let fix = "find who reads from the file for very long, such as a backup or a shell, and end it";
            Finding::warning("sqlite", text, fix)
        }
        false => Finding::ok("sqlite", text),
    };
    std::iter::once(file).chain(size("freeBytes").map(disk_with)).collect()
}

fn disk_with(free: u64) -> Finding {
    let text = format!("{} free", bytes(free));
    let fix = "make room, or let less be kept: stepwell db prune, and serve --keep";
    match free {
        free if free < FREE_BYTES_MIN => Finding::problem("disk", text, fix),
        free if free < FREE_BYTES_LOW => Finding::warning("disk", text, fix),
        _ => Finding::ok("disk", text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn a_log_that_grows_and_a_disk_that_fills_up_are_told() {
        let found = |log: u64, free: u64| {
            let health = json!({ "disk": { "bytes": 4096, "logBytes": log, "freeBytes": free } });
            files(&health).iter().map(|finding| finding.status).collect::<Vec<_>>()
        };
        assert_eq!(found(LOG_BYTES_MAX, FREE_BYTES_LOW), [Status::Ok, Status::Ok]);
        assert_eq!(found(LOG_BYTES_MAX + 1, FREE_BYTES_LOW - 1), [Status::Warning, Status::Warning]);
        assert_eq!(found(0, FREE_BYTES_MIN - 1), [Status::Ok, Status::Problem]);
        assert!(files(&json!({ "disk": null })).is_empty());
    }
}
