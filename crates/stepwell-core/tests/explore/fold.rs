//! I24: whoever has folded the log so far, and now reads what one transition says, knows the row that comes of it.
//!
//! One step at a time is enough: if every step's events turn what was known into what is now the case, so do all
//! events from the first one on. A reader of the log knows the plan, and so the queues of its phases.

use serde_json::Value;
use stepwell_core::{
    EventType, Job, JobState, Json, Name, Phase, PhaseState,
    event::{Draft, EventType as E},
    job::Reason,
    machine::Transition,
    time::Timestamp,
};

/// What a reader knows of a phase.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    name: Name,
    stored: Name,
    state: PhaseState,
    tries: u32,
    hash: Option<String>,
    error: Option<String>,
}

impl Known {
    fn of(phase: &Phase) -> Self {
        Self {
            name: phase.name.clone(),
            stored: phase.stored_name().clone(),
            state: phase.state,
            tries: phase.tries,
            hash: phase.result.as_ref().map(|result| result.hash.clone()),
            error: phase.error.clone(),
        }
    }
    fn is_open(&self) -> bool {
        matches!(self.state, PhaseState::Pending | PhaseState::Running)
    }
}

/// What a reader knows of the job.
struct Reader {
    state: JobState,
    run: u32,
    attempt: u32,
    phases: Vec<Known>,
    available_at: Option<Timestamp>,
    reason: Option<Reason>,
    failure: Option<(Option<Name>, String)>,
    removed: bool,
}

pub(crate) fn fold(job: &Job, now: Timestamp, transition: &Transition) -> Result<(), String> {
    let next = &transition.job;
    let mut reader = Reader {
        state: job.state,
        run: job.run,
        attempt: job.attempt,
        phases: job.phases.iter().map(Known::of).collect(),
        available_at: None,
        reason: None,
        failure: None,
        removed: false,
    };
    let types: Vec<EventType> = transition.events.iter().map(|event| event.ty).collect();
    for event in &transition.events {
        reader.read(event, &types, job, next, now)?;
    }
    reader.knows_of_hand_over(job, &types);
    reader.agrees_with(transition)
}

impl Reader {
    fn read(
        &mut self,
        event: &Draft,
        types: &[EventType],
        job: &Job,
        next: &Job,
        now: Timestamp,
    ) -> Result<(), String> {
        let data: Value =
            event.data.as_ref().map_or(Ok(Value::Null), Json::decode).map_err(|e| e.to_string())?;
        let text =
            |key: &str| data[key].as_str().map(str::to_owned).ok_or(format!("{} has no {key}", event.ty));
        let number = |key: &str| data[key].as_i64().ok_or(format!("{} has no {key}: {data}", event.ty));
        let tries = || number("try").and_then(|n| u32::try_from(n).map_err(|e| e.to_string()));
        match event.ty {
            E::Started | E::Resumed => {
                (self.state, self.attempt) = (JobState::Running, event.attempt);
                let session = next.lease.map(|lease| lease.session.to_string());
                if session != Some(text("session")?) {
                    return Err("names another session".into());
                }
                self.takes_plan(next);
            }
            E::Edited if data["by"] == "plan" => {
                if text("queue")? != *next.queue {
                    return Err("names another queue".into());
                }
                self.takes_plan(next);
            }
            E::Edited => {
                self.available_at = data["availableAt"].as_i64().map(Timestamp::from_micros);
                let priority = data["priority"].as_i64().is_none_or(|it| it == i64::from(next.priority));
                let queue = data["queue"].as_str().is_none_or(|it| it == &*next.home_queue);
                if !priority || !queue {
                    return Err(format!("says {data}"));
                }
            }
            E::PhaseSkipped => self.phase(event)?.state = PhaseState::Skipped,
            E::PhaseStarted => {
                let phase = self.phase(event)?;
                (phase.state, phase.tries) = (PhaseState::Running, tries()?);
            }
            E::PhaseCompleted => {
                let bytes = number("bytes")?;
                let phase = self.phase(event)?;
                (phase.state, phase.hash, phase.error) = (PhaseState::Completed, Some(text("hash")?), None);
                let row = next.phase(&phase.name).and_then(|phase| phase.result.as_ref());
                if row.map(|result| result.bytes as i64) != Some(bytes) {
                    return Err("has another size".into());
                }
            }
            E::PhaseFailed => {
                let again = data["retryAt"].is_number();
                let phase = self.phase(event)?;
                (phase.tries, phase.error) = (tries()?, Some(text("error")?));
                phase.state = if again { PhaseState::Pending } else { PhaseState::Failed };
            }
            E::Retrying => {
                self.state = JobState::Pending;
                self.available_at = Some(Timestamp::from_micros(number("availableAt")?));
            }
            E::Snoozed => {
                self.puts_back();
                self.attempt = event.attempt.saturating_sub(1);
                self.available_at = Some(Timestamp::from_micros(number("availableAt")?));
            }
            E::Released => {
                self.puts_back();
                self.attempt = event.attempt.saturating_sub(1);
                self.available_at = Some(now);
            }
            E::Interrupted if types.contains(&E::Failed) => {
                text("node")?;
                if event.phase.is_some() {
                    self.phase(event)?.state = PhaseState::Failed;
                }
            }
            E::Interrupted => {
                text("node")?;
                let seen = data["checkpoint"].as_bool();
                if seen != Some(job.running_phase().is_some_and(|phase| phase.checkpoint)) {
                    return Err("is wrong about the checkpoint".into());
                }
                self.puts_back();
            }
            E::Cancelling => self.state = JobState::Cancelling,
            E::Completed => self.state = JobState::Completed,
            E::Failed => {
                let message = text("error")?;
                if event.phase.is_some() {
                    self.phase(event)?.error = Some(message.clone());
                }
                self.ends(JobState::Failed, PhaseState::Skipped);
                self.reason = serde_json::from_value(data["reason"].clone()).ok();
                self.failure = Some((event.phase.clone(), message));
            }
            E::Cancelled => {
                self.ends(JobState::Cancelled, PhaseState::Cancelled);
                self.reason = Some(if data["forced"] == true { Reason::Forced } else { Reason::Requested });
            }
            E::Retried => self.starts_over(&data, now)?,
            E::Deleted => self.removed = text("deletedJobId")? == job.id.to_string(),
            _ => {}
        }
        Ok(())
    }
    fn phase(&mut self, event: &Draft) -> Result<&mut Known, String> {
        let phase = self.phases.iter_mut().find(|phase| Some(&phase.name) == event.phase.as_ref());
        phase.ok_or(format!("{} names the phase {:?}", event.ty, event.phase))
    }
    /// A claim binds the job to a plan. What of it is skipped is said, and the rest is taken over by name.
    fn takes_plan(&mut self, next: &Job) {
        let known = std::mem::take(&mut self.phases);
        for phase in &next.phases {
            let before = known.iter().find(|known| known.stored == *phase.stored_name());
            let mut now_known = before.cloned().unwrap_or_else(|| Known {
                state: PhaseState::Pending,
                tries: 0,
                hash: None,
                error: None,
                ..Known::of(phase)
            });
            now_known.name = phase.name.clone();
            // One that an older plan skipped may be due under the new one, which shows when it starts.
            if now_known.state == PhaseState::Skipped && phase.state == PhaseState::Pending {
                now_known.state = PhaseState::Pending;
            }
            self.phases.push(now_known);
        }
    }
    fn puts_back(&mut self) {
        self.state = JobState::Pending;
        for phase in self.phases.iter_mut().filter(|phase| phase.state == PhaseState::Running) {
            (phase.state, phase.tries) = (PhaseState::Pending, phase.tries.saturating_sub(1));
        }
    }
    fn ends(&mut self, state: JobState, open: PhaseState) {
        self.state = state;
        self.phases.iter_mut().filter(|phase| phase.is_open()).for_each(|phase| phase.state = open);
    }
    /// A hand-over has no event of its own: it shows in the queue of the phase that is due.
    fn knows_of_hand_over(&mut self, job: &Job, types: &[EventType]) {
        let due = self.phases.iter().find(|phase| phase.state == PhaseState::Pending);
        let queue = due.and_then(|due| job.phase(&due.name)).map(|phase| job.queue_of(phase));
        if types == [E::PhaseCompleted] && queue.is_some_and(|queue| *queue != job.queue) {
            self.state = JobState::Pending;
        }
    }
    fn starts_over(&mut self, data: &Value, now: Timestamp) -> Result<(), String> {
        let first_reset = match (data["from"].as_str(), data["phase"].as_str()) {
            (Some("unfinished"), _) => self.phases.len(),
            (Some("start"), _) => 0,
            (Some("phase"), Some(name)) => {
                self.phases.iter().position(|phase| &*phase.name == name).ok_or("names no phase")?
            }
            _ => return Err(format!("says {data}")),
        };
        for (position, phase) in self.phases.iter_mut().enumerate() {
            if position >= first_reset || phase.state != PhaseState::Completed {
                (phase.state, phase.tries, phase.hash, phase.error) = (PhaseState::Pending, 0, None, None);
            }
        }
        self.phases.sort_by_key(|phase| phase.state != PhaseState::Completed);
        (self.state, self.attempt, self.available_at) = (JobState::Pending, 0, Some(now));
        self.run += 1;
        Ok(())
    }
    fn agrees_with(&self, transition: &Transition) -> Result<(), String> {
        let next = &transition.job;
        let phases: Vec<Known> = next.phases.iter().map(Known::of).collect();
        let failure = next.details.failure.as_ref().map(|it| (it.phase.clone(), it.message.clone()));
        let agrees = self.state == next.state
            && self.run == next.run
            && self.attempt == next.attempt
            && self.phases == phases
            && self.available_at.is_none_or(|at| at == next.available_at)
            && self.reason.is_none_or(|reason| next.reason == Some(reason))
            && (self.failure.is_none() || self.failure == failure)
            && self.removed == transition.removed;
        match agrees {
            true => Ok(()),
            false => Err(format!(
                "the log tells of {} with {:?}, the row of {} with {phases:?}",
                self.state, self.phases, next.state
            )),
        }
    }
}
