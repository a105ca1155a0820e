//! One action in one state: what the machine makes of it, and whether that is what the document says.

use std::{collections::BTreeMap, time::Duration};

use stepwell_core::{
    EventType, Job, JobId, JobState, Json,
    lease::Fence,
    machine::{Claim, Command, Context, Reject, Transition},
};

use super::{
    action::Action,
    check::{Findings, Violation, check_state, check_step},
    mutant::Machine,
    scope::{NOW, Scope, TICK},
    spec::Sender,
    world::{FRESH, Sighting, Slot, World, session_of, token},
};

/// Every command. A new one fails to compile in `name_of`, and belongs here as well.
pub(crate) const COMMANDS: [&str; 18] = [
    "Claim",
    "StartPhase",
    "SaveCheckpoint",
    "Annotate",
    "EndElement",
    "CompletePhase",
    "FailPhase",
    "Snooze",
    "AcknowledgeCancel",
    "Release",
    "Cancel",
    "ForceCancel",
    "LoseLease",
    "Retry",
    "Expire",
    "Delete",
    "Edit",
    "RecordWebhook",
];

/// Every transition of the document that a decision about one job can be. T1 is checked where a scope begins, and T3 is
/// a session's, which here either lives or does not.
pub(crate) const TRANSITIONS: [&str; 33] = [
    "T2",
    "T2q",
    "T4",
    "T4e",
    "T5",
    "T5a",
    "T5i",
    "T6a",
    "T6b",
    "T6b, cancelling",
    "T6c",
    "T6d",
    "T7",
    "T8",
    "T9",
    "T10",
    "T11a",
    "T11b",
    "T11c",
    "T12",
    "T12s",
    "T13a",
    "T13b",
    "T14",
    "T14s",
    "T15, unfinished",
    "T15, start",
    "T15, phase",
    "T15, rerun",
    "T16",
    "T17",
    "T18",
    "T19",
];

/// What came of an action.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The state, if it is another one.
    pub(crate) next: Option<World>,
    pub(crate) violations: Vec<Violation>,
}

/// Which commands were decided on, and which transitions were taken.
#[derive(Default)]
pub(crate) struct Coverage {
    pub(crate) commands: BTreeMap<&'static str, u64>,
    pub(crate) transitions: BTreeMap<&'static str, u64>,
}

/// One action in one state.
pub(crate) struct Step<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) machine: &'a Machine,
    pub(crate) coverage: &'a mut Coverage,
    pub(crate) found: Findings,
}

impl Step<'_> {
    /// What the action leads to; nothing if it is impossible here, or changes nothing.
    pub(crate) fn take(&mut self, world: &World, action: Action) -> Outcome {
        let next = self.outcome(world, action);
        let mut outcome = Outcome { next, violations: std::mem::take(&mut self.found.0) };
        if let Some(next) = &mut outcome.next {
            if let Some(job) = &next.job {
                check_state(job, &mut self.found);
                outcome.violations.append(&mut self.found.0);
            }
            next.make_canonical(self.scope);
        }
        outcome
    }

    fn outcome(&mut self, world: &World, action: Action) -> Option<World> {
        let job = world.job.as_ref()?;
        let mut next = world.clone();
        let operator = |command: Command| {
            (Fence::None, command, Sender::default(), Context { now: NOW, ..Context::default() })
        };
        let retries = job.run < self.scope.runs_max;
        let retry = |from: usize, rerun, payload| {
            operator(Command::Retry { from: self.scope.retries[from].clone(), rerun, payload })
        };
        let (fence, command, sender, context) = match action {
            Action::Claim(slot) | Action::ClaimAndStart(slot) | Action::ClaimOtherKind(slot) => {
                return self.claim(world, slot, action);
            }
            Action::Own(slot, script) => return self.own(world, slot, script),
            Action::LoseSession(slot) => {
                let owns = job.lease.is_some_and(|lease| lease.session == session_of(slot));
                next.slots[slot].dead = true;
                return (owns && !world.slots[slot].dead).then_some(next);
            }
            Action::Crash(slot) => {
                next.crash(slot);
                return world.slots[slot].fence.is_some().then_some(next);
            }
            Action::Deploy(slot) => {
                let plan = world.slots[slot].plan + 1;
                next.crash(slot);
                next.slots[slot] = Slot { plan, ..Slot::default() };
                return (usize::from(plan) < self.scope.plans.len()).then_some(next);
            }
            Action::Sight => {
                next.sighting = Sighting::of(job);
                return (self.scope.remembers && world.is_lease_dead()).then_some(next);
            }
            Action::Tick => {
                next.tick();
                return world.has_future().then_some(next);
            }
            Action::Restore => {
                next.since_backup?;
                next.job = Some(self.scope.newborn.clone());
                (next.owner, next.since_backup) = (None, None);
                // The epochs of canonical states are distances from the row's; the row's falls back by so much.
                let behind = u64::from(world.since_backup?);
                next.job.as_mut()?.epoch = job.epoch - behind;
                return Some(next);
            }
            Action::Misfence => {
                self.misfence(job);
                return None;
            }
            Action::Reap | Action::ForceWithSighting => {
                let at_once = || Sighting::of(job).filter(|_| !self.scope.remembers && world.is_lease_dead());
                let sighting = world.sighting.or_else(at_once)?;
                next.sighting = None;
                let fence = Fence::Reaper { epoch: sighting.epoch, session: sighting.session };
                let is_true = sighting.epoch == job.epoch
                    && job.lease.is_some_and(|lease| lease.session == sighting.session);
                let command = match action {
                    Action::Reap => Command::LoseLease { node: "node".into(), jitter: 1.0 },
                    _ => Command::ForceCancel,
                };
                let sender = Sender { is_entitled: is_true, is_outdated: false };
                let context = Context { now: NOW, ..Context::default() };
                return match self.decide(job, fence, &command, &context, sender) {
                    Some(after) => Some(settle(next, after)),
                    // It read the row in vain, and knows nothing again.
                    None => Some(next),
                };
            }
            Action::Force => {
                let lease = job.lease?;
                let fence = Fence::Reaper { epoch: job.epoch, session: lease.session };
                let sender = Sender { is_entitled: true, is_outdated: false };
                (fence, Command::ForceCancel, sender, Context { now: NOW, ..Context::default() })
            }
            Action::Cancel => operator(Command::Cancel { grace: TICK }),
            Action::CancelOutdated => {
                let (_, command, _, context) = operator(Command::Cancel { grace: Duration::ZERO });
                let sender = Sender { is_entitled: false, is_outdated: true };
                (Fence::Version(job.version + 1), command, sender, context)
            }
            Action::Retry(from) if retries => retry(from, false, None),
            Action::Rerun(from) if retries => retry(from, true, None),
            Action::RetryWithPayload if retries => retry(0, false, Some(Json::null())),
            Action::Retry(_) | Action::Rerun(_) | Action::RetryWithPayload => return None,
            Action::RetryTaken => {
                let (fence, command, sender, context) = retry(1, true, None);
                let holder = Some(JobId::from_bytes([8; 16]));
                (fence, command, sender, Context { unique_holder: holder, ..context })
            }
            Action::Expire => operator(Command::Expire),
            Action::Delete => operator(Command::Delete),
            Action::DeleteHeld => {
                let (fence, command, sender, context) = operator(Command::Delete);
                (fence, command, sender, Context { held: true, ..context })
            }
            Action::Edit(nth) => operator(Command::Edit(self.scope.edits[nth].clone())),
            Action::Webhook(delivered) => operator(Command::RecordWebhook { delivered, data: Json::null() }),
        };
        let after = self.decide(job, fence, &command, &context, sender)?;
        Some(settle(next, after))
    }

    fn claim(&mut self, world: &World, slot: usize, action: Action) -> Option<World> {
        let (job, it) = (world.job.as_ref()?, &world.slots[slot]);
        if it.fence.is_some() || it.dead {
            return None;
        }
        let (spec, plan_ref) = self.scope.plans[usize::from(it.plan)].clone();
        let mut claim = Claim { session: session_of(slot), token: token(FRESH), plan: spec, plan_ref };
        if let Action::ClaimOtherKind(_) = action {
            let mut other = (*claim.plan).clone();
            other.kind = "another kind".into();
            claim.plan = other.into();
        }
        let context = Context { now: NOW, ..Context::default() };
        let command = Command::Claim(claim.clone());
        let mut after = self.decide(job, Fence::None, &command, &context, Sender::default())?;
        if let Action::ClaimAndStart(_) = action {
            if after.job.state == JobState::Running {
                let fence = Fence::Owner { epoch: after.job.epoch, token: claim.token };
                let owner = Sender { is_entitled: true, is_outdated: false };
                let started = self.decide(&after.job, fence, &Command::StartPhase, &context, owner)?;
                after = joined(after, started);
            }
            let whole = self.machine.claim_and_start(job, &claim, &context);
            self.agree("claim_and_start", whole, Ok(&after));
        }
        let mut next = world.clone();
        if after.job.lease.is_some() {
            next.slots[slot].fence = Some((after.job.epoch, claim.token));
            next.owner = u8::try_from(slot).ok();
        }
        Some(settle(next, after))
    }

    fn own(&mut self, world: &World, slot: usize, script: usize) -> Option<World> {
        let job = world.job.as_ref()?;
        let fence = world.owner_fence(slot)?;
        let commands = &self.scope.scripts[slot][script].commands;
        let context = Context { now: NOW, ..Context::default() };
        // Nobody but the last claimer is the owner, whatever the row says.
        let is_owner = world.owner == u8::try_from(slot).ok() && job.state.is_owned();
        let sender = Sender { is_entitled: is_owner, is_outdated: false };
        let mut commands_left = commands.iter();
        let mut after = self.decide(job, fence, commands_left.next()?, &context, sender);
        for command in commands_left {
            let Some(so_far) = &after else { break };
            // What remains is dropped once the job has stopped, and nothing begins under a cancellation.
            let goes_on = match so_far.job.state {
                JobState::Running => true,
                JobState::Cancelling => !matches!(command, Command::StartPhase),
                _ => false,
            };
            if goes_on {
                let further = self.decide(&so_far.job, fence, command, &context, sender);
                after = after.zip(further).map(|(so_far, further)| joined(so_far, further));
            }
        }
        if commands.len() > 1 {
            let whole = self.machine.apply_all(job, fence, commands, &context);
            self.agree("apply_all", whole, after.as_ref().ok_or(()));
        }
        let next = world.clone();
        Some(settle(next, after?))
    }

    /// Lets the machine decide, and compares its decision with the document.
    fn decide(
        &mut self,
        job: &Job,
        fence: Fence,
        command: &Command,
        context: &Context,
        sender: Sender,
    ) -> Option<Transition> {
        let decision = self.machine.apply(job, fence, command, context);
        *self.coverage.commands.entry(name_of(command)).or_default() += 1;
        if let Some(t) = check_step(job, command, context, sender, &decision, &mut self.found) {
            *self.coverage.transitions.entry(t).or_default() += 1;
            if let Ok(transition) = &decision
                && transition.events.iter().any(|event| event.ty == EventType::PhaseSkipped)
            {
                *self.coverage.transitions.entry("T7").or_default() += 1;
            }
        }
        decision.ok()
    }

    /// Several commands as one request must be the same as one after another.
    fn agree(&mut self, what: &str, whole: Result<Transition, Reject>, parts: Result<&Transition, ()>) {
        let same = match (&whole, parts) {
            (Ok(whole), Ok(parts)) => {
                whole.job == parts.job
                    && whole.events == parts.events
                    && whole.writes == parts.writes
                    && whole.removed == parts.removed
            }
            (Err(_), Err(())) => true,
            _ => false,
        };
        if !same {
            let detail = format!("{what} is not the sequence: {whole:?}, not {parts:?}");
            self.found.0.push(Violation { invariant: "I30", detail });
        }
    }

    /// A fence of the wrong sort opens nothing, and no command panics on it.
    fn misfence(&mut self, job: &Job) {
        let held = job.lease.map_or(token(FRESH), |lease| lease.token);
        let session = job.lease.map_or(session_of(0), |lease| lease.session);
        let owner = Fence::Owner { epoch: job.epoch, token: held };
        let stranger = Fence::Owner { epoch: job.epoch, token: token(FRESH) };
        let reaper = Fence::Reaper { epoch: job.epoch, session };
        let version = Fence::Version(job.version);
        let context = Context { now: NOW, ..Context::default() };
        let owners = self.scope.scripts[0].iter().map(|script| &script.commands[0]);
        let mut cases: Vec<(Fence, &Command)> = owners
            .flat_map(|command| {
                [(stranger, command), (reaper, command), (version, command), (Fence::None, command)]
            })
            .collect();
        let reapers = [Command::ForceCancel, Command::LoseLease { node: "node".into(), jitter: 1.0 }];
        cases.extend(
            reapers.iter().flat_map(|command| [(owner, command), (version, command), (Fence::None, command)]),
        );
        let operators = [
            Command::Cancel { grace: TICK },
            Command::Retry { from: self.scope.retries[1].clone(), rerun: true, payload: None },
            Command::Delete,
            Command::Expire,
        ];
        cases.extend(operators.iter().flat_map(|command| [(stranger, command), (reaper, command)]));
        for (fence, command) in cases {
            if self.machine.apply(job, fence, command, &context).is_ok() {
                let detail = format!("{command:?} takes effect with {fence:?}");
                self.found.0.push(Violation { invariant: "I7", detail });
            }
        }
    }
}

fn joined(mut first: Transition, second: Transition) -> Transition {
    first.job = second.job;
    first.events.extend(second.events);
    first.writes.extend(second.writes);
    first.removed |= second.removed;
    first
}

/// The row as it is now, and who owns it.
fn settle(mut world: World, after: Transition) -> World {
    let before = world.job.as_ref().map_or(0, |job| job.epoch);
    if let Some(since) = world.since_backup {
        let since = u64::from(since) + after.job.epoch.saturating_sub(before);
        // Further on, a fence is too far ahead of the restored row to ever meet it again.
        world.since_backup = u8::try_from(since).ok().filter(|since| *since <= 4);
    }
    if !after.job.state.is_owned() {
        world.owner = None;
    }
    world.job = (!after.removed).then_some(after.job);
    world
}

fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Claim(_) => "Claim",
        Command::StartPhase => "StartPhase",
        Command::SaveCheckpoint { .. } => "SaveCheckpoint",
        Command::Annotate { .. } => "Annotate",
        Command::EndElement { .. } => "EndElement",
        Command::CompletePhase { .. } => "CompletePhase",
        Command::FailPhase { .. } => "FailPhase",
        Command::Snooze { .. } => "Snooze",
        Command::AcknowledgeCancel => "AcknowledgeCancel",
        Command::Release => "Release",
        Command::Cancel { .. } => "Cancel",
        Command::ForceCancel => "ForceCancel",
        Command::LoseLease { .. } => "LoseLease",
        Command::Retry { .. } => "Retry",
        Command::Expire => "Expire",
        Command::Delete => "Delete",
        Command::Edit(_) => "Edit",
        Command::RecordWebhook { .. } => "RecordWebhook",
    }
}
