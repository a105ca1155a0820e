//! The machine, and wrong machines that the exploration must tell from it.
//!
//! A mutant is a wrapper: it changes the question, or the answer, and the product's code has no hook for it.

use stepwell_core::{
    EventType, Job, JobState, Json, PhaseState,
    event::Draft,
    lease::{Fence, Lease},
    machine::{self, Claim, Command, Context, Reject, RetryFrom, Transition, Write},
    phase::Recorded,
};

use super::scope::TICK;

type Decision = Result<Transition, Reject>;
type Apply = fn(&Job, Fence, &Command, &Context) -> Decision;

/// A machine, right or wrong.
pub(crate) struct Machine(pub(crate) Option<Mutant>);

/// One thing that is wrong.
#[derive(Clone, Copy)]
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// Where it shows.
    pub(crate) scope: &'static str,
    /// The invariants that it breaks. Others are not looked at, so that it is caught for the reason that is meant.
    pub(crate) breaks: &'static [&'static str],
    pub(crate) apply: Apply,
}

impl Machine {
    pub(crate) fn apply(&self, job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
        self.0.map_or(machine::apply as Apply, |mutant| mutant.apply)(job, fence, command, context)
    }
    /// The real one, if this one is right. A mutant of `apply` would also be wrong in here.
    pub(crate) fn apply_all(
        &self,
        job: &Job,
        fence: Fence,
        commands: &[Command],
        context: &Context,
    ) -> Decision {
        match self.0 {
            None => machine::apply_all(job, fence, commands, context),
            Some(_) => Err(Reject::NoChange),
        }
    }
    pub(crate) fn claim_and_start(&self, job: &Job, claim: &Claim, context: &Context) -> Decision {
        match self.0 {
            None => machine::claim_and_start(job, claim, context),
            Some(_) => Err(Reject::NoChange),
        }
    }
}

macro_rules! mutants {
    ($($apply:ident in $scope:literal breaks $($breaks:literal)|+, $name:literal;)+) => {
        pub(crate) const ALL: &[Mutant] = &[
            $(Mutant { name: $name, scope: $scope, breaks: &[$($breaks),+], apply: $apply },)+
        ];
    };
}

// The mutants that `docs/lifecycle.md` names and that can be seen in one job stand first. The others of its list are
// killed elsewhere, because one job's machine has no part in them:
//
// | mutant | killed by |
// |---|---|
// | ack before commit | the stores' suite, and the rounds of kill -9 |
// | pos in insertion order | the stores' suite (I28) |
// | retention past a cursor, as a store decides it | the stores' suite (I46); as the machine decides it, below |
// | unknown kind discarded | the stores' suite; a claim by a worker of another kind, below |
// | stored result decoded only on retry | the engine's tests |
// | webhook id new per attempt; storage closed before deliveries are recorded | come with webhooks (I36, I40) |
mutants! {
    guard_on_state in "fan-out" breaks "I7", "a guard on the state only";
    guard_on_id in "fan-out" breaks "I7", "a guard on the id only";
    no_bump in "fan-out" breaks "I6", "no epoch bump at claim and at reap together";
    no_bump_by_epoch in "fan-out" breaks "I7", "no epoch bump, and the token not looked at";
    cancel_split in "fan-out" breaks "I25", "a cancel that is said at a phase's end and made later";
    cancel_split_late in "fan-out" breaks "I24", "a cancel that is made at a phase's end and said later";
    cancel_without_phases in "fan-out" breaks "I16", "a pending cancel without its phases";
    retry_drops_results in "fan-out" breaks "I20", "a retry that drops results";
    completion_loses in "fan-out" breaks "I3", "a completion that loses to a cancel on the last phase";
    release_charges in "fan-out" breaks "I13", "a release that charges an attempt";
    reaper_without_cas in "restored" breaks "I7", "a reaper without compare-and-swap";
    event_lost in "fan-out" breaks "I24", "a change without its event";
    event_alone in "fan-out" breaks "I24", "an event without its change";
    snooze_charges in "fan-out" breaks "I11", "a snooze that spends an attempt";
    epoch_only in "restored" breaks "I7", "a token compared by its epoch only";
    crashes_reset in "fan-out" breaks "I12", "a crash budget reset on claim";
    delete_past_cursor in "edited" breaks "I46", "a deletion past a durable cursor";
    other_kind in "edited" breaks "I10", "a claim by a worker of another kind";

    terminal_twice in "fan-out" breaks "I25", "a terminal event said twice";
    skip_unreported in "inserted" breaks "I24", "skipped phases not reported";
    reap_charges_tries in "fan-out" breaks "I12", "a try charged by the reaper";
    reap_drops_checkpoint in "fan-out" breaks "I22", "a checkpoint dropped on interruption";
    reap_drops_elements in "fan-out" breaks "I22", "finished elements dropped on interruption";
    reap_forgets in "fan-out" breaks "I22", "an interruption that the next try does not see";
    lease_kept_at_end in "fan-out" breaks "I5", "a lease kept after the end";
    no_bump_at_end in "fan-out" breaks "I6", "no epoch bump at the end";
    result_overwritten in "fan-out" breaks "I19", "a result overwritten by a second completion";
    expiry_ignored in "edited" breaks "I10", "a claim after the expiry";
    time_ignored in "edited" breaks "I10", "a claim before its time";
    older_plan in "inserted" breaks "I10", "a claim with an older plan";
    hand_over_keeps_lease in "queues" breaks "I5", "a hand-over that keeps the lease";
    hand_over_stays in "queues" breaks "I3", "a hand-over that stays in its queue";
    start_under_cancel in "fan-out" breaks "I31", "a phase that starts under a cancel";
    two_running in "fan-out" breaks "I15", "two phases that run at once";
    tries_unbounded in "fan-out" breaks "I11", "tries without a bound";
    never_poisoned in "fan-out" breaks "I12", "a crash budget without a bound";
    early_force in "fan-out" breaks "I3", "a force before the deadline";
    silent_failure in "fan-out" breaks "I18", "a failure without its error";
    rerun_unasked in "fan-out" breaks "I3", "a retry of a completed job";
    retry_keeps_cancel in "fan-out" breaks "I32", "a retry that keeps the cancel's fields";
    retry_takes_key in "fan-out" breaks "I2", "a retry although the unique key is taken";
    retry_keeps_run in "fan-out" breaks "I25", "a retry in the same run";
    sequence_torn in "fan-out" breaks "I23", "an event without its number";
    payload_within_run in "edited" breaks "I4", "a payload changed while it runs";
    internal_edited in "internal" breaks "I4", "one of Stepwell's own jobs changed by an edit";
    internal_rerun in "internal" breaks "I4", "one of Stepwell's own jobs changed by a retry";
    version_ignored in "fan-out" breaks "I3", "a version that is not looked at";
    cancel_deaf in "fan-out" breaks "L2", "a cancel that only its owner can end";
    delete_alive in "edited" breaks "I1", "a deletion of a waiting job";
}

fn real(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    machine::apply(job, fence, command, context)
}

/// The real decision, spoiled where `when` says so.
fn spoiled(
    (job, fence, command, context): (&Job, Fence, &Command, &Context),
    when: bool,
    spoil: impl FnOnce(&mut Transition),
) -> Decision {
    let mut transition = real(job, fence, command, context)?;
    if when {
        spoil(&mut transition);
    }
    Ok(transition)
}

/// The real decision on a row that is not quite the real one.
fn pretending(
    (job, fence, command, context): (&Job, Fence, &Command, &Context),
    when: bool,
    pretend: impl FnOnce(&mut Job),
) -> Decision {
    let mut job = job.clone();
    if when {
        pretend(&mut job);
    }
    real(&job, fence, command, context)
}

fn drop_event(transition: &mut Transition, ty: EventType) {
    let before = transition.events.len();
    transition.events.retain(|event| event.ty != ty);
    transition.job.next_seq -= (before - transition.events.len()) as u64;
}
fn say(transition: &mut Transition, ty: EventType) {
    let attempt = transition.job.attempt;
    transition.events.push(Draft { ty, phase: None, attempt, data: None, tags: Vec::new(), hooked: false });
    transition.job.next_seq += 1;
}
fn ends(transition: &Transition) -> bool {
    transition.events.iter().any(|event| event.ty.is_terminal())
}

fn guard_on_state(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let fence = match fence {
        Fence::Owner { .. } => job.owner_fence().unwrap_or(fence),
        other => other,
    };
    real(job, fence, command, context)
}
fn guard_on_id(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let Fence::Owner { epoch, token } = fence else { return real(job, fence, command, context) };
    pretending((job, fence, command, context), true, |job| {
        let session = job.lease.map_or(super::world::session_of(0), |lease| lease.session);
        (job.epoch, job.lease) = (epoch, Some(Lease { session, token }));
        if !job.state.is_owned() {
            job.state = JobState::Running;
        }
    })
}
fn no_bump(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let bumps = matches!(command, Command::Claim(_) | Command::LoseLease { .. });
    spoiled((job, fence, command, context), bumps, |after| after.job.epoch = job.epoch)
}
fn no_bump_by_epoch(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    no_bump(job, by_epoch(job, fence), command, context)
}
fn by_epoch(job: &Job, fence: Fence) -> Fence {
    match (fence, job.lease) {
        (Fence::Owner { epoch, .. }, Some(lease)) => Fence::Owner { epoch, token: lease.token },
        _ => fence,
    }
}
fn epoch_only(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    real(job, by_epoch(job, fence), command, context)
}
fn cancel_split(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let at_end = job.state == JobState::Cancelling && matches!(command, Command::CompletePhase { .. });
    spoiled((job, fence, command, context), at_end, |after| {
        (after.job.state, after.job.lease, after.job.epoch) = (job.state, job.lease, job.epoch);
    })
}
fn cancel_split_late(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let at_end = job.state == JobState::Cancelling && matches!(command, Command::CompletePhase { .. });
    spoiled((job, fence, command, context), at_end, |after| drop_event(after, EventType::Cancelled))
}
fn cancel_without_phases(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let pending = job.state == JobState::Pending && matches!(command, Command::Cancel { .. });
    spoiled((job, fence, command, context), pending, |after| after.job.phases = job.phases.clone())
}
fn retry_drops_results(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), matches!(command, Command::Retry { .. }), |after| {
        after.job.phases.iter_mut().for_each(|phase| {
            (phase.result, phase.state) = (None, PhaseState::Pending);
        });
    })
}
fn completion_loses(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), job.state == JobState::Cancelling, |after| {
        if after.job.state == JobState::Completed {
            after.job.state = JobState::Cancelled;
            drop_event(after, EventType::Completed);
            say(after, EventType::Cancelled);
        }
    })
}
fn release_charges(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let gives_back = matches!(command, Command::Release) && job.state == JobState::Running;
    spoiled((job, fence, command, context), gives_back, |after| after.job.attempt = job.attempt)
}
fn reaper_without_cas(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let fence = match (fence, job.lease) {
        (Fence::Reaper { .. }, Some(lease)) => Fence::Reaper { epoch: job.epoch, session: lease.session },
        _ => fence,
    };
    real(job, fence, command, context)
}
fn event_lost(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| drop_event(after, EventType::PhaseCompleted))
}
fn event_alone(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), matches!(command, Command::StartPhase), |after| {
        let said = after.job.next_seq;
        after.job = job.clone();
        (after.job.next_seq, after.job.version) = (said, job.version + 1);
    })
}
fn snooze_charges(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let snoozes = matches!(command, Command::Snooze { .. }) && job.state == JobState::Running;
    spoiled((job, fence, command, context), snoozes, |after| after.job.attempt = job.attempt)
}
fn crashes_reset(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), matches!(command, Command::Claim(_)), |after| {
        after.job.crashes = 1;
    })
}
fn delete_past_cursor(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    real(job, fence, command, &Context { held: false, ..*context })
}
fn other_kind(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Claim(claim) => {
            let mut plan = (*claim.plan).clone();
            plan.kind = job.kind.clone();
            let claim = Claim { plan: plan.into(), ..claim.clone() };
            real(job, fence, &Command::Claim(claim), context)
        }
        _ => real(job, fence, command, context),
    }
}

fn terminal_twice(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| {
        if ends(after) {
            let last = after.events.last().map_or(EventType::Failed, |event| event.ty);
            say(after, last);
        }
    })
}
fn skip_unreported(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| drop_event(after, EventType::PhaseSkipped))
}
fn reaped(
    job: &Job,
    fence: Fence,
    command: &Command,
    context: &Context,
    spoil: impl FnOnce(&mut Transition),
) -> Decision {
    let reaps = matches!(command, Command::LoseLease { .. }) && job.crashes < job.max_crashes;
    spoiled((job, fence, command, context), reaps && job.state == JobState::Running, spoil)
}
fn reap_charges_tries(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    reaped(job, fence, command, context, |after| {
        for (phase, before) in after.job.phases.iter_mut().zip(&job.phases) {
            phase.tries = before.tries;
        }
    })
}
fn reap_drops_checkpoint(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    reaped(job, fence, command, context, |after| {
        after.job.phases.iter_mut().for_each(|phase| phase.checkpoint = false);
    })
}
fn reap_drops_elements(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    reaped(job, fence, command, context, |after| {
        let running = job.running_phase().map(|phase| phase.stored_name().clone());
        after.writes.extend(running.map(|phase| Write::DropElements { phase }));
    })
}
fn reap_forgets(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    reaped(job, fence, command, context, |after| {
        after.job.phases.iter_mut().for_each(|phase| phase.interrupted = false);
    })
}
fn lease_kept_at_end(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| {
        if ends(after) {
            after.job.lease = job.lease;
        }
    })
}
fn no_bump_at_end(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| {
        if ends(after) {
            after.job.epoch = job.epoch;
        }
    })
}
fn result_overwritten(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let mut decision = real(job, fence, command, context);
    if let (Command::CompletePhase { phase, result }, Err(Reject::NotRunning)) = (command, &decision)
        && let Some(at) = job.phases.iter().position(|it| it.name == *phase && it.result.is_some())
    {
        let other = Recorded::of(&Json::of(&format!("not {result}")).unwrap());
        decision = real(job, fence, &Command::Annotate { progress: None, lines: Vec::new() }, context);
        if let Ok(after) = &mut decision {
            after.job.phases[at].result = Some(other);
        }
    }
    decision
}
fn expiry_ignored(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let claims = matches!(command, Command::Claim(_));
    pretending((job, fence, command, context), claims, |job| job.expires_at = None)
}
fn time_ignored(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let claims = matches!(command, Command::Claim(_));
    pretending((job, fence, command, context), claims, |job| {
        job.available_at = job.available_at.min(context.now);
    })
}
fn older_plan(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let claims = matches!(command, Command::Claim(_));
    pretending((job, fence, command, context), claims, |job| job.plan = None)
}
fn hand_over_keeps_lease(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), matches!(command, Command::CompletePhase { .. }), |after| {
        if after.job.state == JobState::Pending {
            (after.job.lease, after.job.epoch) = (job.lease, job.epoch);
        }
    })
}
fn hand_over_stays(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), matches!(command, Command::CompletePhase { .. }), |after| {
        after.job.queue = job.queue.clone();
    })
}
fn start_under_cancel(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let starts = matches!(command, Command::StartPhase) && job.state == JobState::Cancelling;
    pretending((job, fence, command, context), starts, |job| job.state = JobState::Running)
}
fn two_running(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let running = job.phases.iter().position(|phase| phase.state == PhaseState::Running);
    let (Command::StartPhase, Some(at)) = (command, running) else {
        return real(job, fence, command, context);
    };
    let mut decision =
        pretending((job, fence, command, context), true, |job| job.phases[at].state = PhaseState::Completed);
    if let Ok(after) = &mut decision {
        after.job.phases[at].state = PhaseState::Running;
    }
    decision
}
fn tries_unbounded(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let fails = matches!(command, Command::FailPhase { .. });
    let real_max = |after: &mut Transition| {
        for (phase, before) in after.job.phases.iter_mut().zip(&job.phases) {
            phase.max_tries = before.max_tries;
        }
    };
    let mut decision = pretending((job, fence, command, context), fails, |job| {
        job.phases.iter_mut().for_each(|phase| phase.max_tries = u32::MAX);
    });
    decision.iter_mut().filter(|_| fails).for_each(real_max);
    decision
}
fn never_poisoned(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let reaps = matches!(command, Command::LoseLease { .. });
    let mut decision = pretending((job, fence, command, context), reaps, |job| job.max_crashes = u32::MAX);
    decision.iter_mut().for_each(|after| after.job.max_crashes = job.max_crashes);
    decision
}
fn early_force(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let forces = matches!(command, Command::ForceCancel);
    let later = Context { now: context.now + TICK * 9, ..*context };
    real(job, fence, command, if forces { &later } else { context })
}
fn silent_failure(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| after.job.details.failure = None)
}
fn rerun_unasked(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Retry { from, payload, .. } if *from != RetryFrom::Unfinished => {
            let rerun = Command::Retry { from: from.clone(), rerun: true, payload: payload.clone() };
            real(job, fence, &rerun, context)
        }
        _ => real(job, fence, command, context),
    }
}
fn retry_keeps_cancel(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), matches!(command, Command::Retry { .. }), |after| {
        after.job.cancel_requested_at = job.cancel_requested_at;
    })
}
fn retry_takes_key(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    real(job, fence, command, &Context { unique_holder: None, ..*context })
}
fn retry_keeps_run(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| after.job.run = job.run)
}
fn sequence_torn(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    spoiled((job, fence, command, context), true, |after| {
        if after.events.len() > 1 {
            after.job.next_seq -= 1;
        }
    })
}
fn payload_within_run(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let edits = matches!(command, Command::Edit(_)) && job.state == JobState::Running;
    let mut decision = pretending((job, fence, command, context), edits, |job| job.state = JobState::Pending);
    decision.iter_mut().filter(|_| edits).for_each(|after| after.job.state = job.state);
    decision
}
fn internal_edited(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    as_somebody_elses(job, fence, command, context, matches!(command, Command::Edit(_)))
}
fn internal_rerun(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    as_somebody_elses(job, fence, command, context, matches!(command, Command::Retry { .. }))
}
/// The decision on the same job of an application's kind.
fn as_somebody_elses(job: &Job, fence: Fence, command: &Command, context: &Context, when: bool) -> Decision {
    let mut decision = pretending((job, fence, command, context), when, |job| job.kind = "kind".into());
    decision.iter_mut().for_each(|after| after.job.kind = job.kind.clone());
    decision
}
fn version_ignored(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let fence = if let Fence::Version(_) = fence { Fence::None } else { fence };
    real(job, fence, command, context)
}
fn cancel_deaf(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let reaps = matches!(command, Command::LoseLease { .. } | Command::ForceCancel);
    if reaps && job.state == JobState::Cancelling {
        return Err(Reject::NoChange);
    }
    real(job, fence, command, context)
}
fn delete_alive(job: &Job, fence: Fence, command: &Command, context: &Context) -> Decision {
    let deletes = matches!(command, Command::Delete) && job.state == JobState::Pending;
    pretending((job, fence, command, context), deletes, |job| job.state = JobState::Failed)
}
