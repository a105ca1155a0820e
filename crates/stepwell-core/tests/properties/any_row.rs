//! No command panics, whatever stands in the row: it may have been written by another version, or by hand.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use stepwell_core::{
    Job, JobId, JobState, Json, Name, Phase, PhaseSpec, PhaseState, PlanSpec, Retry, SessionId, Timestamp,
    Token,
    job::{PlanRef, Progress},
    lease::{Fence, Lease},
    machine::{self, Claim, Command, Context, Edit, LogLine, NewJob, RetryFrom, Verdict},
    phase::Recorded,
    schedule::When,
};

/// Numbers at both ends, where counters overflow.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(2), Just(u32::MAX - 1), Just(u32::MAX)]
}
fn large() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), Just(u64::MAX - 1), Just(u64::MAX)]
}
fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![Just(i64::MIN), Just(-1), Just(0), Just(1), Just(i64::MAX)].prop_map(Timestamp::from_micros)
}
fn name() -> impl Strategy<Value = Name> {
    prop::sample::select(vec!["a", "b", "c", ""]).prop_map(Name::from)
}

fn phases() -> impl Strategy<Value = Vec<Phase>> {
    use PhaseState as S;
    let state =
        prop::sample::select(vec![S::Pending, S::Running, S::Completed, S::Failed, S::Cancelled, S::Skipped]);
    let phase = (name(), prop::option::of(name()), state, number(), number(), number(), any::<[bool; 4]>());
    let phase = phase.prop_map(
        |(name, queue, state, tries, max_tries, discarded, [result, checkpoint, cut, renamed])| Phase {
            state,
            tries,
            discarded,
            checkpoint,
            interrupted: cut,
            stored_as: renamed.then(|| "a".into()),
            result: result.then(|| Recorded::of(&Json::null())),
            ..Phase::pending(name, max_tries, queue)
        },
    );
    prop::collection::vec(phase, 0..4)
}

prop_compose! {
    fn rows()(
        state in prop::sample::select(JobState::ALL.to_vec()),
        phases in phases(),
        (run, attempt, crashes, max_crashes) in (number(), number(), number(), number()),
        (version, epoch, next_seq, generation) in (large(), large(), large(), large()),
        is_leased: bool,
        (available_at, expires_at, cancel_deadline) in (time(), prop::option::of(time()), prop::option::of(time())),
        (queue, home_queue) in (name(), name()),
    ) -> Job {
        let new = NewJob::new(JobId::from_bytes([7; 16]), "kind", Json::null());
        let lease = Lease { session: SessionId::from_bytes([1; 16]), token: Token::from_bytes([1; 16]) };
        Job {
            state, run, attempt, crashes, max_crashes, version, epoch, next_seq, available_at, expires_at,
            cancel_deadline, queue, home_queue,
            phases: phases.into(),
            lease: is_leased.then_some(lease),
            plan: Some(PlanRef { hash: "hash".into(), generation }),
            ..machine::enqueue(&new, None, Timestamp::from_micros(0)).job
        }
    }
}

fn plans() -> impl Strategy<Value = PlanSpec> {
    let phase = (name(), prop::option::of(name()), prop::collection::vec(name(), 0..2), number());
    let phase = phase.prop_map(|(name, renamed_from, inputs, tries)| PhaseSpec {
        renamed_from,
        inputs,
        retry: Retry::exponential(tries),
        ..PhaseSpec::new(name)
    });
    prop::collection::vec(phase, 0..4).prop_map(|phases| PlanSpec { kind: "kind".into(), phases })
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    (name(), plans(), large(), any::<f64>(), any::<Duration>(), ".{0,300}").prop_map(
        |(phase, plan, generation, jitter, delay, text)| {
            let value = Json::of(&text).unwrap();
            let at = Timestamp::from_micros(i64::MAX);
            let claim = Claim {
                session: SessionId::from_bytes([1; 16]),
                token: Token::from_bytes([1; 16]),
                plan: Arc::new(plan),
                plan_ref: PlanRef { hash: "hash".into(), generation },
            };
            let fail = |verdict| Command::FailPhase {
                phase: phase.clone(),
                error: text.clone(),
                verdict,
                retry: Retry::exponential(u32::MAX).starting_at(delay),
                jitter,
            };
            let retry = |from, rerun| Command::Retry { from, rerun, payload: Some(value.clone()) };
            let progress = Progress { done: u64::MAX, total: 0, note: Some(text.clone()) };
            let lines = vec![LogLine { at, phase: None, text: text.clone() }];
            let index = u32::MAX;
            vec![
                Command::Claim(claim),
                Command::StartPhase,
                Command::SaveCheckpoint { phase: phase.clone(), value: value.clone() },
                Command::Annotate { progress: Some(progress), lines },
                Command::EndElement {
                    phase: phase.clone(),
                    index,
                    input_hash: text.clone(),
                    result: value.clone(),
                },
                Command::CompletePhase { phase: phase.clone(), result: value.clone() },
                fail(Verdict::Retry),
                fail(Verdict::RetryIn(delay)),
                fail(Verdict::Permanent),
                Command::Snooze { delay },
                Command::AcknowledgeCancel,
                Command::Release,
                Command::Cancel { grace: delay },
                Command::ForceCancel,
                Command::LoseLease { node: text.clone(), jitter },
                retry(RetryFrom::Unfinished, false),
                retry(RetryFrom::Start, true),
                retry(RetryFrom::Phase(phase.clone()), true),
                Command::Expire,
                Command::Delete,
                Command::Edit(Edit {
                    payload: Some(value.clone()),
                    priority: Some(i16::MIN),
                    queue: Some(phase.clone()),
                    when: Some(When::After(delay)),
                    tags: Some(vec![phase.clone()]),
                    ..Edit::default()
                }),
                Command::RecordWebhook { delivered: true, data: value.clone() },
            ]
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_command_panics(job in rows(), commands in commands(), now in time()) {
        let context = Context { now, ..Context::default() };
        let reaper = Fence::Reaper { epoch: job.epoch, session: SessionId::from_bytes([1; 16]) };
        let owner = Fence::Owner { epoch: job.epoch, token: Token::from_bytes([1; 16]) };
        let fences = [Fence::None, Fence::Version(job.version), owner, reaper];
        for fence in fences {
            for command in &commands {
                if let Ok(next) = machine::apply(&job, fence, command, &context) {
                    prop_assert!(next.job.epoch >= job.epoch, "{:?} turns the epoch back", command);
                }
                let _ = machine::apply_all(&job, fence, &[command.clone(), Command::StartPhase], &context);
            }
        }
    }
}
