//! T2: a worker takes a job.

use serde_json::json;

use crate::{
    event::EventType,
    job::{Job, JobState},
    lease::Lease,
    name::Name,
    phase::PhaseState,
    time::Timestamp,
};

use super::{
    command::Claim,
    transition::{Draughtsman, Reject, Transition},
};

pub(super) fn claim(job: &Job, claim: &Claim, now: Timestamp) -> Result<Transition, Reject> {
    let expired = job.expires_at.is_some_and(|at| at <= now);
    let newer_plan = job.plan.as_ref().is_some_and(|plan| plan.generation > claim.plan_ref.generation);
    if !job.is_ready(now) || expired || newer_plan || claim.plan.kind != job.kind {
        return Err(Reject::NotClaimable);
    }
    let mut draft = Draughtsman::of(job);
    let matched = claim.plan.match_phases(&job.phases);
    draft.job.phases = matched.phases;
    for phase in draft.job.phases.iter_mut().filter(|phase| phase.state == PhaseState::Pending) {
        // A deploy may allow fewer tries than are spent. The job was promised another one, and that is then the last.
        phase.max_tries = phase.max_tries.max(phase.tries.saturating_add(1));
    }
    draft.job.plan = Some(claim.plan_ref.clone());

    let next_queue = draft.job.next_phase().map(|phase| draft.job.queue_of(phase).clone());
    if let Some(queue) = next_queue.filter(|queue| *queue != job.queue) {
        // The job was enqueued before its plan was known, or the plan moved the phase: it goes where that phase runs,
        // and whoever works there claims it. Nothing was claimed, so nothing is charged.
        draft.say(EventType::Edited, Some(json!({ "queue": queue, "by": "plan" })));
        report_skipped(&mut draft, &matched.skipped);
        draft.job.queue = queue;
        return Ok(draft.done());
    }

    let resumed =
        draft.job.phases.iter().any(|phase| phase.state == PhaseState::Completed || phase.interrupted);
    draft.job.state = JobState::Running;
    draft.job.reason = None;
    draft.job.epoch = draft.job.epoch.saturating_add(1);
    draft.job.attempt = draft.job.attempt.saturating_add(1);
    draft.job.crashes = draft.job.crashes.saturating_add(1);
    draft.job.lease = Some(Lease { session: claim.session, token: claim.token });
    let ty = if resumed { EventType::Resumed } else { EventType::Started };
    draft.say(ty, Some(json!({ "session": claim.session })));
    report_skipped(&mut draft, &matched.skipped);
    Ok(draft.done())
}

fn report_skipped(draft: &mut Draughtsman, skipped: &[Name]) {
    for phase in skipped {
        draft.say_of(EventType::PhaseSkipped, phase, Some(json!({ "reason": "behind the job's position" })));
    }
}
