//! Planted faults: each invariant must catch what breaks it, or a green run proves nothing.

use stepwell_core::{
    EventType, Job, JobId, JobState, PhaseState, Timestamp, Token,
    machine::{Command, RetryFrom, Verdict},
    phase::Recorded,
    queue::Queue,
};

use super::{
    check, check_step,
    snapshot::{Shown, Snapshot},
};
use crate::{
    cases::failures::fail,
    memory::InMemory,
    world::{Hold, World, json, json_of_bytes, seconds},
};

/// A store with a job in every state, and the ids of some.
struct Scene {
    world: World,
    snapshot: Snapshot,
    completed: JobId,
    failed: JobId,
    cancelled: JobId,
    waiting: JobId,
    running: Hold,
    cancelling: JobId,
    retried: JobId,
}

async fn scene() -> Scene {
    let mut w = World::new(Box::new(InMemory::open()));
    let worker = w.worker().await;
    let completed = w.add().await;
    let hold = w.claim_one(&worker).await;
    w.finish(&hold).await;

    let failed = w.add().await;
    let hold = w.claim_one(&worker).await;
    let large = Command::CompletePhase { phase: "a".into(), result: json_of_bytes(2_000) };
    w.send(failed, hold.fence, vec![large, Command::StartPhase]).await.expect("recorded");
    w.own(&hold, fail("b", Verdict::Permanent)).await.expect("failed");

    let retried = w.add().await;
    let hold = w.claim_one(&worker).await;
    w.complete(&hold, "a").await;
    w.own(&hold, fail("b", Verdict::Permanent)).await.expect("failed");
    let retry = Command::Retry { from: RetryFrom::Unfinished, rerun: false, payload: None };
    w.ask(retried, retry).await.expect("retried");
    let hold = w.claim_one(&worker).await;
    w.own(&hold, fail("b", Verdict::RetryIn(seconds(60)))).await.expect("failed");

    let cancelled = w.unique_job("x");
    let cancelled = w.put(cancelled).await;
    w.ask(cancelled, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");

    w.add().await;
    let running = w.claim_one(&worker).await;
    w.complete(&running, "a").await;
    w.own(&running, Command::SaveCheckpoint { phase: "b".into(), value: json("1") }).await.expect("saved");

    let cancelling = w.add().await;
    w.claim_one(&worker).await;
    w.ask(cancelling, Command::Cancel { grace: seconds(60) }).await.expect("asked");

    let (waiting, other) = (w.unique_job("x"), w.unique_job("y"));
    let waiting = w.put(waiting).await;
    w.put(other).await;
    let snapshot = Snapshot::read(w.store()).await.expect("readable");
    Scene { world: w, snapshot, completed, failed, cancelled, waiting, running, cancelling, retried }
}

fn shown(snapshot: &mut Snapshot, id: JobId) -> &mut Shown {
    snapshot.jobs.iter_mut().find(|shown| shown.job.id == id).expect("the scene has the job")
}
fn row(snapshot: &mut Snapshot, id: JobId) -> &mut Job {
    &mut shown(snapshot, id).job
}

/// Changes the type of the last event of a type of a job, in the log and in its history.
fn retype(snapshot: &mut Snapshot, id: JobId, from: EventType, to: EventType) {
    let pos = shown(snapshot, id).history.iter().rfind(|event| event.ty == from).expect("there is one").pos;
    let history = &mut shown(snapshot, id).history;
    history.iter_mut().filter(|event| event.pos == pos).for_each(|event| event.ty = to);
    snapshot.events.iter_mut().filter(|event| event.pos == pos).for_each(|event| event.ty = to);
}

type Doctor = fn(&mut Snapshot, &Scene);

const FAULTS: &[(&str, Doctor)] = &[
    ("I1", |s, x| shown(s, x.waiting).payload = None),
    ("I1", |s, x| s.jobs.retain(|shown| shown.job.id != x.completed)),
    ("I2", |s, _| s.jobs.iter_mut().for_each(|shown| shown.job.unique_key = Some("same".into()))),
    ("I3", |s, x| retype(s, x.waiting, EventType::Enqueued, EventType::Started)),
    ("I3", |s, x| retype(s, x.completed, EventType::PhaseStarted, EventType::Cancelled)),
    ("I3", |s, x| row(s, x.cancelling).cancel_requested_at = None),
    ("I5", |s, x| row(s, x.running.id).lease = None),
    ("I5", |s, x| row(s, x.waiting).lease = x.running.job.lease),
    ("I5", |s, _| s.owned.values_mut().for_each(Vec::clear)),
    ("I6", |s, x| row(s, x.cancelling).lease = x.running.job.lease),
    ("I10", |s, x| {
        let early = Timestamp::from_micros(0);
        shown(s, x.running.id).history[1].at = early;
    }),
    ("I11", |s, x| row(s, x.running.id).attempt = 7),
    ("I11", |s, x| row(s, x.running.id).phases[1].tries = 2),
    ("I11", |s, x| row(s, x.running.id).phases[1].max_tries = 0),
    ("I12", |s, x| row(s, x.running.id).crashes = 99),
    ("I14", |s, x| row(s, x.waiting).phases.reverse_states()),
    ("I14", |s, x| row(s, x.cancelled).phases[0].state = PhaseState::Failed),
    ("I14", |s, x| row(s, x.running.id).phases.swap(0, 2)),
    ("I15", |s, x| row(s, x.running.id).phases[2].state = PhaseState::Running),
    ("I16", |s, x| row(s, x.cancelled).phases[2].state = PhaseState::Pending),
    ("I18", |s, x| row(s, x.failed).details.failure = None),
    ("I18", |s, x| row(s, x.failed).reason = None),
    ("I19", |s, x| row(s, x.completed).phases[1].result = None),
    ("I19", |s, x| beside(s, x.completed, "a").result = Some(json("666"))),
    ("I19", |s, x| beside(s, x.failed, "a").result = None),
    ("I20", |s, x| row(s, x.retried).phases[0].result = Some(Recorded::of(&json("666")))),
    ("I15", |s, x| retype(s, x.running.id, EventType::PhaseCompleted, EventType::PhaseStarted)),
    ("I21", |s, x| {
        let history = &mut shown(s, x.completed).history;
        let first = history[2].phase.clone();
        history[4].phase = first;
    }),
    ("I22", |s, x| row(s, x.running.id).phases[1].interrupted = true),
    ("I22", |s, x| beside(s, x.running.id, "b").checkpoint = None),
    ("I23", |s, x| {
        let id = x.completed;
        s.events.iter_mut().filter(|event| event.job == id).skip(3).for_each(|event| event.job_seq += 1);
    }),
    ("I24", |s, x| row(s, x.waiting).state = JobState::Completed),
    ("I24", |s, x| row(s, x.waiting).run = 2),
    ("I24", |s, x| {
        shown(s, x.completed).history.pop();
    }),
    ("I25", |s, x| row(s, x.completed).finished_at = None),
    ("I25", |s, x| retype(s, x.failed, EventType::PhaseFailed, EventType::Failed)),
    ("I26", |s, x| retype(s, x.cancelling, EventType::PhaseStarted, EventType::Cancelling)),
    ("I26", |s, x| {
        let history = &mut shown(s, x.completed).history;
        let last = history.len() - 1;
        history.swap(last - 1, last);
    }),
    ("I28", |s, _| s.events.swap(1, 2)),
    ("I28", |s, _| {
        s.events.remove(5);
    }),
    ("I28", |s, _| s.head += 1),
    ("I30", |s, x| row(s, x.running.id).next_seq += 1),
    ("I31", |s, x| {
        let history = &mut shown(s, x.cancelling).history;
        let last = history.len() - 1;
        history.swap(last - 1, last);
    }),
    ("I45", |s, _| s.counts[0].n += 1),
    ("I45", |s, _| {
        s.counts.pop();
    }),
    ("I47", |s, _| s.events[3].at = s.events[3].at + seconds(1)),
];

const FAULTS_OF_STEPS: &[(&str, Doctor)] = &[
    ("I1", |s, x| s.jobs.retain(|shown| shown.job.id != x.waiting)),
    ("I3", |s, x| row(s, x.waiting).version -= 1),
    ("I3", |s, x| row(s, x.waiting).priority = 9),
    ("I3", |s, x| {
        let row = row(s, x.completed);
        (row.version, row.state) = (row.version + 1, JobState::Pending);
    }),
    ("I4", |s, x| shown(s, x.waiting).payload = Some(json("666"))),
    ("I6", |s, x| row(s, x.running.id).epoch -= 1),
    ("I6", |s, x| {
        if let Some(lease) = &mut row(s, x.running.id).lease {
            lease.token = Token::from_bytes([0xee; 16]);
        }
    }),
    ("I8", |s, x| {
        s.queues = vec![Queue { limit: Some(2), ..Queue::new("default".into()) }];
        row(s, x.waiting).state = JobState::Running;
    }),
    ("I19", |s, x| row(s, x.completed).phases[0].result = Some(Recorded::of(&json("666")))),
    ("I27", |s, _| s.events[3].ty = EventType::Failed),
    ("I27", |s, _| s.head -= 1),
    ("I27", |s, _| {
        s.events.remove(2);
    }),
    ("I30", |s, x| row(s, x.running.id).next_seq += 1),
];

trait ReverseStates {
    fn reverse_states(&mut self);
}
impl ReverseStates for Vec<stepwell_core::Phase> {
    /// The first phase has not run, and the last one has.
    fn reverse_states(&mut self) {
        if let Some(last) = self.last_mut() {
            last.state = PhaseState::Completed;
        }
    }
}

fn beside<'a>(snapshot: &'a mut Snapshot, id: JobId, phase: &str) -> &'a mut super::snapshot::Beside {
    shown(snapshot, id).phases.get_mut(phase).expect("the scene has the phase")
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime for the test").block_on(future)
}

#[test]
fn a_good_store_has_no_fault() {
    let scene = run(scene());
    assert_eq!(check(&scene.snapshot), []);
    assert_eq!(check_step(&scene.snapshot, &scene.snapshot), []);
}

#[test]
fn every_planted_fault_is_caught_by_its_name() {
    let scene = run(scene());
    for (nth, (invariant, doctor)) in FAULTS.iter().enumerate() {
        let mut doctored = scene.snapshot.clone();
        doctor(&mut doctored, &scene);
        let found = check(&doctored);
        let named = found.iter().any(|violation| violation.invariant == *invariant);
        assert!(named, "fault {nth} breaks {invariant}, but what was found is {found:#?}");
    }
}

#[test]
fn every_planted_fault_of_a_step_is_caught_by_its_name() {
    let scene = run(scene());
    for (nth, (invariant, doctor)) in FAULTS_OF_STEPS.iter().enumerate() {
        let mut doctored = scene.snapshot.clone();
        doctor(&mut doctored, &scene);
        let found = check_step(&scene.snapshot, &doctored);
        let named = found.iter().any(|violation| violation.invariant == *invariant);
        assert!(named, "fault {nth} breaks {invariant}, but what was found is {found:#?}");
    }
}

#[test]
fn a_legal_step_has_no_fault() {
    run(async {
        let Scene { world, snapshot, running, completed, .. } = scene().await;
        world.finish_from_b(&running).await;
        world.ask(completed, Command::Delete).await.expect("deleted");
        let after = Snapshot::read(world.store()).await.expect("readable");
        assert_eq!(check_step(&snapshot, &after), []);
        assert!(!check_step(&after, &snapshot).is_empty(), "there is no way back");
    });
}
