use crate::prelude::*;

async fn alive(w: &World, session: SessionId) -> bool {
    w.store().beat(session).expect("the beat is recorded").alive
}

async fn listed(w: &World) -> Vec<SessionId> {
    let mut sessions: Vec<SessionId> =
        w.store().sessions().await.expect("readable").iter().map(|session| session.id).collect();
    sessions.sort();
    sessions
}

pub async fn an_open_session_is_listed_as_it_was_given(w: &mut World) {
    let session = Session {
        id: SessionId::from_bytes([7; 16]),
        node: "host-1:4242 \u{e9}".into(),
        started_at: w.now(),
        kinds: vec![("x".into(), 3), ("y".into(), 1)],
        queues: vec![("a".into(), 10), ("b".into(), 1)],
        about: About {
            host: Some("host-1".into()),
            pid: Some(4242),
            version: Some("1.2.3".into()),
            remote: true,
        },
    };
    w.store().open_session(session.clone()).await.expect("opened");
    assert_eq!(w.store().sessions().await.expect("readable"), [session]);
}

pub async fn a_beat_keeps_a_session_alive(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    for _ in 0..20 {
        w.advance(seconds(10));
        assert!(alive(w, worker.session).await);
        assert_eq!(w.maintain().await.reaped, 0);
    }
    assert_eq!(w.row(hold.id).await, hold.job);
}

pub async fn a_session_that_does_not_beat_dies(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.outlive_sessions();
    assert_eq!(w.maintain().await.reaped, 1);
    assert_eq!(w.row(hold.id).await.reason, Some(Reason::Interrupted));
    assert!(!alive(w, worker.session).await);
    assert!(listed(w).await.is_empty());
}

pub async fn who_is_late_is_told_with_what_it_owns(w: &mut World) {
    let (worker, _) = w.claimed().await;
    let late = async |w: &World| w.store().health().await.expect("readable").late;
    assert!(late(w).await.is_empty());
    w.outlive_sessions();
    let other = w.worker().await;
    let told = late(w).await;
    let [one] = told.as_slice() else { panic!("{told:?}") };
    assert!(one.jobs == 1 && !one.node.is_empty() && one.overdue > Duration::ZERO, "{one:?}");
    assert!(alive(w, worker.session).await && alive(w, other.session).await);
    assert!(late(w).await.is_empty(), "it has given a sign of life");
    w.outlive_sessions();
    w.maintain().await;
    assert!(late(w).await.iter().all(|late| late.jobs == 0), "they were taken");
}

pub async fn death_is_final(w: &mut World) {
    let worker = w.worker().await;
    w.outlive_sessions();
    w.maintain().await;
    for _ in 0..3 {
        assert!(!alive(w, worker.session).await);
    }
    w.maintain().await;
    assert!(!alive(w, worker.session).await, "it does not come back");
    assert!(w.try_claim(&worker, 1).await.expect_err("it is dead").is_lease_lost());
}

pub async fn the_dead_stay_dead_when_others_have_taken_their_place(w: &mut World) {
    let first = w.worker().await;
    w.outlive_sessions();
    w.maintain().await;
    let second = w.worker().await;
    assert!(!alive(w, first.session).await);
    w.outlive_sessions();
    w.maintain().await;
    assert!(!alive(w, first.session).await);
    let third = w.worker().await;
    assert!(!alive(w, first.session).await && !alive(w, second.session).await);
    assert!(alive(w, third.session).await);
    assert_eq!(listed(w).await, [third.session]);
}

pub async fn a_late_beat_saves_a_session_that_nobody_found_dead(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.outlive_sessions();
    assert!(alive(w, worker.session).await, "nobody took its jobs");
    assert_eq!(w.maintain().await.reaped, 0);
    assert_eq!(w.finish(&hold).await.state, JobState::Completed);
}

pub async fn whoever_asks_is_not_found_dead_by_himself(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let other = w.worker().await;
    w.outlive_sessions();
    w.maintain_for(Some(worker.session), 0.0).await;
    assert_eq!(w.row(hold.id).await, hold.job);
    assert!(alive(w, worker.session).await);
    assert!(!alive(w, other.session).await, "the other one was late too");
}

pub async fn a_session_that_never_was_is_not_alive(w: &mut World) {
    assert!(!alive(w, SessionId::from_bytes([9; 16])).await);
}

pub async fn a_closed_session_is_dead(w: &mut World) {
    let worker = w.worker().await;
    let other = w.worker().await;
    w.store().close_session(worker.session).await.expect("closed");
    assert!(!alive(w, worker.session).await);
    assert_eq!(listed(w).await, [other.session]);
    w.store().close_session(worker.session).await.expect("a second close is no error");
}

pub async fn what_a_closed_session_still_owned_is_reaped(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.store().close_session(worker.session).await.expect("closed");
    assert_eq!(w.row(hold.id).await.state, JobState::Running, "not yet");
    assert_eq!(w.maintain().await.reaped, 1);
    assert_eq!(w.row(hold.id).await.state, JobState::Pending);
}

pub async fn an_owner_whose_session_died_still_owns_what_nobody_took(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.store().close_session(worker.session).await.expect("closed");
    assert_eq!(w.finish(&hold).await.state, JobState::Completed);
    assert_eq!(w.maintain().await.reaped, 0);
}

pub async fn many_jobs_of_a_dead_session_take_several_passes(w: &mut World) {
    let n = limits::MAINTENANCE_BATCH_MAX + 30;
    let jobs: Vec<NewJob> = (0..n).map(|_| w.new_job()).collect();
    w.store().enqueue(jobs).await.expect("stored");
    let worker = w.worker().await;
    assert_eq!(w.claim(&worker, 1_000).await.len(), n);
    w.store().close_session(worker.session).await.expect("closed");
    let first = w.maintain().await;
    assert_eq!((first.reaped, first.more), (limits::MAINTENANCE_BATCH_MAX, true));
    let second = w.maintain().await;
    assert_eq!((second.reaped, second.more), (30, false));
    assert!(w.store().owned(worker.session).await.expect("readable").is_empty());
}

pub async fn a_claim_holds_no_more_than_its_limit(w: &mut World) {
    let n = limits::CLAIM_BATCH_MAX + 10;
    let jobs: Vec<NewJob> = (0..n).map(|_| w.new_job()).collect();
    w.store().enqueue(jobs).await.expect("stored");
    let worker = w.worker().await;
    assert_eq!(w.claim(&worker, n).await.len(), limits::CLAIM_BATCH_MAX);
    assert_eq!(w.claim(&worker, n).await.len(), 10);
}

async fn node(w: &World, session: SessionId) -> Node {
    let nodes = w.store().nodes().await.expect("readable");
    nodes.into_iter().find(|node| node.session.id == session).expect("the session is listed")
}

async fn want(w: &World, session: SessionId, desired: Desired) -> Desired {
    w.store().want(session, desired).await.expect("the session lives")
}

async fn wanted(w: &World) -> BTreeMap<SessionId, Desired> {
    w.store().wanted().await.expect("readable").into_iter().collect()
}

pub async fn a_node_shows_what_it_is_and_what_it_runs(w: &mut World) {
    let (worker, _hold) = w.claimed().await;
    let other = w.worker().await;
    let shown = node(w, worker.session).await;
    let session = w.store().sessions().await.expect("readable").remove(0);
    let expected = Node {
        session,
        state: SessionState::Running,
        desired: Desired::Run,
        beat_at: Some(w.now()),
        lost: false,
        running: 1,
    };
    assert_eq!(shown, expected);
    assert_eq!(node(w, other.session).await.running, 0);
}

pub async fn a_node_shows_its_last_sign_of_life(w: &mut World) {
    let worker = w.worker().await;
    w.advance(seconds(3));
    let beaten = w.now();
    assert!(alive(w, worker.session).await);
    w.advance(seconds(4));
    let shown = node(w, worker.session).await;
    assert_eq!((shown.beat_at, shown.lost), (Some(beaten), false));
    w.outlive_sessions();
    assert!(node(w, worker.session).await.lost, "before anybody has found it dead");
}

pub async fn a_node_is_listed_until_its_jobs_are_taken_back(w: &mut World) {
    let (worker, _hold) = w.claimed().await;
    w.store().close_session(worker.session).await.expect("closed");
    let shown = node(w, worker.session).await;
    assert_eq!((shown.lost, shown.running), (true, 1));
    w.maintain().await;
    assert!(w.store().nodes().await.expect("readable").is_empty());
}

pub async fn what_is_wanted_of_a_session_is_kept_and_told(w: &mut World) {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };
    let (worker, other) = (w.worker().await, w.worker().await);
    let told = Arc::new(AtomicBool::new(false));
    let ear = Arc::clone(&told);
    w.store().listen(Box::new(move |change| {
        ear.fetch_or(change.desired, Ordering::SeqCst);
    }));
    assert_eq!(want(w, worker.session, Desired::Quiet).await, Desired::Quiet);
    assert!(told.swap(false, Ordering::SeqCst));
    let expected = [(worker.session, Desired::Quiet), (other.session, Desired::Run)];
    assert_eq!(wanted(w).await, expected.into_iter().collect());
    assert_eq!(node(w, worker.session).await.desired, Desired::Quiet);
    assert_eq!(want(w, worker.session, Desired::Run).await, Desired::Run);
    assert!(told.load(Ordering::SeqCst));
    assert_eq!(node(w, worker.session).await.desired, Desired::Run);
}

pub async fn a_wish_to_end_is_not_taken_back(w: &mut World) {
    let worker = w.worker().await;
    assert_eq!(want(w, worker.session, Desired::Terminate).await, Desired::Terminate);
    for later in [Desired::Run, Desired::Quiet] {
        assert_eq!(want(w, worker.session, later).await, Desired::Terminate);
    }
    assert_eq!(wanted(w).await[&worker.session], Desired::Terminate);
}

pub async fn nothing_is_wanted_of_the_dead(w: &mut World) {
    let (worker, _hold) = w.claimed().await;
    w.store().close_session(worker.session).await.expect("closed");
    for nobody in [worker.session, SessionId::from_bytes([9; 16])] {
        let error = w.store().want(nobody, Desired::Quiet).await.expect_err("there is no such live session");
        assert!(error.is_not_found(), "{error}");
    }
    assert!(wanted(w).await.is_empty());
}

pub async fn a_session_says_how_it_is(w: &mut World) {
    let worker = w.worker().await;
    for state in [SessionState::Quiet, SessionState::Quiet, SessionState::Stopping, SessionState::Running] {
        w.store().tell(worker.session, state).await.expect("told");
        assert_eq!(node(w, worker.session).await.state, state);
    }
    w.store().tell(SessionId::from_bytes([9; 16]), SessionState::Quiet).await.expect("of no effect");
}

pub async fn a_session_that_says_anew_what_it_works_is_wanted_as_before(w: &mut World) {
    let worker = w.worker().await;
    let session = w.store().sessions().await.expect("readable").remove(0);
    want(w, worker.session, Desired::Quiet).await;
    w.store().tell(worker.session, SessionState::Quiet).await.expect("told");
    let queues = vec![("elsewhere".into(), 3)];
    w.store().open_session(Session { queues, ..session }).await.expect("said");
    let shown = node(w, worker.session).await;
    assert_eq!((shown.state, shown.desired), (SessionState::Quiet, Desired::Quiet));
    assert_eq!(shown.session.queues, [("elsewhere".into(), 3)]);
}
