use crate::prelude::*;

async fn explain(w: &World, id: JobId) -> Explanation {
    let job = w.row(id).await;
    let facts = w.store().facts(job.clone()).await.expect("the facts can be read");
    explain::explain(&job, &facts, w.now())
}

fn ready(running: u64, slots: u64, ahead: u64) -> Explanation {
    Explanation::Ready { queue: QUEUE.into(), running, slots, ahead }
}

pub async fn a_scheduled_job_is_explained(w: &mut World) {
    let new = NewJob { when: When::After(seconds(9)), ..w.new_job() };
    let id = w.put(new).await;
    assert_eq!(explain(w, id).await, Explanation::Scheduled { at: w.now() + seconds(9) });
}

pub async fn a_waiting_retry_is_explained(w: &mut World) {
    let (_, hold) = w.claimed().await;
    w.own(&hold, super::failures::fail("a", Verdict::RetryIn(seconds(9)))).await.expect("failed");
    let at = w.now() + seconds(9);
    let (phase, error) = (Some("a".into()), Some("it broke".to_owned()));
    assert_eq!(explain(w, hold.id).await, Explanation::WaitingForRetry { at, phase, error });
}

pub async fn a_paused_queue_is_explained(w: &mut World) {
    w.worker().await;
    let id = w.add().await;
    let (since, reason) = (w.now(), Some("stocktaking".to_owned()));
    w.change_queue(QUEUE, QueueChange::Pause { reason: reason.clone() }).await;
    assert_eq!(explain(w, id).await, Explanation::Paused { queue: QUEUE.into(), since, reason });
}

pub async fn an_expired_job_is_explained(w: &mut World) {
    let new = NewJob { expires: Some(When::After(seconds(1))), ..w.new_job() };
    let id = w.put(new).await;
    w.advance(seconds(1));
    assert_eq!(explain(w, id).await, Explanation::Expired { at: w.now() });
}

pub async fn a_missing_worker_is_explained(w: &mut World) {
    w.worker().await;
    let new = w.job_of("unknown");
    let id = w.put(new).await;
    assert_eq!(explain(w, id).await, Explanation::NoWorkerForKind { kind: "unknown".into() });
    let new = NewJob { queue: Some("elsewhere".into()), ..w.new_job() };
    let id = w.put(new).await;
    assert_eq!(explain(w, id).await, Explanation::NoWorkerForQueue { queue: "elsewhere".into() });
}

pub async fn an_older_worker_is_explained(w: &mut World) {
    w.worker().await;
    let new = w.worker_of(vec![plan_of(KIND, &["x"])], &[QUEUE]).await;
    let id = w.add().await;
    assert_eq!(explain(w, id).await, ready(0, 10, 0), "only the newer worker's slots count");
    w.store().close_session(new.session).await.expect("closed");
    assert_eq!(explain(w, id).await, Explanation::NewerPlan { kind: KIND.into(), generation: 2 });
}

pub async fn a_full_queue_is_explained(w: &mut World) {
    let worker = w.worker().await;
    for _ in 0..10 {
        w.add().await;
    }
    let holds = w.claim(&worker, 10).await;
    let id = w.add().await;
    let full = Explanation::NoFreeSlot { queue: QUEUE.into(), running: 10, slots: 10, ahead: 0 };
    assert_eq!(explain(w, id).await, full);
    w.ask(holds[0].id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    assert_eq!(explain(w, id).await, full, "who was asked to stop has not stopped");
    w.finish(&holds[1]).await;
    assert_eq!(explain(w, id).await, ready(9, 10, 0));
}

pub async fn a_queue_at_its_limit_is_explained(w: &mut World) {
    let worker = w.worker().await;
    w.change_queue(QUEUE, QueueChange::Limit(Some(2))).await;
    for _ in 0..3 {
        w.add().await;
    }
    let holds = w.claim(&worker, 10).await;
    let id = w.add().await;
    let reached = |running| Explanation::LimitReached { queue: QUEUE.into(), running, limit: 2, ahead: 1 };
    let found = explain(w, id).await;
    assert_eq!(found, reached(2));
    assert!(found.to_string().starts_with("the queue's limit of 2 is reached: "), "{found}");
    w.ask(holds[0].id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    assert_eq!(explain(w, id).await, reached(2), "who was asked to stop has not stopped");
    w.finish(&holds[1]).await;
    assert_eq!(explain(w, id).await, ready(1, 10, 1));
}

pub async fn the_jobs_ahead_are_counted(w: &mut World) {
    w.worker().await;
    let first = w.add().await;
    let other_kind = NewJob { kind: "other".into(), ..w.new_job() };
    w.put(other_kind).await;
    let last = w.add().await;
    assert_eq!(explain(w, first).await, ready(0, 10, 0));
    assert_eq!(explain(w, last).await, ready(0, 10, 2), "every kind of the queue counts");
    let urgent = NewJob { priority: 5, ..w.new_job() };
    let urgent = w.put(urgent).await;
    assert_eq!(explain(w, urgent).await, ready(0, 10, 0), "a higher priority comes first");
    assert_eq!(explain(w, last).await, ready(0, 10, 3));
    let lesser = NewJob { priority: -5, ..w.new_job() };
    let lesser = w.put(lesser).await;
    let elsewhere = NewJob { queue: Some("elsewhere".into()), ..w.new_job() };
    w.put(elsewhere).await;
    assert_eq!(explain(w, lesser).await, ready(0, 10, 4), "other queues do not count");
    let later = NewJob { priority: 9, when: When::After(seconds(1)), ..w.new_job() };
    w.put(later).await;
    let brief = NewJob { priority: 9, expires: Some(When::After(seconds(1))), ..w.new_job() };
    w.put(brief).await;
    assert_eq!(explain(w, last).await, ready(0, 10, 4), "what waits for its time is not ahead");
    w.advance(seconds(1));
    assert_eq!(explain(w, last).await, ready(0, 10, 4), "what is due is, and what has expired no longer");
    let text = explain(w, last).await.to_string();
    let wanted = "nothing stands in its way: it waits its turn in queue `q`, where 0 of 10 slots are taken, and 4 \
                  jobs are ahead of it";
    assert_eq!(text, wanted.replace("`q`", &format!("`{QUEUE}`")));
}

pub async fn a_running_job_is_explained(w: &mut World) {
    let (worker, hold) = w.claimed().await;
    let node = w.store().sessions().await.expect("readable").pop().map(|session| session.node);
    let running = Explanation::Running { session: worker.session, node, phase: Some("a".into()) };
    assert_eq!(explain(w, hold.id).await, running);
    w.ask(hold.id, Command::Cancel { grace: seconds(9) }).await.expect("asked");
    let deadline = Some(w.now() + seconds(9));
    assert_eq!(explain(w, hold.id).await, Explanation::Cancelling { deadline });
}

pub async fn an_ended_job_is_explained(w: &mut World) {
    let id = w.add().await;
    w.ask(id, Command::Cancel { grace: seconds(0) }).await.expect("cancelled");
    let ended = Explanation::Ended { state: JobState::Cancelled, reason: Some(Reason::Requested) };
    assert_eq!(explain(w, id).await, ended);
}
