use crate::prelude::*;

async fn ids(w: &mut World, worker: &Worker, at_most: usize) -> Vec<JobId> {
    w.claim(worker, at_most).await.iter().map(|hold| hold.id).collect()
}

pub async fn a_claim_starts_the_first_phase(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let job = &hold.job;
    assert_eq!(
        (job.state, job.reason, job.epoch, job.attempt, job.crashes),
        (JobState::Running, None, 1, 1, 1)
    );
    assert_eq!(job.lease.map(|lease| lease.session), Some(worker.session));
    assert_eq!(shape(job), "RPP");
    assert_eq!((job.phases[0].tries, job.phases[0].started_at), (1, Some(w.now())));
    assert_eq!(hold.payload.as_str(), r#"{"n":1}"#);
    assert_eq!(w.row(hold.id).await, *job, "the answer is what is stored");
    assert_eq!(w.types(hold.id).await, ["job:enqueued", "job:started", "job:phase:started"]);
    let started = &w.history(hold.id).await[1];
    assert_eq!(started.data.as_str(), format!(r#"{{"session":"{}"}}"#, worker.session));
    assert_eq!(started.attempt, 1);
}

pub async fn a_job_of_an_unknown_plan_gets_it_at_its_claim(w: &mut World) {
    let id = w.add().await;
    assert!(w.row(id).await.phases.is_empty());
    let worker = w.worker().await;
    let hold = w.claim_one(&worker).await;
    assert_eq!(shape(&hold.job), "RPP");
    assert_eq!(hold.job.plan.as_ref(), Some(&worker.plans[0].plan_ref));
}

pub async fn a_claimed_job_is_not_claimed_again(w: &mut World) {
    let (worker, _hold) = w.claimed().await;
    let other = w.worker().await;
    assert!(w.claim(&other, 10).await.is_empty());
    assert!(w.claim(&worker, 10).await.is_empty());
}

pub async fn higher_priority_comes_first(w: &mut World) {
    let mut put = Vec::new();
    for priority in [0, -5, i16::MAX, 7, i16::MIN, 7] {
        let new = NewJob { priority, ..w.new_job() };
        put.push(w.put(new).await);
    }
    let worker = w.worker().await;
    let claimed = ids(w, &worker, 10).await;
    assert_eq!(claimed, [2, 3, 5, 0, 1, 4].map(|n: usize| put[n]));
}

pub async fn within_a_priority_the_earlier_time_comes_first(w: &mut World) {
    let mut put = Vec::new();
    for delay in [30, 10, 20] {
        let new = NewJob { when: When::After(seconds(delay)), ..w.new_job() };
        put.push(w.put(new).await);
    }
    let worker = w.worker().await;
    w.advance(seconds(60));
    let late = w.add().await;
    let claimed = ids(w, &worker, 10).await;
    assert_eq!(claimed, [put[1], put[2], put[0], late]);
}

pub async fn at_the_same_time_the_first_stored_comes_first(w: &mut World) {
    let mut put = Vec::new();
    for _ in 0..20 {
        put.push(w.add().await);
    }
    let worker = w.worker().await;
    assert_eq!(ids(w, &worker, 7).await, put[..7]);
    assert_eq!(ids(w, &worker, 20).await, put[7..]);
}

pub async fn kinds_of_one_queue_share_one_order(w: &mut World) {
    let mut put = Vec::new();
    for kind in ["x", "y", "x", "y", "y", "x"] {
        let new = w.job_of(kind);
        put.push(w.put(new).await);
    }
    let worker = w.worker_of(vec![plan_of("y", &["a"]), plan_of("x", &["a"])], &[QUEUE]).await;
    assert_eq!(ids(w, &worker, 4).await, put[..4]);
    assert_eq!(ids(w, &worker, 4).await, put[4..]);
}

pub async fn a_lane_gets_no_more_than_it_has_room_for(w: &mut World) {
    for queue in ["one", "two", "one", "two", "one", "three"] {
        let new = NewJob { queue: Some(queue.into()), ..w.new_job() };
        w.put(new).await;
    }
    let worker = w.worker_of(vec![plan()], &["one", "two"]).await;
    let lane = |queue: &str, at_most| Lane { queue: queue.into(), at_most };
    let tokens = (0..9).map(|_| w.token()).collect();
    let lanes = vec![lane("one", 2), lane("two", 0), lane("four", 5)];
    let batch = w.claim_with(&worker, lanes, tokens).await.expect("answered");
    assert_eq!(batch.jobs.len(), 2);
    assert!(batch.jobs.iter().all(|claimed| &*claimed.job.queue == "one"));
}

pub async fn tokens_bound_a_claim(w: &mut World) {
    for _ in 0..5 {
        w.add().await;
    }
    let worker = w.worker().await;
    let lanes = vec![Lane { queue: QUEUE.into(), at_most: 10 }];
    let tokens = vec![w.token(), w.token(), w.token()];
    let batch = w.claim_with(&worker, lanes.clone(), tokens.clone()).await.expect("answered");
    let given: Vec<Option<Token>> =
        batch.jobs.iter().map(|claimed| claimed.job.lease.map(|lease| lease.token)).collect();
    assert_eq!(given, tokens.into_iter().map(Some).collect::<Vec<_>>(), "each token once, in order");
    let none = w.claim_with(&worker, lanes, Vec::new()).await.expect("answered");
    assert!(none.jobs.is_empty());
}

pub async fn a_paused_queue_gives_nothing(w: &mut World) {
    let id = w.add().await;
    let worker = w.worker().await;
    w.change_queue(QUEUE, QueueChange::Pause { reason: None }).await;
    assert!(w.claim(&worker, 10).await.is_empty());
    w.change_queue(QUEUE, QueueChange::Resume).await;
    assert_eq!(ids(w, &worker, 10).await, [id]);
}

pub async fn a_paused_queue_does_not_stop_what_runs(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.change_queue(QUEUE, QueueChange::Pause { reason: None }).await;
    assert_eq!(w.finish(&hold).await.state, JobState::Completed);
}

pub async fn an_unknown_kind_is_left_alone(w: &mut World) {
    let new = NewJob { priority: 9, ..w.job_of("unknown") };
    let id = w.put(new).await;
    let known = w.add().await;
    let before = w.row(id).await;
    let worker = w.worker().await;
    assert_eq!(ids(w, &worker, 10).await, [known]);
    w.maintain().await;
    assert_eq!(w.row(id).await, before);
}

pub async fn an_older_plan_leaves_jobs_of_a_newer_one(w: &mut World) {
    let old = w.worker_of(vec![plan_of(KIND, &["a"])], &[QUEUE]).await;
    let new = w.worker_of(vec![plan_of(KIND, &["a", "b"])], &[QUEUE]).await;
    let id = w.add().await;
    assert!(w.claim(&old, 10).await.is_empty());
    assert_eq!(ids(w, &new, 10).await, [id]);
}

pub async fn a_job_of_an_older_plan_moves_to_the_newer_at_its_claim(w: &mut World) {
    w.worker_of(vec![plan_of(KIND, &["a", "b"])], &[QUEUE]).await;
    let id = w.add().await;
    let new = w.worker_of(vec![plan_of(KIND, &["a", "x"])], &[QUEUE]).await;
    let hold = w.claim_one(&new).await;
    assert_eq!(hold.id, id);
    let names: Vec<&str> = hold.job.phases.iter().map(|phase| &*phase.name).collect();
    assert_eq!(names, ["a", "x"]);
}

pub async fn an_expired_job_is_not_claimed(w: &mut World) {
    let new = NewJob { expires: Some(When::After(seconds(10))), ..w.new_job() };
    let id = w.put(new).await;
    let worker = w.worker().await;
    w.advance(seconds(10));
    assert!(w.claim(&worker, 10).await.is_empty());
    assert_eq!(w.row(id).await.state, JobState::Pending, "maintenance will close it");
}

pub async fn expired_jobs_do_not_stand_in_the_way(w: &mut World) {
    for _ in 0..5 {
        let new = NewJob { expires: Some(When::After(seconds(1))), priority: 9, ..w.new_job() };
        w.put(new).await;
    }
    let id = w.add().await;
    let worker = w.worker().await;
    w.advance(seconds(1));
    assert_eq!(ids(w, &worker, 2).await, [id]);
}

pub async fn jobs_of_a_newer_plan_do_not_stand_in_the_way(w: &mut World) {
    let old = w.worker_of(vec![plan_of(KIND, &["a"]), plan_of("other", &["a"])], &[QUEUE]).await;
    w.worker_of(vec![plan_of(KIND, &["a", "b"])], &[QUEUE]).await;
    for _ in 0..5 {
        w.add().await;
    }
    let new = w.job_of("other");
    let id = w.put(new).await;
    assert_eq!(ids(w, &old, 2).await, [id]);
}

pub async fn a_job_is_claimed_up_to_its_expiry(w: &mut World) {
    let new = NewJob { expires: Some(When::After(seconds(10))), ..w.new_job() };
    let id = w.put(new).await;
    let worker = w.worker().await;
    w.advance(seconds(10) - Duration::from_micros(1));
    let hold = w.claim_one(&worker).await;
    assert_eq!(hold.id, id);
    w.advance(seconds(60));
    w.maintain_for(Some(worker.session), 0.0).await;
    assert_eq!(w.row(id).await.state, JobState::Running, "an expiry counts for waiting jobs");
}

pub async fn nothing_is_claimed_before_its_time(w: &mut World) {
    let new = NewJob { when: When::After(seconds(10)), ..w.new_job() };
    let id = w.put(new).await;
    let worker = w.worker().await;
    assert!(w.claim(&worker, 10).await.is_empty());
    w.advance(seconds(10) - Duration::from_micros(1));
    assert!(w.claim(&worker, 10).await.is_empty());
    w.advance(Duration::from_micros(1));
    assert_eq!(ids(w, &worker, 10).await, [id]);
}

pub async fn a_claim_says_when_the_next_job_is_due(w: &mut World) {
    let worker = w.worker().await;
    let due = |batch: stepwell_core::store::ClaimedBatch| batch.next_due;
    assert_eq!(due(w.try_claim(&worker, 1).await.expect("answered")), None);
    for delay in [90, 30, 60] {
        let new = NewJob { when: When::After(seconds(delay)), ..w.new_job() };
        w.put(new).await;
    }
    let start = w.now();
    assert_eq!(due(w.try_claim(&worker, 1).await.expect("answered")), Some(start + seconds(30)));
    w.advance(seconds(30));
    assert_eq!(due(w.try_claim(&worker, 1).await.expect("answered")), Some(start + seconds(60)));
}

pub async fn a_dead_session_claims_nothing(w: &mut World) {
    let id = w.add().await;
    let worker = w.worker().await;
    w.kill(&worker).await;
    let error = w.try_claim(&worker, 1).await.expect_err("the session is dead");
    assert!(error.is_lease_lost());
    assert_eq!(w.row(id).await.state, JobState::Pending);
}

pub async fn a_session_that_never_was_claims_nothing(w: &mut World) {
    w.add().await;
    let worker = w.worker().await;
    let stranger = Worker { session: SessionId::from_bytes([0xfe; 16]), ..worker };
    assert!(w.try_claim(&stranger, 1).await.expect_err("never opened").is_lease_lost());
}

pub async fn a_job_that_had_completed_a_phase_is_resumed(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.own(&hold, Command::Release).await.expect("released");
    let again = w.claim_one(&worker).await;
    assert_eq!(shape(&again.job), "CRP");
    let types = w.types(hold.id).await;
    assert_eq!(types[types.len() - 2..], ["job:resumed", "job:phase:started"]);
}

pub async fn a_job_that_failed_in_its_first_phase_is_started_again(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.own(&hold, super::failures::fail("a", Verdict::RetryIn(seconds(0)))).await.expect("failed");
    w.claim_one(&worker).await;
    let types = w.types(hold.id).await;
    assert_eq!(types[types.len() - 2..], ["job:started", "job:phase:started"]);
}

pub async fn a_job_moves_to_the_queue_of_its_first_phase(w: &mut World) {
    let id = w.add().await;
    let mut spec = plan();
    spec.phases[0].queue = Some("gpu".into());
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    assert!(w.claim(&worker, 10).await.is_empty(), "it runs where the phase runs");
    let row = w.row(id).await;
    assert_eq!((&*row.queue, &*row.home_queue, row.state), ("gpu", QUEUE, JobState::Pending));
    assert_eq!((row.attempt, row.crashes, row.epoch), (0, 0, 0), "nothing was charged");
    assert_eq!(data(&w.last_event(id).await), value!({ "queue": "gpu", "by": "plan" }));
    let gpu = Worker { queues: vec!["gpu".into()], ..worker };
    assert_eq!(ids(w, &gpu, 10).await, [id]);
}

pub async fn a_moved_job_is_claimed_by_a_later_lane_of_the_same_request(w: &mut World) {
    let id = w.add().await;
    let mut spec = plan();
    spec.phases[0].queue = Some("gpu".into());
    let worker = w.worker_of(vec![spec], &[QUEUE, "gpu"]).await;
    assert_eq!(ids(w, &worker, 1).await, [id], "the token was not spent on the move");
}

pub async fn a_plan_that_ends_before_the_jobs_position_completes_it(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    w.complete(&hold, "a").await;
    w.own(&hold, Command::Release).await.expect("released");
    w.kill(&worker).await;
    let shorter = w.worker_of(vec![plan_of(KIND, &["a"])], &[QUEUE]).await;
    assert!(w.claim(&shorter, 10).await.is_empty(), "there is nothing to run");
    let row = w.row(hold.id).await;
    assert_eq!((row.state, shape(&row)), (JobState::Completed, "C".to_owned()));
    assert_eq!(w.last_event(hold.id).await.ty, EventType::Completed);
}

pub async fn many_workers_share_the_jobs(w: &mut World) {
    let mut put = Vec::new();
    for _ in 0..30 {
        put.push(w.add().await);
    }
    let workers = [w.worker().await, w.worker().await, w.worker().await];
    let mut claimed = Vec::new();
    for round in 0..10 {
        claimed.extend(ids(w, &workers[round % 3], 3).await);
    }
    assert_eq!(claimed, put, "each job once");
}
