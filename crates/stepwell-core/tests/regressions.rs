//! Bugs that the machine had, one test each, named after what went wrong.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

use std::{sync::Arc, time::Duration};

use stepwell_core::{
    EventType, Job, JobId, JobState, Json, Name, PhaseSpec, PlanSpec, Retry, SessionId, Timestamp, Token,
    job::PlanRef,
    lease::Fence,
    machine::{self, Claim, Command, Context, Edit, NewJob, Reject, RetryFrom, Transition, Verdict},
    schedule::When,
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

#[test]
fn a_phase_that_was_cut_off_for_good_knows_it_when_an_operator_retries() {
    let plan = plan([PhaseSpec::new("a")]);
    let running = claimed(&enqueued(&plan), &plan);
    let dead = Command::LoseLease { node: "node".into(), jitter: 1.0 };
    let poisoned = by_reaper(&Job { crashes: running.max_crashes, ..running.clone() }, &dead, NOW).job;
    let cancelling = by_operator(&running, &Command::Cancel { grace: Duration::ZERO }).unwrap().job;
    let forced = by_reaper(&cancelling, &Command::ForceCancel, NOW).job;
    let acknowledged = by_owner(&cancelling, &[Command::AcknowledgeCancel]).unwrap().job;
    for ended in [poisoned, forced, acknowledged] {
        let retry = Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload: None };
        let again = claimed(&by_operator(&ended, &retry).unwrap().job, &plan);
        assert!(again.running_phase().unwrap().interrupted, "after {:?}", ended.reason);
    }
}

#[test]
fn giving_a_job_back_ends_its_cancellation_also_after_a_checkpoint() {
    let plan = plan([PhaseSpec::new("a")]);
    let running = claimed(&enqueued(&plan), &plan);
    let cancelling = by_operator(&running, &Command::Cancel { grace: Duration::from_secs(9) }).unwrap().job;
    let checkpoint = Command::SaveCheckpoint { phase: "a".into(), value: Json::null() };
    let ended = by_owner(&cancelling, &[checkpoint, Command::Release]).unwrap();
    assert_eq!((ended.job.state, types(&ended)), (JobState::Cancelled, vec![EventType::Cancelled]));
    assert!(ended.job.phases[0].checkpoint);
}

#[test]
fn a_phase_skipped_while_its_job_moves_to_another_queue_is_reported() {
    let old = plan([PhaseSpec::new("a"), PhaseSpec::new("b")]);
    let job = by_owner(
        &claimed(&enqueued(&old), &old),
        &[Command::CompletePhase { phase: "a".into(), result: Json::null() }, Command::Release],
    );
    let on_gpu = PhaseSpec { queue: Some("gpu".into()), ..PhaseSpec::new("b") };
    let new = plan([PhaseSpec::new("inserted"), PhaseSpec::new("a"), on_gpu]);
    let moved = machine::claim_and_start(&job.unwrap().job, &claim_of(&new), &context()).unwrap();
    assert_eq!((moved.job.state, &*moved.job.queue), (JobState::Pending, "gpu"));
    assert_eq!(types(&moved), [EventType::Edited, EventType::PhaseSkipped]);
    assert_eq!(moved.events[1].phase, Some(Name::from("inserted")));
}

#[test]
fn a_deploy_that_allows_fewer_tries_than_are_spent_leaves_one_more() {
    let allowing = |retry| plan([PhaseSpec { retry, ..PhaseSpec::new("a") }]);
    let fail = |job: &Job| {
        let fail = Command::FailPhase {
            phase: "a".into(),
            error: "boom".into(),
            verdict: Verdict::RetryIn(Duration::ZERO),
            retry: Retry::never(),
            jitter: 0.0,
        };
        by_owner(job, &[fail]).unwrap().job
    };
    let three = allowing(Retry::exponential(3));
    let waiting = fail(&claimed(&fail(&claimed(&enqueued(&three), &three)), &three));
    let again = claimed(&waiting, &allowing(Retry::never()));
    let phase = again.running_phase().unwrap();
    assert_eq!((phase.tries, phase.max_tries), (3, 3));
    assert_eq!(fail(&again).state, JobState::Failed);
}

#[test]
fn an_edit_over_a_limit_does_not_get_past_the_machine() {
    let job = enqueued(&plan([PhaseSpec::new("a")]));
    let edit = Edit { queue: Some("x".repeat(201).into()), ..Edit::default() };
    let reject = by_operator(&job, &Command::Edit(edit)).unwrap_err();
    assert!(matches!(&reject, Reject::Invalid { field, .. } if field == "queue"), "{reject:?}");
}

#[test]
fn what_a_job_of_stepwells_own_carries_is_nobodys_to_change() {
    let new = NewJob::new(JobId::from_bytes([7; 16]), "stepwell.webhook", Json::null());
    let mut job = machine::enqueue(&new, None, NOW).job;
    let payload = Some(Json::null());
    let edits = [
        Edit { payload: payload.clone(), ..Edit::default() },
        Edit { queue: Some("mine".into()), ..Edit::default() },
        Edit { tags: Some(Vec::new()), ..Edit::default() },
        Edit { attributes: Some([("source".into(), "other".into())].into()), ..Edit::default() },
    ];
    for edit in edits {
        let reject = by_operator(&job, &Command::Edit(edit)).unwrap_err();
        assert!(matches!(reject, Reject::Invalid { .. }), "{reject:?}");
    }
    let later = Edit { when: Some(When::Now), ..Edit::default() };
    by_operator(&job, &Command::Edit(later)).unwrap();

    job.state = JobState::Completed;
    let rerun = |payload| Command::Retry { from: RetryFrom::Start, rerun: true, payload };
    let reject = by_operator(&job, &rerun(payload)).unwrap_err();
    assert!(matches!(reject, Reject::Invalid { .. }), "{reject:?}");
    by_operator(&job, &rerun(None)).unwrap();
}

#[test]
fn a_retrys_payload_is_named_once_when_it_is_refused() {
    let mut job = enqueued(&plan([PhaseSpec::new("a")]));
    job.state = JobState::Failed;
    let payload = Some(Json::from_text(r#""\u0000""#).unwrap());
    let retry = Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload };
    let error = stepwell_core::Error::from(by_operator(&job, &retry).unwrap_err());
    assert!(error.to_string().starts_with("`payload` holds"), "{error}");
}

#[test]
fn a_late_delivery_about_an_earlier_run_does_not_count_for_the_next_one() {
    let job = enqueued(&plan([PhaseSpec::new("a")]));
    let delivered = Command::RecordWebhook { delivered: true, data: Json::null() };
    let retried = by_operator(&job, &delivered).unwrap();
    assert!(!retried.job.details.webhook_sent);
    assert_eq!(types(&retried), [EventType::WebhookDelivered]);
    let ended = by_operator(&job, &Command::Cancel { grace: Duration::ZERO }).unwrap().job;
    assert!(by_operator(&ended, &delivered).unwrap().job.details.webhook_sent);
}
