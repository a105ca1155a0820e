use crate::prelude::*;

fn paused(w: &World, name: &str, reason: Option<&str>) -> Queue {
    Queue { name: name.into(), paused_at: Some(w.now()), paused_reason: reason.map(str::to_owned) }
}

pub async fn a_queue_that_nobody_set_has_no_record(w: &mut World) {
    w.add().await;
    assert!(w.store().queues().await.expect("readable").is_empty());
}

pub async fn a_queues_record_is_kept_and_replaced(w: &mut World) {
    let first = paused(w, "b", Some("maintenance, until \"noon\""));
    let second = paused(w, "a", None);
    w.store().put_queue(first.clone()).await.expect("set");
    w.store().put_queue(second.clone()).await.expect("set");
    let mut queues = w.store().queues().await.expect("readable");
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(queues, [second, first]);
    let resumed = Queue { name: "b".into(), paused_at: None, paused_reason: None };
    w.store().put_queue(resumed.clone()).await.expect("set");
    let queues = w.store().queues().await.expect("readable");
    assert!(queues.contains(&resumed) && queues.len() == 2);
}

pub async fn only_the_paused_queue_stands_still(w: &mut World) {
    let new = NewJob { queue: Some("other".into()), ..w.new_job() };
    let (other, here) = (w.put(new).await, w.add().await);
    w.store().put_queue(paused(w, QUEUE, None)).await.expect("paused");
    let worker = w.worker_of(vec![plan()], &[QUEUE, "other"]).await;
    assert_eq!(w.claim_one(&worker).await.id, other);
    assert_eq!(w.row(here).await.state, JobState::Pending);
}

pub async fn a_paused_queue_still_takes_jobs_in(w: &mut World) {
    w.store().put_queue(paused(w, QUEUE, None)).await.expect("paused");
    let id = w.add().await;
    assert_eq!(w.row(id).await.state, JobState::Pending);
}

pub async fn a_queue_survives_a_restart(w: &mut World) {
    let queue = paused(w, QUEUE, Some("why"));
    w.store().put_queue(queue.clone()).await.expect("paused");
    w.reopen().await;
    assert_eq!(w.store().queues().await.expect("readable"), [queue]);
}
