//! What must hold of the rows.

use std::collections::{BTreeMap, BTreeSet};

use stepwell_core::{Job, JobState, Phase, PhaseState, phase::short_hash, store::Count};

use super::{
    check::Findings,
    snapshot::{Beside, Shown, Snapshot},
};
use crate::world::shape;

pub(super) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    unique_keys(snapshot, findings);
    counters(snapshot, findings);
    ownership(snapshot, findings);
    for shown in &snapshot.jobs {
        row(&shown.job, findings);
        beside(shown, findings);
    }
}

fn unique_keys(snapshot: &Snapshot, findings: &mut Findings) {
    let mut held = BTreeSet::new();
    for job in snapshot.jobs.iter().map(|shown| &shown.job).filter(|job| !job.state.is_terminal()) {
        if let Some(key) = &job.unique_key {
            let free = held.insert((&job.kind, key));
            findings.expect("I2", free, || format!("two live jobs hold the key {key:?} of {}", job.kind));
        }
    }
}

fn counters(snapshot: &Snapshot, findings: &mut Findings) {
    let mut found: BTreeMap<_, u64> = BTreeMap::new();
    for Shown { job, .. } in &snapshot.jobs {
        *found.entry((job.queue.clone(), job.kind.clone(), job.state)).or_default() += 1;
    }
    let found: Vec<Count> =
        found.into_iter().map(|((queue, kind, state), n)| Count { queue, kind, state, n }).collect();
    findings.expect("I45", found == snapshot.counts, || {
        format!("counted {found:?}, but the counters say {:?}", snapshot.counts)
    });
}

fn ownership(snapshot: &Snapshot, findings: &mut Findings) {
    for (session, listed) in &snapshot.owned {
        let mut found: Vec<_> = snapshot
            .jobs
            .iter()
            .map(|shown| &shown.job)
            .filter(|job| job.lease.is_some_and(|lease| lease.session == *session))
            .filter_map(|job| Some((job.id, job.owner_fence()?, job.cancel_requested_at.is_some())))
            .collect();
        found.sort_by_key(|(id, _, _)| *id);
        findings.expect("I5", found == *listed, || {
            format!("session {session} owns {listed:?}, but the rows say {found:?}")
        });
    }
    let mut tokens = BTreeSet::new();
    for lease in snapshot.jobs.iter().filter_map(|shown| shown.job.lease) {
        let fresh = tokens.insert(*lease.token.as_bytes());
        findings.expect("I6", fresh, || "two leases have one token".into());
    }
}

fn row(job: &Job, findings: &mut Findings) {
    let named = |what: &str| format!("job {} ({}, {}): {what}", job.id.short(), job.state, shape(job));
    findings.expect("I5", job.lease.is_some() == job.state.is_owned(), || named("lease against state"));
    findings.expect("I11", job.phases.iter().all(|phase| phase.tries <= phase.max_tries), || {
        named("more tries than there are")
    });
    findings.expect("I12", job.crashes <= job.max_crashes, || named("more crashes than it survives"));
    findings.expect("I14", is_shape_legal(job), || named("the phases are not in order"));
    let running = job.phases.iter().filter(|phase| phase.state == PhaseState::Running).count();
    findings.expect("I15", running <= 1, || named("more than one phase runs"));
    let open = job.phases.iter().any(|phase| !phase.is_closed());
    findings.expect("I16", !(open && job.state.is_terminal()), || named("an ended job has an open phase"));
    let says_why = job.reason.is_some() && job.details.failure.is_some();
    findings
        .expect("I18", says_why || job.state != JobState::Failed, || named("failed, and does not say why"));
    findings.expect("I25", job.finished_at.is_some() == job.state.is_terminal(), || named("its end's time"));
    let asked = job.cancel_requested_at.is_some();
    findings.expect("I3", asked || job.state != JobState::Cancelling, || named("nobody asked it to stop"));
    findings.expect("I3", job.version >= 1 && job.run >= 1 && job.next_seq >= 2, || named("its numbers"));
}

/// The phases in the order in which they ran, against the state.
fn is_shape_legal(job: &Job) -> bool {
    let shape = shape(job);
    let after = |text: &str, letters: &[char]| text.trim_start_matches(|c| letters.contains(&c)).to_owned();
    let rest = after(&shape, &['C', 'S']);
    match job.state {
        JobState::Pending => after(&rest, &['P']).is_empty(),
        JobState::Running | JobState::Cancelling => {
            after(rest.strip_prefix('R').unwrap_or(&rest), &['P']).is_empty()
        }
        JobState::Completed => !shape.is_empty() && rest.is_empty(),
        JobState::Failed => after(rest.strip_prefix('F').unwrap_or(&rest), &['S']).is_empty(),
        JobState::Cancelled => after(&rest, &['X']).is_empty(),
    }
}

fn beside(shown: &Shown, findings: &mut Findings) {
    let job = &shown.job;
    findings.expect("I1", shown.payload.is_some(), || format!("job {} has no payload", job.id.short()));
    let nothing = Beside::default();
    for phase in &job.phases {
        let named = |what: &str| format!("phase {} of job {}: {what}", phase.name, job.id.short());
        let beside = shown.phases.get(phase.stored_name()).unwrap_or(&nothing);
        let completed = phase.state == PhaseState::Completed;
        findings.expect("I19", completed == phase.result.is_some(), || named("result against state"));
        findings.expect("I19", is_recorded(phase, beside), || named("its result is not what was recorded"));
        findings.expect("I22", phase.checkpoint == beside.checkpoint.is_some(), || named("its checkpoint"));
        let ordered = beside.elements.is_sorted_by_key(|element| element.index);
        findings
            .expect("I19", ordered && (!completed || beside.elements.is_empty()), || named("its elements"));
        let timed = phase.state != PhaseState::Running || phase.started_at.is_some();
        findings.expect("I24", timed, || named("runs since never"));
    }
}

fn is_recorded(phase: &Phase, beside: &Beside) -> bool {
    match (&phase.result, &beside.result) {
        (None, None) => true,
        (Some(recorded), Some(result)) => {
            recorded.hash == short_hash(result.as_str())
                && recorded.bytes == result.bytes()
                && recorded.inline.as_ref().is_none_or(|inline| inline == result)
        }
        _ => false,
    }
}
