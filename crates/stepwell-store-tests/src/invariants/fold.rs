//! Folding a job's events gives its row, as far as events tell.

use std::collections::{BTreeMap, BTreeSet};

use stepwell_core::{Event, EventType, Job, JobState, Name, PhaseState, Timestamp, job::Reason};

use super::{check::Findings, snapshot::Snapshot};

pub(super) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    for shown in &snapshot.jobs {
        // Of a job whose first events were pruned, the rest cannot be understood.
        if shown.history.first().is_some_and(|event| event.job_seq == 1) {
            let mut fold = Fold::default();
            for event in &shown.history {
                fold.apply(event, findings);
            }
            fold.compare(&shown.job, findings);
        }
    }
}

/// What the events have told of a job.
#[derive(Default)]
struct Fold {
    state: Option<JobState>,
    run: u32,
    attempt: u32,
    available_at: Option<Timestamp>,
    /// The hash of each completed phase, in the order in which they completed.
    results: Vec<(Name, String)>,
    interrupted: BTreeSet<Name>,
    running: Option<Name>,
    tries: BTreeMap<Name, u32>,
    terminal_events: u32,
    cancel_requests: u32,
    may_be_handed_over: bool,
}

/// Events that only an owner, or whoever stops him, gives rise to.
trait OfAnOwner {
    fn of_an_owner(self) -> bool;
}
impl OfAnOwner for EventType {
    fn of_an_owner(self) -> bool {
        !matches!(self, Self::Started | Self::Resumed | Self::Edited | Self::Cancelled | Self::PhaseSkipped)
    }
}

impl Fold {
    fn apply(&mut self, event: &Event, findings: &mut Findings) {
        use JobState::{Cancelled, Cancelling, Completed, Failed, Pending, Running};
        let short = event.job.short();
        let named = |what: &str| format!("job {short} at {} ({}): {what}", event.pos, event.ty);
        let phase = event.phase.clone();
        // A phase's end says nothing of the hand-over to another queue that goes with it, and bookkeeping nothing at
        // all.
        if !matches!(event.ty, EventType::WebhookDelivered | EventType::WebhookFailed) {
            if self.may_be_handed_over && !event.ty.of_an_owner() {
                self.state = Some(Pending);
            }
            self.may_be_handed_over = event.ty == EventType::PhaseCompleted && self.state == Some(Running);
        }
        let was = self.state;
        let allowed: &[Option<JobState>] = match event.ty {
            EventType::Enqueued => &[None],
            EventType::Started | EventType::Resumed | EventType::Edited => &[Some(Pending)],
            EventType::PhaseStarted | EventType::PhaseSkipped | EventType::PhaseFailed => &[Some(Running)],
            EventType::Retrying | EventType::Snoozed | EventType::Released => &[Some(Running)],
            EventType::Cancelling => &[Some(Running)],
            EventType::PhaseCompleted | EventType::Progress => &[Some(Running), Some(Cancelling)],
            EventType::Interrupted => &[Some(Running)],
            EventType::Completed => &[Some(Running), Some(Cancelling)],
            EventType::Failed => &[Some(Running), Some(Pending)],
            EventType::Cancelled => &[Some(Pending), Some(Cancelling)],
            EventType::Retried | EventType::Deleted => &[Some(Completed), Some(Failed), Some(Cancelled)],
            _ => &[
                Some(Completed),
                Some(Failed),
                Some(Cancelled),
                Some(Pending),
                Some(Running),
                Some(Cancelling),
            ],
        };
        let forbidden = if was == Some(Cancelling) { "I31" } else { "I3" };
        let handed_over = was == Some(Pending) && self.running.is_some();
        findings
            .expect(forbidden, allowed.contains(&was) && !handed_over, || named(&format!("after {was:?}")));
        if was.is_some_and(JobState::is_terminal) {
            let bookkeeping = matches!(
                event.ty,
                EventType::WebhookDelivered
                    | EventType::WebhookFailed
                    | EventType::Deleted
                    | EventType::Retried
            );
            findings.expect("I26", bookkeeping, || named("after the end of its run"));
        }
        match event.ty {
            EventType::Enqueued => {
                (self.state, self.run) = (Some(Pending), 1);
                self.available_at = self.time(event).or(Some(event.at));
            }
            EventType::Started | EventType::Resumed => {
                let due = self.available_at.is_none_or(|at| at <= event.at);
                findings.expect("I10", due, || named("before its time"));
                self.state = Some(Running);
                self.attempt += 1;
                let fresh = self.results.is_empty() && self.interrupted.is_empty();
                let told = (event.ty == EventType::Started) == fresh;
                findings.expect("I24", told, || named("started against resumed"));
            }
            EventType::PhaseStarted => {
                let again = phase.iter().any(|phase| self.results.iter().any(|(done, _)| done == phase));
                findings.expect("I21", !again, || named("a completed phase starts again"));
                findings.expect("I15", self.running.is_none(), || named("beside another phase"));
                if let Some(phase) = phase {
                    *self.tries.entry(phase.clone()).or_default() += 1;
                    self.running = Some(phase);
                }
            }
            EventType::PhaseCompleted => {
                findings.expect("I3", phase == self.running, || named("it did not run"));
                self.running = None;
                if let (Some(phase), Some(hash)) = (phase, self.text(event, "hash")) {
                    self.interrupted.remove(&phase);
                    self.results.push((phase, hash));
                }
            }
            EventType::PhaseFailed => {
                findings.expect("I3", phase == self.running, || named("it did not run"));
            }
            EventType::Retrying => self.back_to_pending(event, false),
            EventType::Snoozed => {
                self.attempt = self.attempt.saturating_sub(1);
                self.back_to_pending(event, true);
            }
            EventType::Released => {
                self.attempt = self.attempt.saturating_sub(1);
                self.interrupted.extend(phase);
                self.back_to_pending(event, true);
            }
            EventType::Interrupted => {
                self.interrupted.extend(phase);
                self.back_to_pending(event, true);
                // Whether it is pending or failed, a further event of the same commit says.
                self.available_at = None;
            }
            EventType::Cancelling => {
                self.state = Some(Cancelling);
                self.cancel_requests += 1;
                findings.expect("I26", self.cancel_requests == 1, || named("twice in one run"));
            }
            EventType::Completed => self.end(Completed, findings, &named),
            EventType::Failed => {
                // Whoever is poisoned is charged for the try that the crash would have given back.
                if self.text(event, "reason").as_deref() == Some("poisoned")
                    && let Some(phase) = phase
                {
                    *self.tries.entry(phase).or_default() += 1;
                }
                self.end(Failed, findings, &named);
            }
            EventType::Cancelled => {
                self.interrupted.extend(self.running.clone());
                self.end(Cancelled, findings, &named);
            }
            EventType::Retried => self.retried(event),
            EventType::Edited => self.available_at = self.time(event).or(self.available_at),
            _ => {}
        }
        findings.expect("I24", event.run == self.run, || named(&format!("run {}", event.run)));
        let attempted = event.attempt == self.attempt || event.ty == EventType::PhaseSkipped;
        // A job that goes back says so with the attempt that it had.
        let leaving = matches!(event.ty, EventType::Snoozed | EventType::Released);
        findings.expect("I11", attempted || leaving, || named(&format!("attempt {}", event.attempt)));
    }

    fn end(&mut self, state: JobState, findings: &mut Findings, named: &dyn Fn(&str) -> String) {
        self.terminal_events += 1;
        findings.expect("I25", self.terminal_events == 1, || named("a second end of one run"));
        self.state = Some(state);
        self.running = None;
    }

    fn back_to_pending(&mut self, event: &Event, uncharged: bool) {
        self.state = Some(JobState::Pending);
        self.available_at = self.time(event).or(Some(event.at));
        if let Some(phase) = self.running.take()
            && uncharged
            && let Some(tries) = self.tries.get_mut(&phase)
        {
            *tries -= 1;
        }
    }

    fn retried(&mut self, event: &Event) {
        self.state = Some(JobState::Pending);
        self.run += 1;
        (self.attempt, self.terminal_events, self.cancel_requests) = (0, 0, 0);
        self.available_at = Some(event.at);
        self.running = None;
        let kept = match self.text(event, "from").as_deref() {
            Some("start") => 0,
            Some("phase") => {
                let from = self.text(event, "phase");
                let position = self.results.iter().position(|(name, _)| Some(&**name) == from.as_deref());
                position.unwrap_or(self.results.len())
            }
            _ => self.results.len(),
        };
        match (self.text(event, "from").as_deref(), self.text(event, "phase")) {
            (Some("phase"), Some(phase)) if kept == self.results.len() => {
                self.interrupted.remove(&*phase);
            }
            (Some("start" | "phase"), _) => self.interrupted.clear(),
            _ => {}
        }
        self.results.truncate(kept);
        let kept: BTreeSet<&Name> = self.results.iter().map(|(name, _)| name).collect();
        self.tries.retain(|phase, _| kept.contains(phase));
    }

    fn compare(&self, job: &Job, findings: &mut Findings) {
        let named = |what: String| format!("job {} ({}): {what}", job.id.short(), job.state);
        let handed_over = self.may_be_handed_over && job.reason == Some(Reason::HandedOver);
        let same = self.state == Some(job.state) || (handed_over && job.state == JobState::Pending);
        findings.expect("I24", same, || named(format!("the events say {:?}", self.state)));
        let ended = self.terminal_events == 1;
        findings
            .expect("I25", ended == job.state.is_terminal(), || named("its end against its events".into()));
        findings.expect("I24", self.run == job.run, || named(format!("the events say run {}", self.run)));
        findings.expect("I11", self.attempt == job.attempt, || {
            named(format!("attempt {}, but the events say {}", job.attempt, self.attempt))
        });
        for phase in &job.phases {
            // The events of a renamed phase have its earlier name.
            if phase.stored_as.is_some() {
                continue;
            }
            let hash = self.results.iter().find(|(name, _)| *name == phase.name).map(|(_, hash)| hash);
            let recorded = phase.result.as_ref().map(|recorded| &recorded.hash);
            findings.expect("I20", hash == recorded, || named(format!("the result of {}", phase.name)));
            let tries = self.tries.get(&phase.name).copied().unwrap_or(0);
            findings.expect("I11", tries == phase.tries, || {
                named(format!("{} has {} tries, but the events say {tries}", phase.name, phase.tries))
            });
            let interrupted = self.interrupted.contains(&phase.name);
            findings.expect("I22", interrupted == phase.interrupted, || {
                named(format!("whether {} was cut off, against the events", phase.name))
            });
            let running = self.running.as_ref() == Some(&phase.name);
            findings.expect("I24", running == (phase.state == PhaseState::Running), || {
                named(format!("{} runs against the events", phase.name))
            });
        }
    }

    fn text(&self, event: &Event, member: &str) -> Option<String> {
        let data: serde_json::Value = event.data.decode().ok()?;
        data.get(member)?.as_str().map(str::to_owned)
    }
    fn time(&self, event: &Event) -> Option<Timestamp> {
        let data: serde_json::Value = event.data.decode().ok()?;
        data.get("availableAt")?.as_i64().map(Timestamp::from_micros)
    }
}
