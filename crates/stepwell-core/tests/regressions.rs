//! Bugs that the machine had, one test each, named after what went wrong.

use std::{sync::Arc, time::Duration};

use stepwell_core::{
    EventType, Job, JobId, JobState, Json, Name, PhaseSpec, PlanSpec, SessionId, Timestamp, Token,
    job::PlanRef,
    lease::Fence,
    machine::{self, Claim, Command, Context, NewJob, Reject, Transition},
};

const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);


fn plan(phases: impl IntoIterator<Item = PhaseSpec>) -> PlanSpec {
    PlanSpec { kind: "kind".into(), phases: phases.into_iter().collect() }
}
fn enqueued(plan: &PlanSpec) -> Job {
    let new = NewJob::new(JobId::from_bytes([7; 16]), "kind", Json::null());
    let plan_ref = PlanRef { hash: plan.hash().into(), generation: 1 };
    machine::enqueue(&new, Some((plan, plan_ref)), NOW).job
}
fn claim_of(plan: &PlanSpec) -> Claim {
    let session = SessionId::from_bytes([2; 16]);
    let plan_ref = PlanRef { hash: plan.hash().into(), generation: 2 };
    Claim { session, token: Token::from_bytes([1; 16]), plan: Arc::new(plan.clone()), plan_ref }
}
fn context() -> Context {
    Context { now: NOW, ..Context::default() }
}
fn claimed(job: &Job, plan: &PlanSpec) -> Job {
    machine::claim_and_start(job, &claim_of(plan), &context()).unwrap().job
}
fn by_owner(job: &Job, commands: &[Command]) -> Result<Transition, Reject> {
    machine::apply_all(job, job.owner_fence().unwrap(), commands, &context())
}
fn by_reaper(job: &Job, command: &Command, now: Timestamp) -> Transition {
    let fence = Fence::Reaper { epoch: job.epoch, session: job.lease.unwrap().session };
    machine::apply(job, fence, command, &Context { now, ..Context::default() }).unwrap()
}
fn by_operator(job: &Job, command: &Command) -> Result<Transition, Reject> {
    machine::apply(job, Fence::None, command, &context())
}
fn types(transition: &Transition) -> Vec<EventType> {
    transition.events.iter().map(|event| event.ty).collect()
}

#[test]
fn a_former_owners_fence_does_not_open_an_operators_command() {
    let plan = plan([PhaseSpec::new("a")]);
    let job = claimed(&enqueued(&plan), &plan);
    let former = Fence::Owner { epoch: job.epoch - 1, token: Token::from_bytes([9; 16]) };
    let cancel = Command::Cancel { grace: Duration::ZERO };
    assert_eq!(machine::apply(&job, former, &cancel, &context()).unwrap_err(), Reject::LeaseLost);
    let transition = machine::apply(&job, job.owner_fence().unwrap(), &cancel, &context()).unwrap();
    assert_eq!(transition.job.state, JobState::Cancelling);
}
