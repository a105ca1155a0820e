//! Several commands in one request are the same as one after another.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use stepwell_core::{
    Job, JobId, JobState, Json, Name, PhaseSpec, PlanSpec, Retry, SessionId, Timestamp, Token,
    job::{PlanRef, Progress},
    lease::Fence,
    machine::{self, Claim, Command, Context, NewJob, Reject, RetryFrom, Transition, Verdict},
};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn plan() -> Arc<PlanSpec> {
    let phase = |name: &str| PhaseSpec { retry: Retry::exponential(3), ..PhaseSpec::new(name) };
    let elsewhere = PhaseSpec { queue: Some("elsewhere".into()), ..phase("c") };
    Arc::new(PlanSpec { kind: "kind".into(), phases: vec![phase("a"), phase("b"), elsewhere] })
}

fn claim(token: u8) -> Claim {
    let plan = plan();
    let plan_ref = PlanRef { hash: plan.hash().into(), generation: 1 };
    Claim { session: SessionId::from_bytes([1; 16]), token: Token::from_bytes([token; 16]), plan, plan_ref }
}

/// What an owner may send.
fn owners() -> impl Strategy<Value = Command> {
    let phase = prop::sample::select(vec!["a", "b", "c"]).prop_map(Name::from);
    (0..11_u8, phase, 0.0..1.0_f64).prop_map(|(which, phase, jitter)| {
        let (value, retry, error) = (Json::of(&which).unwrap(), Retry::exponential(3), "boom".to_owned());
        match which {
            0 | 1 => Command::StartPhase,
            2 | 3 => Command::CompletePhase { phase, result: value },
            4 => Command::SaveCheckpoint { phase, value },
            5 => Command::Annotate { progress: Some(Progress::default()), lines: Vec::new() },
            6 => Command::EndElement { phase, index: 0, input_hash: String::new(), result: value },
            7 => Command::FailPhase { phase, error, verdict: Verdict::Retry, retry, jitter },
            8 => Command::Snooze { delay: Duration::from_secs(1) },
            9 => Command::AcknowledgeCancel,
            _ => Command::Release,
        }
    })
}

/// What others may do in between.
fn others() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => any::<u8>().prop_map(|token| Command::Claim(claim(token))),
        1 => Just(Command::Cancel { grace: Duration::from_secs(1) }),
        1 => Just(Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload: None }),
        1 => Just(Command::Retry { from: RetryFrom::Start, rerun: true, payload: None }),
    ]
}

/// The rule as it is documented.
fn one_by_one(
    job: &Job,
    fence: Fence,
    commands: &[Command],
    context: &Context,
) -> Result<Transition, Reject> {
    let (first, rest) = commands.split_first().ok_or(Reject::NoChange)?;
    let mut whole = machine::apply(job, fence, first, context)?;
    for command in rest {
        let begins = matches!(command, Command::StartPhase);
        match whole.job.state {
            JobState::Running => {}
            JobState::Cancelling if !begins => {}
            _ => break,
        }
        let next = machine::apply(&whole.job, fence, command, context)?;
        whole.job = next.job;
        whole.events.extend(next.events);
        whole.writes.extend(next.writes);
        whole.removed |= next.removed;
    }
    Ok(whole)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_request_is_its_commands_one_after_another(
        walk in prop::collection::vec(prop_oneof![3 => owners(), 2 => others()], 0..20),
        request in prop::collection::vec(owners(), 0..4),
    ) {
        let plan = plan();
        let plan_ref = PlanRef { hash: plan.hash().into(), generation: 1 };
        let new = NewJob::new(JobId::from_bytes([7; 16]), "kind", Json::null());
        let mut job = machine::enqueue(&new, Some((&plan, plan_ref)), START).job;
        let mut now = START;
        for command in walk {
            now = now + Duration::from_mins(1);
            let fence = job.owner_fence().unwrap_or(Fence::None);
            if let Ok(next) = machine::apply(&job, fence, &command, &Context { now, ..Context::default() }) {
                job = next.job;
            }
        }
        let fence = job.owner_fence().unwrap_or(Fence::None);
        let context = Context { now, ..Context::default() };
        let parts = one_by_one(&job, fence, &request, &context);
        match (machine::apply_all(&job, fence, &request, &context), parts) {
            (Ok(whole), Ok(parts)) => {
                prop_assert_eq!(whole.job.next_seq - job.next_seq, whole.events.len() as u64);
                prop_assert_eq!(whole.job, parts.job);
                prop_assert_eq!(whole.events, parts.events);
                prop_assert_eq!(whole.writes, parts.writes);
                prop_assert_eq!(whole.removed, parts.removed);
            }
            (Err(whole), Err(parts)) => prop_assert_eq!(whole, parts),
            (whole, parts) => prop_assert!(false, "{:?}, not {:?}", whole, parts),
        }
        if job.state == JobState::Pending {
            let claim = claim(9);
            let whole = machine::claim_and_start(&job, &claim, &context).map(|whole| whole.job);
            let claimed = machine::apply(&job, Fence::None, &Command::Claim(claim), &context);
            let parts = claimed.and_then(|claimed| match claimed.job.owner_fence() {
                Some(fence) => machine::apply(&claimed.job, fence, &Command::StartPhase, &context),
                None => Ok(claimed),
            });
            prop_assert_eq!(whole, parts.map(|parts| parts.job));
        }
    }
}
