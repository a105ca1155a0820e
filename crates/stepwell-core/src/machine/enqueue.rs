//! T1: how a job comes to be.

use serde_json::json;

use crate::{
    event::EventType,
    job::{Details, Job, JobState, PlanRef},
    limits,
    phases::Phases,
    plan::PlanSpec,
    time::Timestamp,
    webhook::JobWebhook,
};

use super::{
    command::NewJob,
    transition::{Draughtsman, Transition},
};

/// The job that a request becomes, bound to the newest registered plan of its kind if there is one.
///
/// The request has been checked, and its unique key is free.
#[must_use]
pub fn enqueue(new: &NewJob, plan: Option<(&PlanSpec, PlanRef)>, now: Timestamp) -> Transition {
    let home_queue = new.queue.clone().unwrap_or_else(|| NewJob::DEFAULT_QUEUE.into());
    let (phases, plan) = match plan {
        Some((spec, plan)) => (spec.fresh_phases(), Some(plan)),
        None => (Phases::default(), None),
    };
    let queue = phases.first().and_then(|phase| phase.queue.clone()).unwrap_or_else(|| home_queue.clone());
    let mut tags = new.tags.clone();
    tags.sort();
    tags.dedup();
    let job = Job {
        id: new.id,
        kind: new.kind.clone(),
        queue,
        home_queue,
        unique_key: new.unique.as_ref().map(|unique| unique.key.clone()),
        plan,
        state: JobState::Pending,
        reason: None,
        version: 0,
        run: 1,
        attempt: 0,
        crashes: 0,
        max_crashes: new.max_crashes.unwrap_or(limits::CRASHES_MAX),
        epoch: 0,
        lease: None,
        enqueued_at: now,
        available_at: new.when.resolve(now),
        expires_at: new.expires.map(|expires| expires.resolve(now)),
        cancel_requested_at: None,
        cancel_deadline: None,
        finished_at: None,
        priority: new.priority,
        next_seq: 1,
        phases,
        details: Details {
            tags,
            attributes: new.attributes.clone(),
            webhook: new.webhook.as_ref().map(JobWebhook::shown),
            ..Details::default()
        },
    };
    let mut draft = Draughtsman::of(&job);
    let scheduled = (job.available_at > now).then(|| json!({ "availableAt": job.available_at }));
    draft.say(EventType::Enqueued, scheduled);
    draft.done()
}
