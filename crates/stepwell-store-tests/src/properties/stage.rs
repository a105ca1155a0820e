//! Plays a sequence on a store, and on the model beside it.

use std::{fmt::Debug, sync::Arc, time::Duration};

use stepwell_core::{
    JobId, Json, Name, PlanSpec, Result, Retry, SessionId, Timestamp, Token, Unique,
    job::Progress,
    lease::Fence,
    machine::{Command, Edit, LogLine, NewJob, RetryFrom, Verdict},
    queue::QueueChange,
    retention::{Keep, Retention},
    schedule::When,
    session::{Desired, Session},
    store::{ClaimRequest, Lane, Maintain, Request, WorkedPlan, inbox::InboxEntry},
};

use super::operation::{Ask, Blame, Deed, Operation, Wish};
use crate::{
    fixture::Fixture,
    invariants::{check, check_step, snapshot::Snapshot},
    memory::InMemory,
    views,
    world::{json, json_of_bytes, plan_of, seconds},
};

const KINDS: [&str; 3] = ["long", "short", "unknown"];
const QUEUES: [&str; 2] = ["default", "two"];
const PHASES: [&str; 3] = ["a", "b", "c"];
/// How often everything that can be read is compared. It takes a durable store a while.
const COMPARED_EVERY: usize = 12;

/// The model, a store that must do the same, and what was given out so far.
pub struct Stage {
    model: Box<dyn Fixture>,
    tested: Option<Box<dyn Fixture>>,
    workers: Vec<SessionId>,
    plans: Arc<Vec<WorkedPlan>>,
    jobs: Vec<JobId>,
    /// Those that were asked for through the inbox. An id that was not may come back after its deletion.
    inboxed: Vec<JobId>,
    holds: Vec<(JobId, Fence)>,
    made: u32,
    seen: Snapshot,
}

/// The two plans that are worked: one whose second phase runs in another queue, and one of a single phase.
fn plans() -> Vec<PlanSpec> {
    let mut long = plan_of(KINDS[0], &PHASES);
    long.phases[1].queue = Some(QUEUES[1].into());
    long.phases[0].retry = Retry::fixed(2, seconds(3));
    long.phases[2].retry = Retry::never();
    vec![long, plan_of(KINDS[1], &["only"])]
}

impl Stage {
    /// With the model, and a store to be held against it.
    pub async fn new(tested: Option<Box<dyn Fixture>>) -> Self {
        let mut stage = Self {
            model: Box::new(InMemory::open()),
            tested,
            workers: Vec::new(),
            plans: Arc::default(),
            jobs: Vec::new(),
            inboxed: Vec::new(),
            holds: Vec::new(),
            made: 0,
            seen: Snapshot::default(),
        };
        let mut refs = Vec::new();
        for fixture in stage.fixtures() {
            refs = fixture.store().register(plans()).await.expect("the plans are registered");
        }
        let worked = plans().into_iter().zip(refs);
        let worked = worked.map(|(spec, plan_ref)| WorkedPlan { spec: Arc::new(spec), plan_ref });
        stage.plans = Arc::new(worked.collect());
        for worker in 0..3 {
            let session = stage.open_session().await;
            stage.workers.insert(worker, session);
        }
        stage
    }

    /// Plays a sequence to its end.
    pub async fn play(&mut self, operations: &[Operation]) {
        for (nth, operation) in operations.iter().enumerate() {
            self.play_one(operation).await;
            if nth % COMPARED_EVERY == 0 {
                self.compare().await;
            }
        }
        self.compare().await;
    }

    /// Plays one operation, without comparing. Answers with what can be read after it.
    pub async fn play_one(&mut self, operation: &Operation) -> &Snapshot {
        self.step(operation).await;
        self.check(operation).await;
        &self.seen
    }

    fn fixtures(&self) -> impl Iterator<Item = &dyn Fixture> {
        std::iter::once(&*self.model).chain(self.tested.as_deref())
    }
    fn now(&self) -> Timestamp {
        self.model.store().clock().now()
    }
    fn fresh(&mut self) -> [u8; 16] {
        self.made += 1;
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&self.made.to_be_bytes());
        bytes
    }

    /// What holds on the model after each operation, and on the way to it.
    async fn check(&mut self, operation: &Operation) {
        let now = Snapshot::read(self.model.store()).await.expect("the model can be read");
        let mut violations = check(&now);
        violations.extend(check_step(&self.seen, &now));
        assert!(violations.is_empty(), "after {operation:?}: {violations:#?}");
        self.seen = now;
    }
    /// Everything that can be read is the same.
    pub async fn compare(&self) {
        let Some(tested) = &self.tested else { return };
        let found = Snapshot::read(tested.store()).await.expect("the store can be read");
        let model = &self.seen;
        for (expected, found) in model.events.iter().zip(&found.events) {
            assert_same("an event", found, expected);
        }
        for (expected, found) in model.jobs.iter().zip(&found.jobs) {
            assert_same("a job", found, expected);
        }
        assert_same("what can be read", &found, model);
        assert!(found == *model, "the store differs from the model in what is not shown");
        assert_eq!(tested.store().head(), model.head);
        for (name, expected) in views::VIEWS.into_iter().zip(views::expected(model)) {
            let Some(shown) = tested.view(name).await else { return };
            let differences = views::compare(name, &shown, &expected);
            assert!(differences.is_empty(), "what people see with SQL differs: {differences:#?}");
        }
    }

    /// The same answer from both, as text: predicates and wording of errors included.
    fn same<T: Debug>(answers: Vec<Result<T>>) -> Option<T> {
        for answer in &answers[1..] {
            assert_same("the answer", answer, &answers[0]);
        }
        answers.into_iter().next().and_then(Result::ok)
    }

    async fn step(&mut self, operation: &Operation) {
        match operation {
            Operation::Enqueue(wish) => {
                let new = self.new_job(wish);
                self.jobs.push(new.id);
                self.enqueue(new).await;
            }
            Operation::EnqueueAgain { wish, job } => {
                let new = self.new_job(wish);
                // Of a job that was deleted the id is free again, which no invariant of a job's life allows for.
                let there = |id: &JobId| self.seen.jobs.iter().any(|seen| seen.job.id == *id);
                let id = self.job(*job).filter(there).unwrap_or(new.id);
                self.jobs.push(id);
                self.enqueue(NewJob { id, ..new }).await;
            }
            Operation::Inbox { wish, again, idempotency, wrong } => {
                self.push_inbox(wish, *again, *idempotency, *wrong).await;
            }
            Operation::Claim { worker, at_most } => self.claim(self.workers[*worker], *at_most).await,
            Operation::Own { hold, spoilt, deeds } => self.own(*hold, *spoilt, deeds).await,
            Operation::Ask { job, outdated, request } => self.ask(*job, *outdated, request).await,
            Operation::Pause { queue, paused } => {
                let change = match paused {
                    true => QueueChange::Pause { reason: None },
                    false => QueueChange::Resume,
                };
                self.change_queue(*queue, change).await;
            }
            Operation::Limit { queue, limit } => {
                self.change_queue(*queue, QueueChange::Limit(*limit)).await;
            }
            Operation::Advance { seconds } => {
                for fixture in self.fixtures() {
                    fixture.store().clock().advance(Duration::from_secs(*seconds));
                }
            }
            Operation::Beat { worker } => {
                let session = self.workers[*worker];
                Self::same(self.fixtures().map(|fixture| fixture.store().beat(session)).collect());
            }
            Operation::Restart { worker, closes } => {
                let old = self.workers[*worker];
                for fixture in self.fixtures().filter(|_| *closes) {
                    fixture.store().close_session(old).await.expect("the session closes");
                }
                self.workers[*worker] = self.open_session().await;
            }
            Operation::Want { worker, desired } => {
                let (session, desired) = (self.workers[*worker], Desired::of_number(*desired));
                let mut answers = Vec::new();
                for fixture in self.fixtures() {
                    answers.push(fixture.store().want(session, desired).await);
                }
                Self::same(answers);
            }
            Operation::Maintain { worker } => {
                let request = Maintain { jitter: 0.5, session: worker.map(|worker| self.workers[worker]) };
                let mut answers = Vec::new();
                for fixture in self.fixtures() {
                    answers.push(fixture.store().maintain(request.clone()).await);
                }
                Self::same(answers);
            }
            Operation::Prune { jobs_seconds, jobs_max, events_seconds, events_max } => {
                let keep = |seconds: &Option<u64>, most: &Option<u64>| Keep {
                    age_max: seconds.map_or(Duration::MAX, Duration::from_secs),
                    count_max: most.unwrap_or(u64::MAX),
                };
                let (jobs, events) = (keep(jobs_seconds, jobs_max), keep(events_seconds, events_max));
                self.prune(&Retention { completed: jobs, failed: jobs, cancelled: jobs, events }).await;
            }
        }
    }

    async fn change_queue(&self, queue: usize, change: QueueChange) {
        let mut answers = Vec::new();
        for fixture in self.fixtures() {
            let answer = fixture.store().change_queue(QUEUES[queue].into(), change.clone()).await;
            answers.push(answer);
        }
        Self::same(answers);
    }

    async fn open_session(&mut self) -> SessionId {
        let id = SessionId::from_bytes(self.fresh());
        let session = Session {
            id,
            node: format!("node-{}", self.made),
            started_at: self.now(),
            kinds: self.plans.iter().map(|plan| (plan.spec.kind.clone(), plan.plan_ref.generation)).collect(),
            queues: QUEUES.map(|queue| (Name::from(queue), 3)).to_vec(),
            about: stepwell_core::session::About::default(),
        };
        for fixture in self.fixtures() {
            fixture.store().open_session(session.clone()).await.expect("the session opens");
        }
        id
    }

    fn new_job(&mut self, wish: &Wish) -> NewJob {
        let mut random = [0; 10];
        random.copy_from_slice(&self.fresh()[6..]);
        let id = JobId::from_parts(self.now(), random);
        let unique = wish.key.map(|key| Unique::key(format!("key-{key}")));
        NewJob {
            queue: match wish.queue {
                0 => None,
                1 => Some(QUEUES[1].into()),
                rare => Some(format!("rare-{rare}").into()),
            },
            priority: wish.priority,
            when: if wish.delay == 0 { When::Now } else { When::After(seconds(wish.delay)) },
            expires: wish.expires.map(|expires| When::After(seconds(expires))),
            unique: unique.map(|unique| if wish.window { unique.within(seconds(30)) } else { unique }),
            tags: wish.tag.map(|tag| format!("tag-{tag}").into()).into_iter().collect(),
            max_crashes: Some(wish.max_crashes),
            ..NewJob::new(id, KINDS[usize::from(wish.kind)], json(r#"{"a":1}"#))
        }
    }

    async fn enqueue(&self, new: NewJob) {
        let mut answers = Vec::new();
        for fixture in self.fixtures() {
            answers.push(fixture.store().enqueue(vec![new.clone()]).await);
        }
        Self::same(answers);
    }

    async fn push_inbox(&mut self, wish: &Wish, again: Option<usize>, key: Option<u8>, wrong: bool) {
        let new = self.new_job(wish);
        let id = again.and_then(|back| from_the_end(&self.inboxed, back)).unwrap_or(new.id);
        let entry = InboxEntry {
            n: 0,
            id: Some(id.to_string()),
            v: Some(1),
            kind: Some(new.kind.to_string()),
            payload: Some(if wrong { "{" } else { r#"{"b":2}"# }.to_owned()),
            queue: new.queue.as_ref().map(ToString::to_string),
            priority: Some(new.priority.into()),
            delay_ms: (wish.delay > 0).then(|| i64::try_from(wish.delay * 1_000).unwrap_or(i64::MAX)),
            run_at: None,
            unique_key: new.unique.as_ref().map(|unique| unique.as_str().to_owned()),
            unique_within_ms: (wish.window && wish.key.is_some()).then_some(30_000),
            idempotency_key: key.map(|key| format!("once-{key}")),
            tags: wish.tag.map(|tag| format!(r#"["tag-{tag}"]"#)),
            attributes: None,
            problem: None,
        };
        for fixture in self.fixtures() {
            assert!(fixture.push_inbox(entry.clone()).await, "the inbox takes the row");
        }
        self.jobs.push(id);
        self.inboxed.push(id);
    }

    async fn claim(&mut self, session: SessionId, at_most: usize) {
        let lanes = QUEUES.map(|queue| Lane { queue: queue.into(), at_most }).to_vec();
        let tokens = (0..2 * at_most).map(|_| Token::from_bytes(self.fresh())).collect();
        let request = ClaimRequest { session, lanes, plans: Arc::clone(&self.plans), tokens };
        let mut answers = Vec::new();
        for fixture in self.fixtures() {
            answers.push(fixture.store().claim(request.clone()).await);
        }
        let claimed = Self::same(answers).into_iter().flat_map(|batch| batch.jobs);
        self.holds.extend(claimed.filter_map(|claimed| Some((claimed.job.id, claimed.job.owner_fence()?))));
    }

    async fn send(&self, job: JobId, fence: Fence, commands: Vec<Command>) {
        let mut answers = Vec::new();
        for fixture in self.fixtures() {
            let commands = commands.clone();
            answers.push(fixture.store().apply(Request { job, fence, commands }).await);
        }
        Self::same(answers);
    }

    async fn own(&self, hold: usize, spoilt: bool, deeds: &[Deed]) {
        let Some((job, fence)) = from_the_end(&self.holds, hold) else { return };
        let fence = match fence {
            Fence::Owner { epoch, token } if spoilt => Fence::Owner { epoch: epoch + 2, token },
            fence => fence,
        };
        let row = self.model.store().job(job).await.expect("the model can be read");
        let phases = row.map(|row| row.phases).unwrap_or_default();
        let open = phases.iter().position(|phase| !phase.is_closed());
        let name = |position: Option<usize>| {
            let phase = position.and_then(|position| phases.get(position));
            phase.map_or_else(|| PHASES[0].into(), |phase| phase.name.clone())
        };
        let (running, next) = (name(open), name(open.map(|position| position + 1)));
        let commands = deeds.iter().map(|deed| self.command(deed, &running, &next)).collect();
        self.send(job, fence, commands).await;
    }

    fn command(&self, deed: &Deed, phase: &Name, next: &Name) -> Command {
        let phase = phase.clone();
        match deed {
            Deed::Complete(bytes) => Command::CompletePhase { phase, result: json_of_bytes(*bytes) },
            Deed::CompleteWrongly => Command::CompletePhase { phase: next.clone(), result: Json::null() },
            Deed::Start => Command::StartPhase,
            Deed::Fail(blame) => {
                let verdict = match blame {
                    Blame::Retry => Verdict::Retry,
                    Blame::RetryIn(delay) => Verdict::RetryIn(seconds(*delay)),
                    Blame::Permanent => Verdict::Permanent,
                };
                let retry = Retry::exponential(3);
                Command::FailPhase { phase, error: "it broke".into(), verdict, retry, jitter: 0.75 }
            }
            Deed::Snooze(delay) => Command::Snooze { delay: seconds(*delay) },
            Deed::Release => Command::Release,
            Deed::Acknowledge => Command::AcknowledgeCancel,
            Deed::Checkpoint(at) => Command::SaveCheckpoint { phase, value: json(&at.to_string()) },
            Deed::Element(index) => {
                let result = json(&format!("[{index}]"));
                Command::EndElement { phase, index: *index, input_hash: format!("hash-{index}"), result }
            }
            Deed::Annotate(done) => {
                let progress = Some(Progress { done: *done, total: u64::MAX, note: Some("on it".into()) });
                let lines = vec![LogLine { at: self.now(), phase: Some(phase), text: format!("at {done}") }];
                Command::Annotate { progress, lines }
            }
        }
    }

    fn job(&self, back: usize) -> Option<JobId> {
        from_the_end(&self.jobs, back)
    }

    async fn ask(&self, back: usize, outdated: bool, ask: &Ask) {
        let Some(job) = self.job(back) else { return };
        let command = match ask {
            Ask::Cancel(grace) => Command::Cancel { grace: seconds(*grace) },
            Ask::Retry { from, rerun } => {
                let from = match from {
                    0 => RetryFrom::Unfinished,
                    1 => RetryFrom::Start,
                    n => RetryFrom::Phase(PHASES[usize::from(*n) - 2].into()),
                };
                Command::Retry { from, rerun: *rerun, payload: None }
            }
            Ask::Edit(what) => Command::Edit(edit(*what)),
            Ask::Delete => Command::Delete,
            Ask::Webhook(delivered) => {
                Command::RecordWebhook { delivered: *delivered, data: json(r#"{"endpoint":"e"}"#) }
            }
        };
        let fence = if outdated { Fence::Version(2) } else { Fence::None };
        self.send(job, fence, vec![command]).await;
    }

    /// Several passes: one may remove the jobs for whose sake the next passes may remove events.
    async fn prune(&self, retention: &Retention) {
        let mut answers = Vec::new();
        for fixture in self.fixtures() {
            let (mut jobs, mut event_rows) = (0, 0);
            for _ in 0..3 {
                let pruned = fixture.store().prune(retention.clone()).await.expect("retention passes");
                jobs += pruned.jobs;
                event_rows += pruned.event_rows;
            }
            answers.push(Ok((jobs, event_rows)));
        }
        Self::same(answers);
    }
}

fn edit(what: u8) -> Edit {
    match what {
        0 => Edit { priority: Some(5), ..Edit::default() },
        1 => Edit { queue: Some(QUEUES[1].into()), ..Edit::default() },
        2 => Edit { when: Some(When::After(seconds(10))), ..Edit::default() },
        3 => Edit { payload: Some(json("[3]")), tags: Some(vec!["edited".into()]), ..Edit::default() },
        _ => Edit { queue: Some("".into()), ..Edit::default() },
    }
}

fn from_the_end<T: Copy>(list: &[T], back: usize) -> Option<T> {
    let back = back % list.len().max(1);
    list.iter().rev().nth(back).copied()
}

/// Compares what is shown of two values, and shows of large ones only where they begin to differ.
fn assert_same(what: &str, found: &impl Debug, expected: &impl Debug) {
    let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
    let common = found.bytes().zip(expected.bytes()).take_while(|(one, other)| one == other).count();
    let excerpt = |text: &str| {
        let around = common.saturating_sub(160)..text.len().min(common + 160);
        String::from_utf8_lossy(&text.as_bytes()[around]).into_owned()
    };
    assert!(
        found == expected,
        "{what} differs from the model's:\nfound    …{}…\nexpected …{}…",
        excerpt(&found),
        excerpt(&expected)
    );
}
