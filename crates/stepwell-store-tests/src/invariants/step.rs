//! What must hold from one snapshot to a later one.

use std::collections::BTreeMap;

use stepwell_core::{EventType, JobId};

use super::{
    check::Findings,
    snapshot::{Shown, Snapshot},
};

pub(super) fn check(before: &Snapshot, after: &Snapshot, findings: &mut Findings) {
    log_only_grows(before, after, findings);
    let now: BTreeMap<JobId, &Shown> = after.jobs.iter().map(|shown| (shown.job.id, shown)).collect();
    for shown in &before.jobs {
        let id = shown.job.id;
        match now.get(&id) {
            Some(later) => job(shown, later, after, before.head, findings),
            None => {
                let said = after.events.iter().any(|event| event.job == id && event.ty == EventType::Deleted);
                let legal = said || after.floor > before.head + 1;
                findings.expect("I1", legal, || format!("job {} is gone", id.short()));
            }
        }
    }
}

fn log_only_grows(before: &Snapshot, after: &Snapshot, findings: &mut Findings) {
    findings.expect("I27", after.floor >= before.floor && after.head >= before.head, || {
        format!("the log went from {}..={} to {}..={}", before.floor, before.head, after.floor, after.head)
    });
    let kept = before.events.iter().filter(|event| event.pos >= after.floor);
    let same = after.events.iter().zip(kept).all(|(later, event)| later == event);
    findings.expect("I27", same, || "an event has changed, or has gone from the middle".into());
}

fn job(shown: &Shown, later: &Shown, after: &Snapshot, head: u64, findings: &mut Findings) {
    let (was, is) = (&shown.job, &later.job);
    let named = |what: &str| format!("job {}: {what}", is.id.short());
    let events: Vec<EventType> = after
        .events
        .iter()
        .filter(|event| event.pos > head && event.job == is.id)
        .map(|event| event.ty)
        .collect();
    findings.expect("I6", is.epoch >= was.epoch, || named("its epoch went back"));
    findings.expect("I3", is.version >= was.version && is.run >= was.run, || named("its version went back"));
    findings
        .expect("I3", is.version > was.version || is == was, || named("changed, but has the same version"));
    let claims =
        events.iter().filter(|ty| matches!(ty, EventType::Started | EventType::Resumed)).count() as u64;
    findings.expect("I6", is.epoch >= was.epoch + claims, || named("a claim did not raise its epoch"));
    let claimed_again = is.lease.is_some() && is.lease != was.lease;
    findings
        .expect("I6", !claimed_again || is.epoch > was.epoch, || named("a new lease under the old epoch"));
    let may_change = events.contains(&EventType::Edited) || events.contains(&EventType::Retried);
    findings.expect("I4", shown.payload == later.payload || may_change, || named("its payload changed"));
    let left_the_end = was.state.is_terminal() && is.state != was.state;
    findings.expect("I3", !left_the_end || events.contains(&EventType::Retried), || named("left its end"));
    findings.expect("I30", is.next_seq == was.next_seq + events.len() as u64, || named("its events"));
    for phase in was.phases.iter().filter(|_| is.run == was.run) {
        let (Some(recorded), Some(now)) = (&phase.result, is.phase(phase.stored_name())) else { continue };
        let same = now.result.as_ref().is_some_and(|now| now.hash == recorded.hash);
        findings.expect("I19", same, || named(&format!("the result of {} changed", phase.name)));
    }
}
