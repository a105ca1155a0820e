//! What must hold of the event log by itself.

use std::collections::BTreeMap;

use stepwell_core::{Event, EventType, JobId};

use super::{check::Findings, snapshot::Snapshot};

pub(super) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    let expected: Vec<u64> = (snapshot.floor..=snapshot.head).collect();
    let positions: Vec<u64> = snapshot.events.iter().map(|event| event.pos).collect();
    findings.expect("I28", positions == expected, || {
        format!("positions {positions:?} between {} and {}", snapshot.floor, snapshot.head)
    });
    let in_time = snapshot.events.is_sorted_by_key(|event| event.at);
    findings.expect("I47", in_time, || "the events' times go backwards".into());

    let by_job = by_job(&snapshot.events);
    for (id, events) in &by_job {
        let gapless = events.windows(2).all(|pair| pair[1].job_seq == pair[0].job_seq + 1);
        findings.expect("I23", gapless, || format!("job {} has a gap in its own order", id.short()));
        let whole = snapshot.floor > 1 || events[0].job_seq == 1;
        findings.expect("I23", whole, || format!("job {} does not begin at 1", id.short()));
        let ends = events.iter().rposition(|event| event.ty == EventType::Deleted);
        let nothing_after = ends.is_none_or(|at| at + 1 == events.len());
        findings.expect("I3", nothing_after, || format!("job {} goes on after its deletion", id.short()));
        let known = ends.is_some() || snapshot.jobs.iter().any(|shown| shown.job.id == *id);
        findings.expect("I1", known, || format!("job {} is gone, and nothing says so", id.short()));
    }
    for shown in &snapshot.jobs {
        let in_log = by_job.get(&shown.job.id).map_or(&[][..], Vec::as_slice);
        let same = in_log.iter().copied().eq(&shown.history);
        findings.expect("I24", same, || format!("job {}: history against log", shown.job.id.short()));
        let last = shown.history.last().map(|event| event.job_seq + 1);
        let counted = last.is_none_or(|next| next == shown.job.next_seq);
        findings.expect("I30", counted, || format!("job {}: events against row", shown.job.id.short()));
    }
}

pub(super) fn by_job(events: &[Event]) -> BTreeMap<JobId, Vec<&Event>> {
    let mut by_job: BTreeMap<JobId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_job.entry(event.job).or_default().push(event);
    }
    by_job
}
