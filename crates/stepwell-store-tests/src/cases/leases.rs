use crate::prelude::*;

use super::failures::fail;

/// Everything that an owner may ask.
fn owners_commands() -> Vec<Command> {
    let lines = vec![LogLine { at: Timestamp::from_micros(1), phase: None, text: "zombie".into() }];
    vec![
        Command::StartPhase,
        Command::SaveCheckpoint { phase: "a".into(), value: json("666") },
        Command::Annotate { progress: Some(Progress::default()), lines },
        Command::EndElement { phase: "a".into(), index: 0, input_hash: "h".into(), result: json("666") },
        complete("a", "666"),
        fail("a", Verdict::Permanent),
        Command::Snooze { delay: seconds(9) },
        Command::Release,
        Command::AcknowledgeCancel,
    ]
}

async fn can_change_nothing(w: &World, id: JobId, fence: Fence) {
    let (row, events) = (w.row(id).await, w.all_events().await);
    for command in owners_commands() {
        let error = w.send(id, fence, vec![command]).await.expect_err("it does not own the job");
        assert!(error.is_lease_lost(), "{error}");
    }
    assert_eq!(w.row(id).await, row);
    assert_eq!(w.all_events().await, events);
    assert_eq!(w.store().checkpoint(id, "a".into()).await.expect("readable"), None);
    assert!(w.store().elements(id, "a".into()).await.expect("readable").is_empty());
    assert!(w.store().log(id).await.expect("readable").is_empty());
}

fn parts(hold: &Hold) -> (u64, Token) {
    match hold.fence {
        Fence::Owner { epoch, token } => (epoch, token),
        other => panic!("a claim gives an owner's fence, not {other:?}"),
    }
}

pub async fn a_wrong_token_can_change_nothing(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let (epoch, _) = parts(&hold);
    let token = w.token();
    can_change_nothing(w, hold.id, Fence::Owner { epoch, token }).await;
}

pub async fn a_wrong_epoch_can_change_nothing(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let (epoch, token) = parts(&hold);
    can_change_nothing(w, hold.id, Fence::Owner { epoch: epoch + 1, token }).await;
    can_change_nothing(w, hold.id, Fence::Owner { epoch: epoch - 1, token }).await;
}

pub async fn no_fence_at_all_can_do_nothing_of_an_owners(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    can_change_nothing(w, hold.id, Fence::None).await;
    can_change_nothing(w, hold.id, Fence::Version(hold.job.version)).await;
    let (epoch, session) = (hold.job.epoch, worker.session);
    can_change_nothing(w, hold.id, Fence::Reaper { epoch, session }).await;
}

pub async fn an_owner_of_nothing_has_lost_it(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.own(&hold, Command::Release).await.expect("released");
    can_change_nothing(w, hold.id, hold.fence).await;
    let gone = w.id();
    let error = w.send(gone, hold.fence, vec![Command::Release]).await.expect_err("no such job");
    assert!(error.is_lease_lost(), "{error}");
}

pub async fn a_zombie_can_change_nothing_after_the_job_was_claimed_again(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.kill(&worker).await;
    can_change_nothing(w, hold.id, hold.fence).await;
    let other = w.worker().await;
    let again = w.claim_one(&other).await;
    assert_eq!((again.id, again.job.epoch), (hold.id, 3), "one for the loss, one for the claim");
    can_change_nothing(w, hold.id, hold.fence).await;
    assert_eq!(w.finish(&again).await.state, JobState::Completed);
    can_change_nothing(w, hold.id, hold.fence).await;
}

pub async fn a_zombie_can_change_nothing_when_its_own_session_claims_again(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.own(&hold, Command::Snooze { delay: seconds(0) }).await.expect("snoozed");
    let again = w.claim_one(&worker).await;
    can_change_nothing(w, hold.id, hold.fence).await;
    let (epoch, _) = parts(&again);
    let (_, token) = parts(&hold);
    can_change_nothing(w, hold.id, Fence::Owner { epoch, token }).await;
}

fn reaping(session: SessionId, epoch: u64) -> (Fence, Vec<Command>) {
    (Fence::Reaper { epoch, session }, vec![Command::LoseLease { node: "n".into(), jitter: 0.0 }])
}

pub async fn a_reaper_compares_the_epoch(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.own(&hold, Command::Release).await.expect("released");
    w.claim_one(&worker).await;
    let before = w.row(hold.id).await;
    let (fence, commands) = reaping(worker.session, hold.job.epoch);
    assert!(w.send(hold.id, fence, commands).await.expect_err("another claim").is_lease_lost());
    assert_eq!(w.row(hold.id).await, before);
}

pub async fn a_reaper_compares_the_session(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let (fence, commands) = reaping(SessionId::from_bytes([9; 16]), hold.job.epoch);
    assert!(w.send(hold.id, fence, commands).await.expect_err("another session").is_lease_lost());
    assert_eq!(w.row(hold.id).await.state, JobState::Running);
}

pub async fn a_reaper_needs_its_fence(w: &mut World) {
    let (_, hold) = w.claimed().await;
    for fence in [Fence::None, hold.fence, Fence::Version(hold.job.version)] {
        for command in [Command::LoseLease { node: "n".into(), jitter: 0.0 }, Command::ForceCancel] {
            assert!(w.send(hold.id, fence, vec![command]).await.expect_err("refused").is_lease_lost());
        }
    }
}

pub async fn a_dead_sessions_job_waits_again(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.kill(&worker).await;
    let row = w.row(hold.id).await;
    assert_eq!((row.state, row.reason), (JobState::Pending, Some(Reason::Interrupted)));
    assert_eq!((row.lease, row.epoch, row.attempt, row.crashes), (None, 2, 1, 1));
    assert_eq!(row.available_at, w.now(), "the first crash does not wait");
    assert_eq!((row.phases[0].state, row.phases[0].tries), (PhaseState::Pending, 0));
    assert!(row.phases[0].interrupted);
    let event = w.last_event(hold.id).await;
    assert_eq!((event.ty, event.phase.as_deref()), (EventType::Interrupted, Some("a")));
    let node = format!("node-{}", 1);
    assert_eq!(data(&event), value!({ "node": node, "try": 1, "checkpoint": false, "crashes": 1 }));
}

pub async fn restart_keeps_interrupted_phase_context(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    let save = Command::SaveCheckpoint { phase: "b".into(), value: json(r#"{"cursor":41}"#) };
    let element =
        Command::EndElement { phase: "b".into(), index: 4, input_hash: "h".into(), result: json("16") };
    w.send(hold.id, hold.fence, vec![save, element]).await.expect("recorded");
    w.kill(&worker).await;
    w.reopen().await;
    let other = w.worker().await;
    let again = w.claim_one(&other).await;
    assert_eq!((again.id, shape(&again.job).as_str()), (hold.id, "CRP"));
    let phase = &again.job.phases[1];
    assert_eq!((phase.interrupted, phase.checkpoint, phase.tries), (true, true, 1));
    let checkpoint = w.store().checkpoint(hold.id, "b".into()).await.expect("readable");
    assert_eq!(checkpoint, Some(json(r#"{"cursor":41}"#)));
    let elements = w.store().elements(hold.id, "b".into()).await.expect("readable");
    assert_eq!(elements.iter().map(|one| (one.index, one.result.as_str())).collect::<Vec<_>>(), [(4, "16")]);
    let result = w.store().result(hold.id, "a".into()).await.expect("readable");
    assert_eq!(result, Some(json(r#"{"of":"a"}"#)), "what was completed feeds it");
    assert!(w.types(hold.id).await.contains(&"job:resumed"));
}

pub async fn crashes_are_counted_apart_from_tries(w: &mut World) {
    let mut spec = plan();
    spec.phases[0].retry = Retry::never();
    let new = w.new_job();
    let id = w.put(new).await;
    for crash in 1..limits::CRASHES_MAX {
        let worker = w.worker_of(vec![spec.clone()], &[QUEUE]).await;
        w.claim_one(&worker).await;
        w.kill(&worker).await;
        let row = w.row(id).await;
        assert_eq!((row.state, row.crashes, row.phases[0].tries), (JobState::Pending, crash, 0));
        w.advance(row.available_at.since(w.now()));
    }
}

pub async fn a_job_that_kills_its_workers_is_poisoned(w: &mut World) {
    let new = NewJob { max_crashes: Some(2), ..w.new_job() };
    let id = w.put(new).await;
    for _ in 0..2 {
        let worker = w.worker().await;
        let hold = w.claim_one(&worker).await;
        let save = Command::SaveCheckpoint { phase: "a".into(), value: json("1") };
        w.own(&hold, save).await.expect("saved");
        w.kill(&worker).await;
    }
    let row = w.row(id).await;
    assert_eq!((row.state, row.reason, row.crashes), (JobState::Failed, Some(Reason::Poisoned), 2));
    assert_eq!(shape(&row), "FSS");
    let failure = row.details.failure.expect("why");
    assert_eq!(failure.phase.as_deref(), Some("a"));
    assert!(failure.message.contains("died 2 times") && failure.message.contains("node-"));
    let types = w.types(id).await;
    assert_eq!(types[types.len() - 2..], ["job:interrupted", "job:failed"]);
}

pub async fn later_crashes_wait_longer(w: &mut World) {
    let new = NewJob { max_crashes: Some(9), ..w.new_job() };
    let id = w.put(new).await;
    for delay in [0, 1, 2, 4, 8] {
        let worker = w.worker().await;
        w.claim_one(&worker).await;
        w.store().close_session(worker.session).await.expect("closed");
        w.maintain_for(None, 1.0).await;
        assert_eq!(w.row(id).await.available_at, w.now() + seconds(delay));
        w.advance(seconds(delay));
    }
}

pub async fn the_pause_after_a_crash_is_jittered(w: &mut World) {
    let id = w.add().await;
    for delay in [0, 500] {
        let worker = w.worker().await;
        w.claim_one(&worker).await;
        w.store().close_session(worker.session).await.expect("closed");
        w.maintain_for(None, 0.5).await;
        assert_eq!(w.row(id).await.available_at, w.now() + Duration::from_millis(delay));
        w.advance(Duration::from_millis(delay));
    }
}

pub async fn a_sign_of_life_forgives_crashes(w: &mut World) {
    let new = NewJob { max_crashes: Some(2), ..w.new_job() };
    let id = w.put(new).await;
    for phase in ["a", "b"] {
        let worker = w.worker().await;
        let hold = w.claim_one(&worker).await;
        assert_eq!(hold.job.running_phase().map(|phase| &*phase.name), Some(phase));
        assert_eq!(w.complete(&hold, phase).await.crashes, 1);
        w.kill(&worker).await;
        assert_eq!(w.row(id).await.state, JobState::Pending, "one crash since the last phase");
    }
    let worker = w.worker().await;
    w.claim_one(&worker).await;
    w.kill(&worker).await;
    assert_eq!(w.row(id).await.reason, Some(Reason::Poisoned), "and now a second in a row");
}

pub async fn an_element_is_a_sign_of_life(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.kill(&worker).await;
    let other = w.worker().await;
    let again = w.claim_one(&other).await;
    assert_eq!(again.job.crashes, 2);
    let end = Command::EndElement { phase: "a".into(), index: 0, input_hash: "h".into(), result: json("1") };
    assert_eq!(w.own(&again, end).await.expect("recorded").job.crashes, 1);
    assert_eq!(again.id, hold.id);
}

pub async fn a_failed_try_forgives_crashes(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.kill(&worker).await;
    let other = w.worker().await;
    let again = w.claim_one(&other).await;
    let row = w.own(&again, fail("a", Verdict::RetryIn(seconds(0)))).await.expect("failed").job;
    assert_eq!((row.crashes, row.phases[0].tries, row.attempt), (0, 1, 2));
    assert_eq!(row.id, hold.id);
}

pub async fn a_crash_between_phases_interrupts_none(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.own(&hold, complete("a", "1")).await.expect("recorded");
    w.kill(&worker).await;
    let row = w.row(hold.id).await;
    assert_eq!((shape(&row).as_str(), row.phases[1].interrupted), ("CPP", false));
    let event = w.last_event(hold.id).await;
    assert_eq!((event.ty, event.phase), (EventType::Interrupted, None));
}

pub async fn one_dead_session_gives_up_all_it_owned(w: &mut World) {
    let worker = w.worker().await;
    for _ in 0..20 {
        w.add().await;
    }
    assert_eq!(w.claim(&worker, 20).await.len(), 20);
    w.store().close_session(worker.session).await.expect("closed");
    assert_eq!(w.maintain().await.reaped, 20);
    let other = w.worker().await;
    assert_eq!(w.claim(&other, 50).await.len(), 20);
}

pub async fn a_live_session_keeps_what_it_owns(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let other = w.worker().await;
    w.store().close_session(other.session).await.expect("closed");
    assert_eq!(w.maintain().await.reaped, 0);
    assert_eq!(w.row(hold.id).await, hold.job);
    let owned = w.store().owned(worker.session).await.expect("readable");
    assert_eq!(owned, [(hold.id, hold.fence, false)]);
}

pub async fn what_a_session_owns_says_who_was_asked_to_stop(w: &mut World) {
    let worker = w.worker().await;
    for _ in 0..3 {
        w.add().await;
    }
    let holds = w.claim(&worker, 2).await;
    w.ask(holds[1].id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    let mut owned = w.store().owned(worker.session).await.expect("readable");
    owned.sort_by_key(|(id, _, _)| *id);
    assert_eq!(owned, [(holds[0].id, holds[0].fence, false), (holds[1].id, holds[1].fence, true)]);
    let stranger = SessionId::from_bytes([9; 16]);
    assert!(w.store().owned(stranger).await.expect("readable").is_empty());
}
