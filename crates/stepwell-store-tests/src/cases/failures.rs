use crate::prelude::*;

pub(crate) fn fail(phase: &str, verdict: Verdict) -> Command {
    fail_by(phase, verdict, Retry::default(), 1.0)
}

fn fail_by(phase: &str, verdict: Verdict, retry: Retry, jitter: f64) -> Command {
    Command::FailPhase { phase: phase.into(), error: "it broke".into(), verdict, retry, jitter }
}

pub async fn a_failed_try_waits_for_the_next(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let retry = Retry::delays([seconds(5), seconds(60)]);
    let row = w.own(&hold, fail_by("a", Verdict::Retry, retry, 0.0)).await.expect("failed").job;
    let at = w.now() + seconds(5);
    assert_eq!((row.state, row.reason, row.available_at), (JobState::Pending, Some(Reason::Retrying), at));
    assert_eq!((row.lease, row.epoch, row.crashes, row.attempt), (None, 2, 0, 1));
    let phase = &row.phases[0];
    assert_eq!(
        (phase.state, phase.tries, phase.error.as_deref()),
        (PhaseState::Pending, 1, Some("it broke"))
    );
    let history = w.history(hold.id).await;
    let [failed, retrying] = &history[history.len() - 2..] else { panic!("two events") };
    assert_eq!((failed.ty, failed.phase.as_deref()), (EventType::PhaseFailed, Some("a")));
    assert_eq!(data(failed), value!({ "error": "it broke", "try": 1, "retryAt": at }));
    assert_eq!(retrying.ty, EventType::Retrying);
    assert_eq!(data(retrying), value!({ "availableAt": at }));
}

pub async fn the_listed_delays_are_exact(w: &mut World) {
    let worker = w.worker().await;
    let id = w.add().await;
    for delay in [1, 7, 7, 7] {
        let hold = w.claim_one(&worker).await;
        let retry = Retry::delays([seconds(1), seconds(7)]);
        w.own(&hold, fail_by("a", Verdict::Retry, retry, 0.3)).await.expect("failed");
        assert_eq!(w.row(id).await.available_at, w.now() + seconds(delay));
        w.advance(seconds(delay) - Duration::from_micros(1));
        assert!(w.claim(&worker, 1).await.is_empty());
        w.advance(Duration::from_micros(1));
    }
}

pub async fn the_exponential_delay_is_jittered_within_its_bounds(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let retry = || Retry::exponential(5).starting_at(seconds(8));
    for jitter in [0.0, 1.0, 0.5, 0.25] {
        let hold = match w.row(hold.id).await.state {
            JobState::Running => hold.clone(),
            _ => w.claim_one(&worker).await,
        };
        let tries = hold.job.phases[0].tries;
        let bound = seconds(8 << (tries - 1));
        let row = w.own(&hold, fail_by("a", Verdict::Retry, retry(), jitter)).await.expect("failed").job;
        assert_eq!(row.available_at, w.now() + bound.mul_f64(jitter));
        w.advance(bound);
    }
}

pub async fn a_named_delay_is_taken_as_it_is(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let row = w.own(&hold, fail("a", Verdict::RetryIn(seconds(1234)))).await.expect("failed").job;
    assert_eq!(row.available_at, w.now() + seconds(1234));
}

pub async fn a_permanent_error_ends_the_job(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    let row = w.own(&hold, fail("b", Verdict::Permanent)).await.expect("failed").job;
    assert_eq!((row.state, row.reason), (JobState::Failed, Some(Reason::Permanent)));
    assert_eq!((shape(&row).as_str(), row.finished_at, row.lease), ("CFS", Some(w.now()), None));
    let failure = row.details.failure.expect("why");
    assert_eq!((failure.phase.as_deref(), &*failure.message), (Some("b"), "it broke"));
    let event = w.last_event(hold.id).await;
    assert_eq!((event.ty, event.phase.as_deref()), (EventType::Failed, Some("b")));
    assert_eq!(data(&event), value!({ "reason": "permanent", "error": "it broke" }));
}

pub async fn the_last_try_ends_the_job(w: &mut World) {
    let mut spec = plan();
    spec.phases[0].retry = Retry::fixed(3, seconds(0));
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    let id = w.add().await;
    for state in [JobState::Pending, JobState::Pending, JobState::Failed] {
        let hold = w.claim_one(&worker).await;
        let retry = Retry::fixed(3, seconds(0));
        let row = w.own(&hold, fail_by("a", Verdict::Retry, retry, 0.0)).await.expect("failed").job;
        assert_eq!(row.state, state);
    }
    let row = w.row(id).await;
    assert_eq!((row.reason, row.attempt, row.phases[0].tries), (Some(Reason::TriesSpent), 3, 3));
    assert_eq!(shape(&row), "FSS");
}

pub async fn a_named_delay_spends_a_try_too(w: &mut World) {
    let mut spec = plan();
    spec.phases[0].retry = Retry::never();
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    w.add().await;
    let hold = w.claim_one(&worker).await;
    let row = w.own(&hold, fail("a", Verdict::RetryIn(seconds(1)))).await.expect("failed").job;
    assert_eq!((row.state, row.reason), (JobState::Failed, Some(Reason::TriesSpent)));
}

pub async fn each_phase_has_tries_of_its_own(w: &mut World) {
    let mut spec = plan();
    spec.phases.iter_mut().for_each(|phase| phase.retry = Retry::fixed(2, seconds(0)));
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    w.add().await;
    for phase in ["a", "b", "c"] {
        let hold = w.claim_one(&worker).await;
        w.own(&hold, fail(phase, Verdict::RetryIn(seconds(0)))).await.expect("failed");
        let hold = w.claim_one(&worker).await;
        let row = w.own(&hold, complete(phase, "1")).await.expect("completed").job;
        assert_eq!(row.phase(phase).map(|phase| (phase.tries, phase.error.clone())), Some((2, None)));
        if row.state == JobState::Running {
            w.own(&hold, Command::Release).await.expect("released");
        }
    }
}

pub async fn an_errors_text_is_cut(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let error = format!("{}\0{}", "x".repeat(10), "y".repeat(limits::ERROR_BYTES_MAX));
    let retry = Retry::default();
    let command =
        Command::FailPhase { phase: "a".into(), error, verdict: Verdict::Permanent, retry, jitter: 0.0 };
    let row = w.own(&hold, command).await.expect("failed").job;
    let message = row.details.failure.expect("why").message;
    assert!(message.ends_with("y…") && message.len() <= limits::ERROR_BYTES_MAX + 5);
    assert!(message.starts_with("xxxxxxxxxx\u{fffd}y"));
}

pub async fn a_phase_that_does_not_run_cannot_fail(w: &mut World) {
    let (_, hold) = w.claimed().await;
    assert!(w.own(&hold, fail("b", Verdict::Permanent)).await.expect_err("it does not run").is_lease_lost());
    assert_eq!(w.row(hold.id).await.state, JobState::Running);
}

pub async fn a_snooze_is_no_failure(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let row = w.own(&hold, Command::Snooze { delay: seconds(30) }).await.expect("snoozed").job;
    assert_eq!((row.state, row.reason), (JobState::Pending, Some(Reason::Snoozed)));
    assert_eq!((row.attempt, row.crashes, row.phases[0].tries, row.phases[0].interrupted), (0, 0, 0, false));
    assert_eq!(row.available_at, w.now() + seconds(30));
    let event = w.last_event(hold.id).await;
    assert_eq!(event.ty, EventType::Snoozed);
    assert_eq!(data(&event), value!({ "availableAt": row.available_at }));
    w.advance(seconds(29));
    assert!(w.claim(&worker, 1).await.is_empty());
    w.advance(seconds(1));
    assert_eq!(w.claim_one(&worker).await.job.phases[0].tries, 1);
}

pub async fn any_number_of_snoozes_spends_nothing(w: &mut World) {
    let mut spec = plan();
    spec.phases[0].retry = Retry::never();
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    let id = w.add().await;
    for _ in 0..20 {
        let hold = w.claim_one(&worker).await;
        w.own(&hold, Command::Snooze { delay: seconds(0) }).await.expect("snoozed");
    }
    let row = w.row(id).await;
    assert_eq!((row.state, row.attempt, row.epoch), (JobState::Pending, 0, 40));
}

pub async fn a_snooze_keeps_the_checkpoint(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.own(&hold, Command::SaveCheckpoint { phase: "a".into(), value: json("9") }).await.expect("saved");
    w.own(&hold, Command::Snooze { delay: seconds(0) }).await.expect("snoozed");
    let again = w.claim_one(&worker).await;
    assert!(again.job.phases[0].checkpoint);
    assert_eq!(w.store().checkpoint(hold.id, "a".into()).await.expect("readable"), Some(json("9")));
}

pub async fn a_release_charges_nothing(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let row = w.own(&hold, Command::Release).await.expect("released").job;
    assert_eq!((row.state, row.reason), (JobState::Pending, Some(Reason::Released)));
    assert_eq!((row.attempt, row.crashes, row.epoch, row.available_at), (0, 0, 2, w.now()));
    assert_eq!((row.phases[0].tries, row.phases[0].interrupted), (0, true));
    let event = w.last_event(hold.id).await;
    assert_eq!((event.ty, event.phase.as_deref()), (EventType::Released, Some("a")));
    let again = w.claim_one(&worker).await;
    assert!(again.job.phases[0].interrupted, "its next try knows");
    assert!(!w.complete(&again, "a").await.phases[0].interrupted);
}

pub async fn a_phases_end_fuses_with_a_release(w: &mut World) {
    let (_, hold) = w.claimed().await;
    let both = vec![complete("a", "1"), Command::Release];
    let row = w.send(hold.id, hold.fence, both).await.expect("released").job;
    assert_eq!((row.state, shape(&row).as_str(), row.attempt), (JobState::Pending, "CPP", 0));
    assert!(!row.phases[1].interrupted, "it had not begun");
}
