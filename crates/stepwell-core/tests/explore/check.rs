//! The invariants, on every state and on every transition.

use stepwell_core::{
    EventType, Job, JobState, Phase, PhaseState,
    event::Draft,
    machine::{Command, Context, Reject, Transition, Write},
};

use super::{
    fold::fold,
    scope::Scope,
    spec::{Expected, Sender, expect, shapes},
};

/// What is wrong, under the number that the invariant has in `docs/lifecycle.md`.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<Violation>);

impl Findings {
    fn require(&mut self, holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation { invariant, detail: detail() });
        }
    }
}

/// Compares a decision with the document, and checks every invariant that speaks of one step. Answers with the
/// number of the transition.
pub(crate) fn check_step(
    job: &Job,
    command: &Command,
    context: &Context,
    sender: Sender,
    decision: &Result<Transition, Reject>,
    found: &mut Findings,
) -> Option<&'static str> {
    match (expect(job, command, context, sender), decision) {
        (Ok(expected), Ok(transition)) => {
            compare(job, command, &expected, &transition.job, found);
            check_events(job, &expected, transition, found);
            check_results(job, command, transition, found);
            found.require(transition.removed == expected.removed, "I1", || "removed, or not".into());
            if let Err(problem) = fold(job, context.now, transition) {
                found.require(false, "I24", || problem);
            }
            Some(expected.t)
        }
        (Err("I32"), Err(reject)) => {
            found.require(*reject == Reject::NoChange, "I32", || format!("answers {reject:?}"));
            Some("T11c")
        }
        (Err(_), Err(_)) => None,
        (Ok(expected), Err(reject)) => {
            found.require(false, "I3", || format!("{} is refused: {reject:?}", expected.t));
            None
        }
        (Err(invariant), Ok(transition)) => {
            found.require(false, invariant, || format!("{command:?} must be refused, and took effect"));
            check_results(job, command, transition, found);
            None
        }
    }
}

fn compare(job: &Job, command: &Command, expected: &Expected, next: &Job, found: &mut Findings) {
    let budget = if matches!(command, Command::Release) { "I13" } else { "I11" };
    let tries = if matches!(command, Command::LoseLease { .. }) { "I12" } else { budget };
    found.require(next.state == expected.state, "I3", || format!("{} leads to {:?}", expected.t, next.state));
    found.require(next.reason == expected.reason, "I18", || format!("the reason is {:?}", next.reason));
    found.require(next.run == expected.run, "I25", || format!("run {}", next.run));
    found.require(next.attempt == expected.attempt, budget, || {
        format!("attempt {}, not {}", next.attempt, expected.attempt)
    });
    found.require(next.crashes == expected.crashes, "I12", || {
        format!("crashes {}, not {}", next.crashes, expected.crashes)
    });
    found.require(next.epoch == job.epoch + expected.epochs, "I6", || {
        format!("epoch {:+}, not {:+}", next.epoch as i64 - job.epoch as i64, expected.epochs)
    });
    found.require(next.details.webhook_sent == expected.webhook_sent, "I26", || "webhook_sent".into());
    found.require(next.version > job.version, "I3", || "the version does not rise".into());
    found.require(next.plan == expected.plan, "I4", || format!("the plan is {:?}", next.plan));
    found.require(next.available_at == expected.available_at, "I10", || "available_at".into());
    found.require(next.expires_at == expected.expires_at, "I10", || "expires_at".into());
    let cancel = (next.cancel_requested_at, next.cancel_deadline);
    let expected_cancel = (expected.cancel_requested_at, expected.cancel_deadline);
    found.require(cancel == expected_cancel, "I32", || format!("cancel fields are {cancel:?}"));
    let queues = (&next.queue, &next.home_queue);
    found.require(queues == (&expected.queue, &expected.home_queue), "I3", || format!("queues {queues:?}"));
    if let (Some(before), Some(after)) = (job.lease, next.lease) {
        found.require(before == after, "I6", || "the lease changes in the owner's hands".into());
    }
    if let (Command::Claim(claim), Some(lease)) = (command, next.lease) {
        let taken = lease.token == claim.token && lease.session == claim.session;
        found.require(taken, "I6", || "the lease is not the claim's".into());
    }
    let same = (&next.id, &next.kind, &next.unique_key, next.enqueued_at, next.max_crashes);
    let was = (&job.id, &job.kind, &job.unique_key, job.enqueued_at, job.max_crashes);
    found.require(same == was, "I4", || "what never changes has changed".into());

    let phases = shapes(&next.phases);
    let mut rest = expected.phases.clone();
    found.require(phases.len() == rest.len(), "I14", || format!("phases are {phases:?}"));
    for (is, should) in phases.iter().zip(&mut rest) {
        found.require(is.tries == should.tries, tries, || format!("{is:?}, not {should:?}"));
        let kept = (is.interrupted, is.checkpoint) == (should.interrupted, should.checkpoint);
        found.require(kept, "I22", || format!("{is:?}, not {should:?}"));
        (should.tries, should.interrupted, should.checkpoint) = (is.tries, is.interrupted, is.checkpoint);
        let retried = matches!(command, Command::Retry { .. });
        let kept = if retried { "I20" } else { "I19" };
        found.require(is.result == should.result, kept, || format!("{is:?}, not {should:?}"));
        should.result = is.result;
        found.require(is == should, "I14", || format!("{is:?}, not {should:?}"));
    }
}

/// I23, I25, I26, I31: the log, as far as it speaks of this step.
fn check_events(job: &Job, expected: &Expected, transition: &Transition, found: &mut Findings) {
    let types: Vec<EventType> = transition.events.iter().map(|event| event.ty).collect();
    let next = &transition.job;
    let said = next.next_seq.wrapping_sub(job.next_seq);
    found
        .require(said == types.len() as u64, "I23", || format!("{} events took {said} numbers", types.len()));
    found.require(types == expected.events, "I24", || format!("says {types:?}, not {:?}", expected.events));
    let ends = types.iter().filter(|ty| ty.is_terminal()).count();
    let ended = !job.state.is_terminal() && next.state.is_terminal();
    found.require(ends == usize::from(ended), "I25", || format!("{ends} terminal events"));
    let last = types.last().copied();
    found
        .require(!ended || last.is_some_and(EventType::is_terminal), "I26", || format!("ends with {last:?}"));
    let asked = types.iter().filter(|ty| **ty == EventType::Cancelling).count();
    let stops = job.state == JobState::Running && next.state == JobState::Cancelling;
    found.require(asked == usize::from(stops), "I26", || format!("{asked} times job:cancelling"));
    if job.state.is_terminal() && next.run == job.run {
        let kept = |ty: &EventType| {
            matches!(ty, EventType::WebhookDelivered | EventType::WebhookFailed | EventType::Deleted)
        };
        found.require(types.iter().all(kept), "I26", || format!("{types:?} after the end"));
    }
    let starts = |event: &&Draft| event.ty == EventType::PhaseStarted;
    if job.state == JobState::Cancelling {
        found.require(!transition.events.iter().any(|event| starts(&event)), "I31", || {
            "a phase starts under a cancel".into()
        });
    }
    for event in transition.events.iter().filter(starts) {
        let was = event.phase.as_ref().and_then(|name| job.phase(name)).map(|phase| phase.state);
        found.require(was == Some(PhaseState::Pending), "I21", || format!("a phase starts that was {was:?}"));
    }
}

/// I19, I20, I33 and the writes beside the row: results stay what they were, unless an operator discards them.
fn check_results(job: &Job, command: &Command, transition: &Transition, found: &mut Findings) {
    let next = &transition.job;
    let retried = matches!(command, Command::Retry { .. });
    let kept = if retried { "I20" } else { "I19" };
    let of = |stored: &Phase| next.phases.iter().find(|phase| phase.stored_name() == stored.stored_name());
    for before in job.phases.iter().filter(|phase| phase.result.is_some()) {
        let after = of(before);
        let discarded = retried && after.is_some_and(|phase| phase.discarded == before.discarded + 1);
        let same = after.is_some_and(|phase| phase.result == before.result);
        found.require(same || discarded, kept, || format!("the result of `{}` changes", before.name));
    }
    let mut expected = Vec::new();
    let running = job.running_phase();
    match command {
        Command::SaveCheckpoint { value, .. } => {
            let phase = running.map(|phase| phase.stored_name().clone());
            expected.extend(phase.map(|phase| Write::Checkpoint { phase, value: Some(value.clone()) }));
        }
        Command::EndElement { index, input_hash, result, .. } => {
            expected.extend(running.map(|phase| Write::Element {
                phase: phase.stored_name().clone(),
                index: *index,
                input_hash: input_hash.clone(),
                result: result.clone(),
            }));
        }
        Command::CompletePhase { result, .. } => {
            if let Some(before) = running {
                let phase = before.stored_name().clone();
                let recorded = of(before).and_then(|phase| phase.result.as_ref());
                found.require(recorded.is_some_and(|it| it.bytes == result.bytes()), "I19", || {
                    "another result than the one that was given".into()
                });
                if recorded.is_some_and(|recorded| recorded.inline.is_none()) {
                    expected.push(Write::Result { phase: phase.clone(), result: result.clone() });
                }
                if before.checkpoint {
                    expected.push(Write::Checkpoint { phase: phase.clone(), value: None });
                }
                expected.push(Write::DropElements { phase });
            }
        }
        Command::Annotate { lines, .. } if !lines.is_empty() => expected.push(Write::Log(lines.clone())),
        Command::Retry { payload, .. } => {
            for before in &job.phases {
                let phase = before.stored_name().clone();
                let after = of(before);
                if let Some(recorded) = &before.result
                    && after.is_some_and(|phase| phase.result.is_none())
                {
                    let inline = recorded.inline.clone();
                    expected.push(Write::Archive { phase: phase.clone(), run: job.run, inline });
                }
                if before.checkpoint && after.is_some_and(|phase| !phase.checkpoint) {
                    expected.push(Write::Checkpoint { phase: phase.clone(), value: None });
                }
                // Whether a phase without a checkpoint was reset shows in the machine's own answer only.
                let drop = Write::DropElements { phase };
                if transition.writes.contains(&drop) {
                    let open = after.is_some_and(|phase| phase.state == PhaseState::Pending);
                    found.require(open, "I20", || "elements of a kept phase are dropped".into());
                    expected.push(drop);
                }
            }
            expected.extend(payload.iter().cloned().map(Write::Payload));
        }
        Command::Edit(edit) => {
            expected.extend(edit.payload.iter().cloned().map(Write::Payload));
            if edit.tags.is_some() || edit.attributes.is_some() {
                expected.push(Write::Reindex);
            }
        }
        _ => {}
    }
    let paid = transition.writes.iter().any(|write| matches!(write, Write::Payload(_)));
    let may_pay = matches!(command, Command::Edit(_)) || retried;
    found.require(!paid || may_pay, "I4", || "the payload changes within a run".into());
    found.require(transition.writes == expected, "I22", || {
        format!("writes {:?}, not {expected:?}", transition.writes)
    });
}

/// T1: how a job comes to be.
pub(crate) fn check_enqueued(scope: &Scope) {
    let Transition { job, events, writes, removed } = &scope.born;
    let types: Vec<EventType> = events.iter().map(|event| event.ty).collect();
    assert_eq!((types.as_slice(), job.next_seq), ([EventType::Enqueued].as_slice(), 2));
    assert_eq!((job.state, job.run, job.attempt, job.epoch), (JobState::Pending, 1, 0, 0));
    assert!(job.phases.iter().all(|phase| phase.state == PhaseState::Pending && phase.tries == 0));
    assert!(writes.is_empty() && !removed);
    let mut found = Findings::default();
    check_state(job, &mut found);
    assert!(found.0.is_empty(), "{:?}", found.0);
}

/// The invariants that speak of one state.
pub(crate) fn check_state(job: &Job, found: &mut Findings) {
    let letters: String = job.phases.iter().map(|phase| letter(phase.state)).collect();
    let after = |text: &str, set: &[char]| text.trim_start_matches(|c| set.contains(&c)).to_owned();
    let ran = after(&letters, &['C', 'S']);
    let fits = match job.state {
        JobState::Pending => after(&ran, &['P']).is_empty(),
        JobState::Running | JobState::Cancelling => {
            after(ran.strip_prefix('R').unwrap_or(&ran), &['P']).is_empty()
        }
        JobState::Completed => ran.is_empty() && letters.contains('C'),
        JobState::Failed => after(ran.strip_prefix('F').unwrap_or(&ran), &['S']).is_empty(),
        JobState::Cancelled => after(&ran, &['X']).is_empty(),
    };
    found.require(fits, "I14", || format!("{} with phases {letters}", job.state));
    found.require(job.lease.is_some() == job.state.is_owned(), "I5", || {
        format!("{} with {:?}", job.state, job.lease)
    });
    found.require(letters.matches('R').count() <= 1, "I15", || letters.clone());
    let ended = job.state.is_terminal();
    found.require(!ended || !letters.contains(['P', 'R']), "I16", || format!("{} with {letters}", job.state));
    found.require(job.finished_at.is_some() == ended, "I16", || {
        format!("{} at {:?}", job.state, job.finished_at)
    });
    let failed = job.state == JobState::Failed;
    let explained = job.reason.is_some() && job.details.failure.is_some();
    found.require(!failed || explained, "I18", || "failed without a reason and an error".into());
    found.require(failed || job.details.failure.is_none(), "I18", || {
        "a failure of a job that did not fail".into()
    });
    found.require(job.crashes <= job.max_crashes, "I12", || format!("{} crashes", job.crashes));
    found.require(!job.state.is_owned() || job.attempt > 0, "I11", || "owned and never claimed".into());
    let cancelling = job.state == JobState::Cancelling;
    found
        .require(cancelling == job.cancel_deadline.is_some(), "I32", || "a deadline without a cancel".into());
    for (position, phase) in job.phases.iter().enumerate() {
        found.require(phase.tries <= phase.max_tries, "I11", || {
            format!("`{}` has {} of {} tries", phase.name, phase.tries, phase.max_tries)
        });
        let waits = phase.state == PhaseState::Pending;
        found.require(!waits || phase.tries < phase.max_tries, "I11", || {
            format!("`{}` waits for a try that it does not have", phase.name)
        });
        let completed = phase.state == PhaseState::Completed;
        found.require(phase.result.is_some() == completed, "I19", || {
            format!("`{}` is {} with result {:?}", phase.name, phase.state, phase.result)
        });
        let failed = phase.state == PhaseState::Failed;
        found.require(!failed || phase.error.is_some(), "I18", || format!("`{}` has no error", phase.name));
        let twice = job.phases[..position]
            .iter()
            .any(|other| other.name == phase.name || other.stored_name() == phase.stored_name());
        found.require(!twice, "I14", || format!("`{}` stands there twice", phase.name));
    }
}

pub(crate) fn letter(state: PhaseState) -> char {
    match state {
        PhaseState::Pending => 'P',
        PhaseState::Running => 'R',
        PhaseState::Completed => 'C',
        PhaseState::Failed => 'F',
        PhaseState::Cancelled => 'X',
        PhaseState::Skipped => 'S',
    }
}
