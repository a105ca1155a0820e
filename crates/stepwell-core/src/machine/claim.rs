//! T2: a worker takes a job.

use serde::Serialize;
use serde_json::json;

use crate::{
    event::EventType,
    id::SessionId,
    job::{Job, JobState},
    lease::Lease,
    name::Name,
    phase::{Phase, PhaseState},
    time::Timestamp,
};

use super::{
    command::Claim,
    transition::{Draughtsman, Reject, Transition},
};

/// What a claim says.
#[derive(Serialize)]
struct Taken {
    session: SessionId,
}

pub(super) fn claim(job: &Job, claim: &Claim, now: Timestamp) -> Result<Transition, Reject> {
    let expired = job.expires_at.is_some_and(|at| at <= now);
    let newer_plan = job.plan.as_ref().is_some_and(|plan| plan.generation > claim.plan_ref.generation);
    if !job.is_ready(now) || expired || newer_plan || claim.plan.kind != job.kind {
        return Err(Reject::NotClaimable);
    }
    let mut draft = Draughtsman::of(job);
    let mut skipped = Vec::new();
    if !claim.plan.fits(&job.phases) {
        let matched = claim.plan.match_phases(&job.phases);
        draft.job.phases = matched.phases.into();
        skipped = matched.skipped;
    }
    let spent = |phase: &Phase| phase.state == PhaseState::Pending && phase.tries >= phase.max_tries;
    if draft.job.phases.iter().any(spent) {
        for phase in draft.job.phases.iter_mut().filter(|phase| spent(phase)) {
            // A deploy may allow fewer tries than are spent. The job was promised another one, and that is then the
            // last.
            phase.max_tries = phase.tries.saturating_add(1);
        }
    }
    draft.job.plan = Some(claim.plan_ref.clone());

    let next_queue = draft.job.next_phase().map(|phase| draft.job.queue_of(phase).clone());
    if let Some(queue) = next_queue.filter(|queue| *queue != job.queue) {
        // The job was enqueued before its plan was known, or the plan moved the phase: it goes where that phase runs,
        // and whoever works there claims it. Nothing was claimed, so nothing is charged.
        draft.say(EventType::Edited, Some(json!({ "queue": queue, "by": "plan" })));
        report_skipped(&mut draft, &skipped);
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
    draft.say_as(ty, None, &Taken { session: claim.session });
    report_skipped(&mut draft, &skipped);
    Ok(draft.done())
}

fn report_skipped(draft: &mut Draughtsman, skipped: &[Name]) {
    for phase in skipped {
        draft.say_of(EventType::PhaseSkipped, phase, Some(json!({ "reason": "behind the job's position" })));
    }
}
