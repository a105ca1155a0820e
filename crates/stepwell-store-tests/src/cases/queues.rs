use crate::prelude::*;

async fn pause(w: &World, name: &str, reason: Option<&str>) -> Queue {
    let reason = reason.map(str::to_owned);
    let queue = w.change_queue(name, QueueChange::Pause { reason: reason.clone() }).await;
    let paused = Queue {
        paused_at: Some(w.now()),
        paused_reason: reason,
        limit: queue.limit,
        ..Queue::new(name.into())
    };
    assert_eq!(queue, paused);
    queue
}

pub async fn a_queue_that_nobody_set_has_no_record(w: &mut World) {
    w.add().await;
    assert!(w.store().queues().await.expect("readable").is_empty());
}

pub async fn a_queues_record_is_kept_and_replaced(w: &mut World) {
    let first = pause(w, "b", Some("maintenance, until \"noon\"")).await;
    let second = pause(w, "a", None).await;
    let mut queues = w.store().queues().await.expect("readable");
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(queues, [second, first]);
    let resumed = w.change_queue("b", QueueChange::Resume).await;
    assert_eq!(resumed, Queue::new("b".into()));
    let queues = w.store().queues().await.expect("readable");
    assert!(queues.contains(&resumed) && queues.len() == 2);
}

pub async fn only_the_paused_queue_stands_still(w: &mut World) {
    let new = NewJob { queue: Some("other".into()), ..w.new_job() };
    let (other, here) = (w.put(new).await, w.add().await);
    pause(w, QUEUE, None).await;
    let worker = w.worker_of(vec![plan()], &[QUEUE, "other"]).await;
    assert_eq!(w.claim_one(&worker).await.id, other);
    assert_eq!(w.row(here).await.state, JobState::Pending);
}

pub async fn a_paused_queue_still_takes_jobs_in(w: &mut World) {
    pause(w, QUEUE, None).await;
    let id = w.add().await;
    assert_eq!(w.row(id).await.state, JobState::Pending);
}

pub async fn a_queue_survives_a_restart(w: &mut World) {
    w.change_queue(QUEUE, QueueChange::Limit(Some(7))).await;
    let queue = pause(w, QUEUE, Some("why")).await;
    assert_eq!(queue.limit, Some(7));
    w.reopen().await;
    assert_eq!(w.store().queues().await.expect("readable"), [queue]);
}
