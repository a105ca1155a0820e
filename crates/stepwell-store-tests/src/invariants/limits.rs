//! How many jobs of a queue run, against its limit.

use super::{check::Findings, snapshot::Snapshot};

/// Nothing begins beyond a limit. More may run than a limit allows that was set only then, but never more than before.
pub(super) fn check(before: &Snapshot, after: &Snapshot, findings: &mut Findings) {
    for queue in &after.queues {
        let Some(limit) = queue.limit else { continue };
        let running = |snapshot: &Snapshot| {
            let of_queue = snapshot.jobs.iter().filter(|shown| shown.job.queue == queue.name);
            of_queue.filter(|shown| shown.job.state.is_owned()).count()
        };
        let (was, is) = (running(before), running(after));
        let allowed = was.max(usize::try_from(limit).unwrap_or(usize::MAX));
        findings.expect("I8", is <= allowed, || {
            format!("{is} jobs of queue {} run, after {was}, and its limit is {limit}", queue.name)
        });
    }
}
